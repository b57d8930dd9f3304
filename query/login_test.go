package query

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/crypto/bcrypt"
)

// TestLoginsHaveRoles: names with passwords stand among tokens, each with what it may do; nothing else lets in.
func TestLoginsHaveRoles(t *testing.T) {
	hash := func(password string) string {
		h, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		return string(h)
	}
	path := filepath.Join(t.TempDir(), "tokens")
	alice := hash("open sesame")
	text := "read alice:" + alice + "\nwrite bob:" + strings.Replace(hash("b:b"), "$2a$", "$2y$", 1) + "\nadmin token\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{Source: everyKind(), Registry: prometheus.NewRegistry(), TokenFile: path})
	if err != nil {
		t.Fatal(err)
	}
	basic := func(login string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(login)) }
	for range 2 { // the second time what was right is known
		for authorization, want := range map[string]int{
			basic("alice:open sesame"): 200, basic("bob:b:b"): 403, basic("x:token"): 200, "Bearer token": 200,
			basic("alice:b:b"): 401, basic("bob:open sesame"): 401, basic("carol:open sesame"): 401, basic(":open sesame"): 401,
			basic("alice:" + alice): 401, "Bearer " + alice: 401, "Bearer alice:" + alice: 401, "Bearer open sesame": 401, basic("alice:"): 401,
		} {
			if code := send(s, "GET", "/v1/status", "Authorization", authorization).Code; code != want {
				t.Errorf("%s is answered %d, want %d", authorization, code, want)
			}
		}
	}
	if !s.AllowsWrite(basic("bob:b:b")) || s.AllowsWrite(basic("alice:open sesame")) {
		t.Error("doors with a protocol of their own see other roles")
	}
	// Another password: what was right is not any more.
	if err := os.WriteFile(path, []byte("read alice:"+hash("new")+" \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for login, want := range map[string]int{"alice:open sesame": 401, "alice:new": 200} {
		if code := send(s, "GET", "/v1/status", "Authorization", basic(login)).Code; code != want {
			t.Errorf("after the change %s is answered %d, want %d", login, code, want)
		}
	}
}

// TestLoginsRefuse: hashes that nobody can log in by, or only slowly, are errors.
func TestLoginsRefuse(t *testing.T) {
	for word, want := range map[string]string{
		":$2y$04$abc": "without a name", "alice:$2y$04$abc": "htpasswd -B", "alice:$2y$20$" + strings.Repeat("a", 53): "at most 14",
	} {
		if _, err := parseLogin(word); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", word, err, want)
		}
	}
	if l, err := parseLogin("a:token"); l != nil || err != nil {
		t.Errorf("a token is taken for a login: %v, %v", l, err)
	}
}
