package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed page
var files embed.FS

// policy lets the page load what this node serves and nothing else, and lets nobody put it into a frame.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// asset is one file as it is sent.
type asset struct {
	name  string // for its type
	body  []byte
	etag  string
	mtype string
}

// New returns the handler of the page, to be mounted at "GET /{$}" and "GET /page/". It fails only if the binary was
// built without its files.
func New() (http.Handler, error) {
	assets, err := load()
	if err != nil {
		return nil, fmt.Errorf("web: read the embedded page: %w", err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := assets[strings.TrimPrefix(r.URL.Path, "/")]
		if a == nil {
			http.NotFound(w, r)
			return
		}
		h := w.Header()
		h.Set("Content-Type", a.mtype)
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-cache") // asked again each time, answered by the tag: a new binary shows at once
		h.Set("ETag", a.etag)
		http.ServeContent(w, r, a.name, time.Time{}, bytes.NewReader(a.body))
	}), nil
}

// load reads all files, by their path below the root of the site. The page itself is the root.
func load() (map[string]*asset, error) {
	assets := make(map[string]*asset)
	err := fs.WalkDir(files, "page", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(body)
		a := &asset{name: path.Base(name), body: body, etag: `"` + hex.EncodeToString(sum[:8]) + `"`, mtype: typeOf(name)}
		assets[name] = a
		if name == "page/index.html" {
			assets[""] = a
		}
		return nil
	})
	return assets, err
}

// typeOf does not depend on what types the machine knows.
func typeOf(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	}
	return "text/plain; charset=utf-8"
}
