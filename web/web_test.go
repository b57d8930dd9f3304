package web

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func serve(t *testing.T, target string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	h, err := New()
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, http.NoBody)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestEveryFileIsServedWithItsTypeAndThePolicy(t *testing.T) {
	assets, err := load()
	if err != nil {
		t.Fatal(err)
	}
	if len(assets) < 12 {
		t.Fatalf("only %d files are embedded", len(assets))
	}
	for name := range assets {
		w := serve(t, "/"+name)
		if w.Code != http.StatusOK || w.Body.Len() == 0 {
			t.Errorf("/%s: status %d, %d bytes", name, w.Code, w.Body.Len())
		}
		for header, want := range map[string]string{"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff"} {
			if got := w.Header().Get(header); got != want {
				t.Errorf("/%s: %s is %q", name, header, got)
			}
		}
	}
	for name, want := range map[string]string{"": "text/html", "page/main.js": "text/javascript", "page/page.css": "text/css", "page/icon.svg": "image/svg+xml"} {
		if got := serve(t, "/"+name).Header().Get("Content-Type"); !strings.HasPrefix(got, want) {
			t.Errorf("/%s has the type %q, want %s", name, got, want)
		}
	}
}

func TestAFileThatTheBrowserHasIsNotSentAgain(t *testing.T) {
	tag := serve(t, "/page/main.js").Header().Get("ETag")
	if w := serve(t, "/page/main.js", "If-None-Match", tag); w.Code != http.StatusNotModified || w.Body.Len() != 0 {
		t.Errorf("status %d, %d bytes", w.Code, w.Body.Len())
	}
	if w := serve(t, "/page/nothing.js"); w.Code != http.StatusNotFound {
		t.Errorf("a file that is not there: status %d", w.Code)
	}
}

// Every file that a file names is there, and none is somebody else's: a node may have no way to the internet.
func TestThePageNamesOnlyFilesOfItsOwn(t *testing.T) {
	assets, err := load()
	if err != nil {
		t.Fatal(err)
	}
	outside := regexp.MustCompile(`(?i)(https?:)?//[a-z0-9.-]+\.[a-z]{2,}`)
	named := regexp.MustCompile(`(?:src|href)="/(page/[^"]+)"|from "\./([^"]+)"`)
	found := 0
	for name, a := range assets {
		if strings.HasPrefix(name, "page/vendor/") {
			continue // as published; the policy keeps it from loading anything
		}
		text := strings.ReplaceAll(string(a.body), "http://www.w3.org/2000/svg", "")
		if m := outside.FindString(text); m != "" {
			t.Errorf("%s names %s", name, m)
		}
		for _, m := range named.FindAllStringSubmatch(text, -1) {
			file := m[1]
			if file == "" {
				file = "page/" + m[2]
			}
			if found++; assets[file] == nil {
				t.Errorf("%s names %s, which is not there", name, file)
			}
		}
	}
	if found < 15 {
		t.Errorf("only %d names found: the test looks for the wrong thing", found)
	}
}
