package query

import (
	"encoding/base64"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func writeTokens(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestToken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	writeTokens(t, path, "first\n\n second \r\n")
	s, registry := newServer(t, everyKind(), func(c *Config) { c.TokenFile = path })
	basic := func(password string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte("anybody:"+password))
	}
	for _, c := range []struct {
		target, authorization string
		code                  int
	}{
		{"/v1/status", "", 401},
		{"/v1/status", "Bearer first", 200},
		{"/v1/status", "bearer second", 200},
		{"/v1/status", basic("second"), 200},
		{"/v1/status", basic("wrong"), 401},
		{"/v1/status", "Token first", 200},
		{"/v1/status", "Bearer ", 401},
		{"/v1/status", "Bearer firs", 401},
		{"/v1/status", "Bearer first second", 401},
		{"/v1/status", "first", 401},
		{"/metrics", "", 401},
		{"/nowhere", "", 401},
		{"/v1/../healthz", "", 401},
		{"/healthz", "", 200},
		{"/readyz", "", 200},
	} {
		w := send(s, "GET", c.target, "Authorization", c.authorization)
		if w.Code != c.code {
			t.Errorf("%s with %q: status %d, want %d", c.target, c.authorization, w.Code, c.code)
		}
		if (w.Header().Get("WWW-Authenticate") != "") != (c.code == 401) {
			t.Errorf("%s with %q: WWW-Authenticate is %q", c.target, c.authorization, w.Header().Get("WWW-Authenticate"))
		}
	}
	if n := counted(t, registry, "meshd_http_refused_total", "token"); n != 9 {
		t.Errorf("%v refusals are counted, want 9", n)
	}
}

func TestATokenMayDoWhatItsLineSays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	writeTokens(t, path, "read r\nwrite w\nread,write rw\nadmin a\nplain\n")
	accept := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) })
	s, registry := newServer(t, everyKind(), func(c *Config) {
		c.TokenFile, c.Events, c.Settings, c.Operator = path, accept, &fakeSettings{}, &orders{}
	})
	s.Handle("/write", Write, accept)
	everything := []string{"GET /v1/status", "GET /metrics", "GET /v1/config", "POST /v1/events", "POST /write", "PUT /v1/config", "POST /v1/drop", "POST /v1/remove"}
	for token, may := range map[string]int{"r": 3, "rw": 5, "a": 8, "plain": 8} {
		for i, route := range everything {
			method, target, _ := strings.Cut(route, " ")
			if code := send(s, method, target, "Authorization", "Bearer "+token).Code; (code != 403) != (i < may) || code == 401 {
				t.Errorf("%s: %s: status %d", token, route, code)
			}
		}
	}
	if code := send(s, "POST", "/write", "Authorization", "Token w").Code; code != 202 {
		t.Errorf("w cannot write: %d", code)
	}
	if w := send(s, "GET", "/v1/status", "Authorization", "Bearer w"); w.Code != 403 || !strings.Contains(w.Body.String(), `says \"read\"`) {
		t.Errorf("w reads: %d %s", w.Code, w.Body)
	}
	if s.AllowsWrite("Bearer r") || !s.AllowsWrite("Bearer w") || !s.AllowsWrite("Bearer a") || s.AllowsWrite("Bearer x") {
		t.Error("doors of other protocols judge otherwise")
	}
	if n := counted(t, registry, "meshd_http_refused_total", "role"); n != 9 {
		t.Errorf("%v refusals are counted, want 9", n)
	}
}

func TestTokenFilesThatSayNothingClear(t *testing.T) {
	for text, want := range map[string]string{"reader secret": `"reader" is not among`, "read secret more": "3 words", "ok\nread,, x": "line 2"} {
		path := filepath.Join(t.TempDir(), "tokens")
		writeTokens(t, path, text)
		if _, err := New(Config{Source: everyKind(), Registry: prometheus.NewRegistry(), TokenFile: path}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestTokenFileIsReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	writeTokens(t, path, "old")
	failures := 0.0
	s, registry := newServer(t, everyKind(), func(c *Config) { c.TokenFile = path })
	works := func(token string) bool {
		return send(s, "GET", "/v1/status", "Authorization", "Bearer "+token).Code == 200
	}
	// touch gives each state of the file a time of its own: file systems count in coarse steps.
	stamp := at
	touch := func() {
		stamp = stamp.Add(time.Second)
		if err := os.Chtimes(path, stamp, stamp); err != nil {
			t.Fatal(err)
		}
	}
	check := func(state string, oldWorks, newWorks bool) {
		t.Helper()
		for range 2 {
			if works("old") != oldWorks || works("new") != newWorks {
				t.Errorf("%s: old works: %v, new works: %v", state, works("old"), works("new"))
			}
		}
		if n := counted(t, registry, "meshd_http_token_reload_failures_total"); n != failures {
			t.Errorf("%s: %v failures are counted, want %v", state, n, failures)
		}
	}
	check("at the start", true, false)
	writeTokens(t, path, "new")
	touch()
	check("replaced", false, true)
	writeTokens(t, path, "")
	touch()
	failures++
	check("emptied for a moment", false, true)
	writeTokens(t, path, "old\nnew")
	touch()
	check("both", true, true)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	failures++
	check("removed", true, true)
	writeTokens(t, path, "new")
	check("there again", false, true)
}

func TestTokenFileMustHoldOne(t *testing.T) {
	dir := t.TempDir()
	writeTokens(t, filepath.Join(dir, "empty"), " \n")
	writeTokens(t, filepath.Join(dir, "huge"), strings.Repeat("x", maxTokenFileBytes+1))
	for _, name := range []string{"missing", "empty", "huge", "."} {
		cfg := Config{Source: everyKind(), Registry: prometheus.NewRegistry(), TokenFile: filepath.Join(dir, name)}
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), "one token a line") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
