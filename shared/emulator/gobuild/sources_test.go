package gobuild_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"paylane/shared/emulator/gobuild"
	"paylane/shared/emulator/template"
)

// shop is a function with every kind of source.
func shop() files {
	return files{
		"shop/go.mod": goMod + "\nrequire example.com/money v0.0.0\n\nreplace example.com/money => ../money\n",
		"shop/pay/main.go": `package main

import (
	"embed"

	_ "example.com/money"
	_ "example.com/shop/price"
)

//go:embed static *.txt
var _ embed.FS

func main() {}
`,
		"shop/pay/main_test.go":    "package main\n",
		"shop/pay/notes.md":        "",
		"shop/pay/a.txt":           "",
		"shop/pay/static/page":     "",
		"shop/pay/static/.hidden":  "",
		"shop/price/price.go":      "package price\n",
		"shop/price/price_test.go": "package price\n",
		"shop/other/other.go":      "package other\n",
		"money/go.mod":             "module example.com/money\n\ngo 1.21\n",
		"money/money.go":           "package money\n",
	}
}

// act changes files below a folder.
type act func(t *testing.T, root string)

func edit(name, text string) act {
	return func(t *testing.T, root string) {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil { // in place
			t.Fatal(err)
		}
	}
}

// save edits as editors do: a new file replaces the old one.
func save(name, text string) act {
	return func(t *testing.T, root string) {
		edit(name+"~", text)(t, root)
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := os.Rename(path+"~", path); err != nil {
			t.Fatal(err)
		}
	}
}

func touch(name string) act {
	return func(t *testing.T, root string) {
		now := time.Now()
		if err := os.Chtimes(filepath.Join(root, filepath.FromSlash(name)), now, now); err != nil {
			t.Fatal(err)
		}
	}
}

func remove(name string) act {
	return func(t *testing.T, root string) {
		if err := os.Remove(filepath.Join(root, filepath.FromSlash(name))); err != nil {
			t.Fatal(err)
		}
	}
}

func TestChanged(t *testing.T) {
	rows := []struct {
		name string
		act  act
		want bool
	}{
		{"nothing", func(*testing.T, string) {}, false},
		{"edit", edit("shop/pay/main.go", hello), true},
		{"save by rename, same size", save("shop/pay/main.go", shop()["shop/pay/main.go"]), true},
		{"touch of the same content", touch("shop/pay/main.go"), true},
		{"new file", edit("shop/pay/new.go", "package main\n"), true},
		{"new assembly file", edit("shop/pay/new.s", ""), true},
		{"removed file", remove("shop/pay/main.go"), true},
		{"test file", edit("shop/pay/main_test.go", "package main // edited\n"), false},
		{"new test file", edit("shop/pay/new_test.go", "package main\n"), false},
		{"file that is not a source", edit("shop/pay/notes.md", "edited"), false},
		{"an editor's own file", edit("shop/pay/.#main.go", "lock"), false},
		{"embedded file", edit("shop/pay/static/page", "edited"), true},
		{"new file in an embedded folder", edit("shop/pay/static/deep/new", ""), true},
		{"removed file of an embedded folder", remove("shop/pay/static/page"), true},
		{"hidden file of an embedded folder", edit("shop/pay/static/.hidden", "edited"), false},
		{"new file that a pattern matches", edit("shop/pay/b.txt", ""), true},
		{"package of the same module", edit("shop/price/price.go", "package price // edited\n"), true},
		{"new file in a package of the same module", edit("shop/price/new.go", "package price\n"), true},
		{"test file in a package of the same module", edit("shop/price/price_test.go", ""), false},
		{"package that is not imported", edit("shop/other/other.go", "package other // edited\n"), false},
		{"replaced local module", edit("money/money.go", "package money // edited\n"), true},
		{"replaced local module's go.mod", touch("money/go.mod"), true},
		{"go.mod", touch("shop/go.mod"), true},
		{"new go.sum", edit("shop/go.sum", ""), true},
		{"new go.work beside go.mod", edit("shop/go.work", ""), true},
		{"new go.work above", edit("go.work", ""), true},
		{"new go.mod that excludes the function", edit("shop/pay/go.mod", ""), true},
		{"new Makefile", edit("shop/pay/Makefile", ""), true},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			f, root := open(t, template.Function{CodeURI: "shop/pay", Build: goBuild}, shop())
			check(t, f, root, row.act, row.want)
		})
	}
}

