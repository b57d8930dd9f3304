package query

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// Role is what a token's bearer may do. A token may have several.
type Role uint8

// Roles. Admin may do everything.
const (
	Read  Role = 1 << iota // ask: totals, history, members, status, metrics, the page
	Write                  // count: every protocol's door
	Admin                  // change the mesh: its configuration, removed nodes, dropped series
)

var roleNames = map[string]Role{"read": Read, "write": Write, "admin": Read | Write | Admin}

// String is the word of the token file for what a route needs.
func (r Role) String() string {
	switch {
	case r&Admin != 0:
		return "admin"
	case r&Write != 0:
		return "write"
	}
	return "read"
}

// protect checks what every request but those for health must pass: a token that may do what the route needs (0: any
// token), and for requests that change something that a browser does not send them on behalf of another site.
func (s *Server) protect(need Role, next http.Handler) http.Handler {
	origins := http.NewCrossOriginProtection()
	origins.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s.refused.WithLabelValues("cross_origin").Inc()
		writeError(w, http.StatusForbidden, errors.New("a page of another site sent this request: send it from a program, or from this node's own page"))
	}))
	next = origins.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		open := r.URL.Path == "/healthz" || r.URL.Path == "/readyz"
		if s.tokens != nil && !open {
			switch roles := s.tokens.roles(r); {
			case roles == 0:
				s.refused.WithLabelValues("token").Inc()
				w.Header().Add("WWW-Authenticate", `Bearer realm="meshd"`)
				w.Header().Add("WWW-Authenticate", `Basic realm="meshd"`)
				writeError(w, http.StatusUnauthorized, errors.New(
					`token is missing or wrong: send "Authorization: Bearer TOKEN" with a token of the file given by --http-token-file; commands send that in --token-file FILE`))
				return
			case roles&need != need:
				s.refused.WithLabelValues("role").Inc()
				writeError(w, http.StatusForbidden, fmt.Errorf(
					"this token may not do that: use one whose line in the file given by --http-token-file says %q", need))
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// AllowsWrite reports whether a request with this Authorization header may count: doors with a protocol of their own ask
// here.
func (s *Server) AllowsWrite(authorization string) bool {
	return s.tokens == nil || s.tokens.roles(&http.Request{Header: http.Header{"Authorization": {authorization}}})&Write != 0
}

// maxTokenFileBytes is far above any list of tokens; it bounds the work of a file named by mistake.
const maxTokenFileBytes = 64 << 10

// tokenFile holds the hashes of the tokens in a file and reads it again when it changes. A line is a token, which may do
// everything, or what a token may do and the token: "read TOKEN", "read,write TOKEN", "admin TOKEN". In place of a token there
// may be a name and its password as htpasswd -B writes them, NAME:$2y$..., for basic logins. Tokens are compared by
// their hashes, all of them each time, so that the time taken tells nothing about any.
type tokenFile struct {
	path     string
	failures prometheus.Counter

	mu     sync.Mutex
	seen   os.FileInfo // of the read that gave tokens, or of the last one that failed
	tokens []token

	passed passedLogins
}

type token struct {
	hash  [sha256.Size]byte
	roles Role
	login *login // instead of hash
}

func openTokenFile(path string, failures prometheus.Counter) (*tokenFile, error) {
	t := &tokenFile{path: path, failures: failures}
	info, err := os.Stat(path)
	if err == nil {
		t.seen = info
		t.tokens, err = readTokens(path)
	}
	if err != nil {
		return nil, fmt.Errorf("query: token file %s: %w: write one token a line into it", path, err)
	}
	return t, nil
}

// current returns the tokens after a look at the file. One that changed and cannot be read, or is empty, which it
// is for a moment when an editor writes it in place, leaves the old tokens valid and is counted once.
func (t *tokenFile) current() []token {
	t.mu.Lock()
	defer t.mu.Unlock()
	info, err := os.Stat(t.path)
	switch {
	case err != nil && t.seen == nil, err == nil && t.seen != nil && unchanged(info, t.seen):
		return t.tokens
	case err != nil:
		t.seen = nil
		t.failures.Inc()
		return t.tokens
	}
	t.seen = info
	tokens, err := readTokens(t.path)
	if err != nil {
		t.failures.Inc()
		return t.tokens
	}
	t.tokens = tokens
	return tokens
}

func unchanged(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

func readTokens(path string) ([]token, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxTokenFileBytes {
		return nil, fmt.Errorf("%d bytes, want at most %d", info.Size(), maxTokenFileBytes)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var tokens []token
	number := 0
	for line := range bytes.Lines(b) {
		number++
		fields := strings.Fields(string(line))
		if len(fields) == 0 {
			continue
		}
		roles := roleNames["admin"]
		if len(fields) == 2 {
			if roles, err = parseRoles(fields[0]); err != nil {
				return nil, fmt.Errorf("line %d: %w", number, err)
			}
		}
		if len(fields) > 2 {
			return nil, fmt.Errorf("line %d has %d words, want a token, or what it may do and the token", number, len(fields))
		}
		one := token{hash: sha256.Sum256([]byte(fields[len(fields)-1])), roles: roles}
		if one.login, err = parseLogin(fields[len(fields)-1]); err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		tokens = append(tokens, one)
	}
	if len(tokens) == 0 {
		return nil, errors.New("no token in it")
	}
	return tokens, nil
}

func parseRoles(text string) (roles Role, err error) {
	for name := range strings.SplitSeq(text, ",") {
		role, ok := roleNames[name]
		if !ok {
			return 0, fmt.Errorf("%q is not among read, write and admin", clip(name))
		}
		roles |= role
	}
	return roles, nil
}

// roles returns what the token that r carries may do, 0 if it carries none of the file's: as a bearer token (InfluxDB's
// clients say token), or as the password of a basic login, which is what browsers can ask for.
func (t *tokenFile) roles(r *http.Request) Role {
	text := ""
	if scheme, rest, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && (strings.EqualFold(scheme, "bearer") || strings.EqualFold(scheme, "token")) {
		text = strings.TrimSpace(rest)
	} else if user, password, ok := r.BasicAuth(); ok {
		if roles := t.loginRoles(user, password); roles != 0 {
			return roles
		}
		text = password
	}
	given := sha256.Sum256([]byte(text))
	var roles Role
	for _, one := range t.current() {
		if one.login != nil {
			continue
		}
		same := subtle.ConstantTimeCompare(one.hash[:], given[:])
		roles |= Role(subtle.ConstantTimeSelect(same, int(one.roles), 0))
	}
	return roles
}
