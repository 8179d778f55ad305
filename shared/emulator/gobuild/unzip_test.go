package gobuild_test

import (
	"archive/zip"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"paylane/shared/emulator/template"
)

// zipped returns a zip file of pairs of name and content. As in [files], a name that ends
// in "*" is executable; one that ends in "@" is a link, and one in "?" was made on Windows,
// where files have no mode. A name that ends in a number states that size.
func zipped(t *testing.T, pairs ...string) string {
	t.Helper()
	var archive bytes.Buffer
	w := zip.NewWriter(&archive)
	for i := 0; i < len(pairs); i += 2 {
		header := &zip.FileHeader{Name: strings.TrimRight(pairs[i], "*@?"), Method: zip.Deflate}
		switch pairs[i][len(header.Name):] {
		case "*":
			header.SetMode(0o755)
		case "@":
			header.SetMode(0o777 | os.ModeSymlink)
		case "":
			header.SetMode(0o644)
		}
		create := w.CreateHeader
		if at := strings.IndexAny(header.Name, "0123456789"); at >= 0 && !strings.Contains(header.Name, "/") {
			header.UncompressedSize64, _ = strconv.ParseUint(header.Name[at:], 10, 64)
			header.Method, header.CompressedSize64, create = zip.Store, uint64(len(pairs[i+1])), w.CreateRaw
		}
		file, err := create(header)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.Write([]byte(pairs[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return archive.String()
}

func TestUnzip(t *testing.T) {
	t.Parallel()
	const script = "#!/bin/sh\ncd \"$(dirname \"$0\")\" && test -x lib/tool && ! test -x lib/data && cat current/text\n"
	archive := func(text string) string {
		return zipped(t, "bootstrap*", script, "lib/", "", "lib/tool*", "", "lib/data", "", "v1/text", text, "current@", "v1")
	}
	f, root := open(t, template.Function{CodeURI: "dist/pay.zip", Handler: "any", Build: makeBuild}, files{"dist/pay.zip": archive("hello")})
	says := func(want string) {
		t.Helper()
		program, err := f.Build(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if said, err := exec.Command(program).CombinedOutput(); err != nil || string(said) != want {
			t.Errorf("the program said %q: %v", said, err)
		}
	}
	says("hello")
	says("hello")
	check(t, f, root, func(t *testing.T, root string) {
		t.Helper()
		write(t, root, files{"dist/other": ""})
	}, false)
	check(t, f, root, save("dist/pay.zip", archive("good day")), true)
	says("good day")
	check(t, f, root, remove("dist/pay.zip"), true)
}

func TestUnzipRefuses(t *testing.T) {
	t.Parallel()
	const script = "#!/bin/sh\n"
	outside := filepath.Join(t.TempDir(), "outside")
	for _, row := range []struct {
		name    string
		archive []string
		want    string
	}{
		{"a name that leads out of it", []string{"bootstrap*", script, "../../../outside", ""}, "../../../outside"},
		{"an absolute name", []string{"bootstrap*", script, outside, ""}, outside},
		{"a link that leads out of it", []string{"bootstrap*", script, "x@", "../../../outside"}, `x: its link to "../../../outside" leads out`},
		{"a link to an absolute name", []string{"bootstrap*", script, "x@", outside}, "x: its link to"},
		{"more than Lambda allows", []string{"bootstrap*", script, "a150000000", "", "b150000000", ""}, "more than the 250 MB that Lambda allows"},
		{"more than it states", []string{"bootstrap*", script, "a1", "hello"}, "a1: zip: not a valid zip file"},
		{"no program", []string{"pay/bootstrap*", script}, "its CodeUri pay.zip has no program called bootstrap, outside of any folder"},
		{"a program with the handler's name", []string{"handler*", script}, "its program handler must be called bootstrap"},
		{"a program without a mode", []string{"bootstrap?", script}, "not executable"},
		{"a program that is a folder", []string{"bootstrap/x", ""}, "no program called bootstrap"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			f, root := open(t, template.Function{CodeURI: "pay.zip", Handler: "handler"}, files{"pay.zip": zipped(t, row.archive...)})
			_, err := f.Build(t.Context())
			if err == nil || !strings.Contains(err.Error(), "build Pay: ") || !strings.Contains(err.Error(), row.want) {
				t.Errorf("the error is %v", err)
			}
			if _, err := os.Lstat(outside); err == nil {
				t.Error("it wrote outside of its folder")
			}
			if _, err := os.Lstat(filepath.Join(root, "..", "outside")); err == nil {
				t.Error("it wrote outside of its folder")
			}
		})
	}
}