// check records the sources, runs the act, and checks whether they have changed.
func check(t *testing.T, f *gobuild.Function, root string, happens act, want bool) {
	t.Helper()
	sources := f.Sources(t.Context())
	if sources.Changed() {
		t.Fatal("they changed before the act")
	}
	happens(t, root)
	if got := sources.Changed(); got != want {
		t.Errorf("changed: %t", got)
	}
}

func TestChangedInAWorkspace(t *testing.T) {
	f, root := open(t, template.Function{CodeURI: "shop"}, files{
		"go.work":        "go 1.21\n\nuse (\n\t./money\n\t./shop\n)\n",
		"shop/go.mod":    goMod,
		"shop/main.go":   "package main\n\nimport _ \"example.com/money\"\n\nfunc main() {}\n",
		"money/go.mod":   "module example.com/money\n\ngo 1.21\n",
		"money/money.go": "package money\n",
	})
	check(t, f, root, touch("money/money.go"), true)
	check(t, f, root, touch("money/go.mod"), true)
	check(t, f, root, touch("go.work"), true)
}

// What make builds is unknown, so every package below counts.
func TestChangedWithAMakefile(t *testing.T) {
	f, root := open(t, template.Function{CodeURI: ".", Build: makeBuild}, files{
		"go.mod": goMod, "Makefile": "build-Pay:\n", "cmd/pay/main.go": hello,
	})
	check(t, f, root, touch("cmd/pay/main.go"), true)
	check(t, f, root, touch("Makefile"), true)
}

// What a Makefile copies and includes is in the build as much as the packages are.
func TestChangedByWhatAMakefileNames(t *testing.T) {
	rows := []struct {
		name string
		act  act
		want bool
	}{
		{"file of a folder that it copies", edit("app/assets/deep/page", "edited"), true},
		{"new file in a folder that it copies", edit("app/assets/new", ""), true},
		{"file that it copies by its whole path", edit("app/config.json", "{}"), true},
		{"hidden file of a folder that it copies", edit("app/assets/.swp", ""), false},
		{"package of a tool in a folder where it works", edit("app/web/node_modules/x/x.js", ""), false},
		{"file that it includes", touch("mk/common.mk"), true},
		{"file that an included one names", edit("app/schema/order.json", "{}"), true},
		{"file that make may have written beside the source", edit("bin/tool", "built"), false},
		{"file that it does not name", edit("app/notes.md", "edited"), false},
		{"file elsewhere", edit("other/notes.md", "edited"), false},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			f, root := open(t, template.Function{CodeURI: "app", Build: makeBuild}, files{
				"app/Makefile": "include ../mk/common.mk\nbuild-Pay: common\n\tgo build -o $(ARTIFACTS_DIR)/bootstrap .\n" +
					"\tgo build -o ../bin/tool .\n\tcd web && npm run build\n\tcp -r ./assets/* $(CURDIR)/config.json \"$(ARTIFACTS_DIR)\"\n\tls .. ../app/. >/dev/null\n",
				"mk/common.mk": "common:\n\tcp schema/order.json $(ARTIFACTS_DIR)\n",
				"app/go.mod":   goMod, "app/main.go": hello, "app/assets/deep/page": "", "app/assets/.swp": "old", "app/config.json": "", "app/schema/order.json": "",
				"app/web/node_modules/x/x.js": "old", "app/notes.md": "", "other/notes.md": "", "bin/tool": "",
			})
			check(t, f, root, row.act, row.want)
		})
	}
}

