package web

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
)

// files are embedded as they stand: uplot comes from npm by "make web-assets", with its licence.
//
//go:embed assets
var files embed.FS

// assets are what pages load, by path.
type assets struct{ byPath map[string]asset }

type asset struct {
	data []byte
	kind string
	tag  string // ETag
}

var kinds = map[string]string{
	".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml", "": "text/plain; charset=utf-8",
}

func (a *assets) init() {
	a.byPath = map[string]asset{}
	// Reading what is embedded does not fail.
	_ = fs.WalkDir(files, "assets", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := files.ReadFile(name)
		sum := sha256.Sum256(data)
		a.byPath["/"+name] = asset{data, kinds[path.Ext(name)], `"` + hex.EncodeToString(sum[:8]) + `"`}
		return err
	})
}

// serve needs no session: the login looks the same as the rest. Browsers keep what they have, and ask whether it is still that.
func (a *assets) serve(w http.ResponseWriter, r *http.Request) {
	x, ok := a.byPath[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", x.tag)
	if r.Header.Get("If-None-Match") == x.tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", x.kind)
	_, _ = w.Write(x.data)
}
