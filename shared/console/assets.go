package console

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"
)

const assetPath = Root + "/assets/"

//go:embed assets
var assetFiles embed.FS

// assets are the scripts and styles of pages, by their names in URLs, which change with their
// content.
type assets struct {
	byName map[string]asset
	names  map[string]string // by the path below assets/
}

type asset struct {
	contentType string
	content     []byte
}

func loadAssets() (assets, error) {
	a := assets{byName: make(map[string]asset), names: make(map[string]string)}
	err := fs.WalkDir(assetFiles, "assets", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path.Ext(file) == ".md" {
			return err
		}
		content, err := assetFiles.ReadFile(file)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(content)
		short := strings.TrimPrefix(file, "assets/")
		ext := path.Ext(short)
		name := strings.TrimSuffix(path.Base(short), ext) + "-" + hex.EncodeToString(sum[:6]) + ext
		a.byName[name], a.names[short] = asset{mime.TypeByExtension(ext), content}, name
		return nil
	})
	if err != nil {
		return assets{}, fmt.Errorf("read the console's files: %w", err)
	}
	return a, nil
}

// url returns the URL of a file below assets/. Pages name only files that are there, which
// their first rendering shows.
func (a assets) url(file string) (string, error) {
	name, ok := a.names[file]
	if !ok {
		return "", fmt.Errorf("the console has no file %q", file)
	}
	return assetPath + name, nil
}

func (a assets) serve(w http.ResponseWriter, r *http.Request) {
	file, ok := a.byName[r.PathValue("file")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	if file.contentType != "" {
		w.Header().Set("Content-Type", file.contentType)
	}
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(file.content))
}