func TestChangedWithAMakefileElsewhere(t *testing.T) {
	f, root := open(t, template.Function{
		CodeURI: "app/cmd/pay", Build: template.Build{Method: "makefile", ContextPath: "build", WorkingDirectory: "app"},
	}, files{
		"app/go.mod": goMod, "build/Makefile": "build-Pay:\n", "app/cmd/pay/main.go": hello, "app/other/other.go": "package other\n", "other.go": "package x\n",
	})
	check(t, f, root, touch("app/cmd/pay/main.go"), true)
	check(t, f, root, touch("app/other/other.go"), true)
	check(t, f, root, touch("build/Makefile"), true)
	check(t, f, root, touch("app/go.mod"), true)
	check(t, f, root, touch("other.go"), false)
}

func TestChangedInTheHandlersPackage(t *testing.T) {
	f, root := open(t, template.Function{CodeURI: ".", Build: goBuild, Handler: "lambda/alpha"}, files{
		"go.mod": goMod, "lambda/alpha/main.go": "package main\n\nimport _ \"example.com/shop/price\"\n\nfunc main() {}\n",
		"lambda/beta/main.go": hello, "price/price.go": "package price\n",
	})
	check(t, f, root, touch("lambda/alpha/main.go"), true)
	check(t, f, root, touch("price/price.go"), true)
	check(t, f, root, touch("lambda/beta/main.go"), false)
}

func TestChangedInTheHandlersFile(t *testing.T) {
	f, root := open(t, template.Function{CodeURI: ".", Build: goBuild, Handler: "cmd/pay.go"}, files{
		"go.mod": goMod, "cmd/pay.go": "package main\n\nimport _ \"example.com/shop/price\"\n\nfunc main() {}\n",
		"cmd/ship.go": hello, "price/price.go": "package price\n", "other/other.go": "package other\n",
	})
	check(t, f, root, touch("cmd/pay.go"), true)
	check(t, f, root, touch("price/price.go"), true)
	check(t, f, root, touch("other/other.go"), false)
}

func TestChangedWithAProgramThatIsThere(t *testing.T) {
	f, root := open(t, template.Function{CodeURI: "."}, files{"bootstrap*": "#!/bin/sh\n"})
	check(t, f, root, touch("bootstrap"), true)
	check(t, f, root, remove("bootstrap"), true)
	check(t, f, root, func(t *testing.T, root string) { write(t, root, files{"bootstrap*": "#!/bin/sh\n"}) }, true)
}

// While the sources are broken, their repair must be noticed.
func TestChangedWhileBroken(t *testing.T) {
	rows := []struct {
		name         string
		breaks, mend act
	}{
		{"a syntax error", edit("shop/pay/main.go", "packag main"), save("shop/pay/main.go", hello)},
		{"a package's syntax error", edit("shop/price/price.go", "packag price"), save("shop/price/price.go", "package price\n")},
		{"a broken go.mod", edit("shop/go.mod", "modul"), save("shop/go.mod", goMod)},
		{"a broken go.mod of a replaced module", edit("money/go.mod", "modul"), touch("money/go.mod")},
		{"a broken go.mod, and an edit elsewhere", edit("shop/go.mod", "modul"), touch("shop/price/price.go")},
		{
			"an import of what is not there yet",
			edit("shop/pay/more.go", "package main\n\nimport _ \"example.com/shop/later/on\"\n"),
			edit("shop/later/on/on.go", "package on\n"),
		},
		{
			"a pattern that matches nothing",
			edit("shop/pay/more.go", "package main\n\nimport \"embed\"\n\n//go:embed later/*\nvar _ embed.FS\n"),
			edit("shop/pay/later/file", ""),
		},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			f, root := open(t, template.Function{CodeURI: "shop/pay"}, shop())
			check(t, f, root, row.breaks, true)
			check(t, f, root, row.mend, true)
		})
	}
}

// If the sources are broken from the start, at least the function's own folder is watched.
func TestChangedWhenBrokenFromTheStart(t *testing.T) {
	f, root := open(t, template.Function{CodeURI: "."}, files{"go.mod": "modul", "main.go": hello})
	check(t, f, root, touch("main.go"), true)
	check(t, f, root, edit("go.mod", goMod), true)
}
