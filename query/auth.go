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

// protect checks what every request but those for health must pass: a token, and for requests that change something
// that a browser does not send them on behalf of another site.
func (s *Server) protect(next http.Handler) http.Handler {
	origins := http.NewCrossOriginProtection()
	origins.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s.refused.WithLabelValues("cross_origin").Inc()
		writeError(w, http.StatusForbidden, errors.New("a page of another site sent this request: send it from a program, or from this node's own page"))
	}))
	next = origins.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		open := r.URL.Path == "/healthz" || r.URL.Path == "/readyz"
		if s.tokens != nil && !open && !s.tokens.allows(r) {
			s.refused.WithLabelValues("token").Inc()
			w.Header().Add("WWW-Authenticate", `Bearer realm="meshd"`)
			w.Header().Add("WWW-Authenticate", `Basic realm="meshd"`)
			writeError(w, http.StatusUnauthorized, errors.New(
				`token is missing or wrong: send "Authorization: Bearer TOKEN" with a token of the file given by --http-token-file`))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Allows reports whether a request with this Authorization header would pass the token check: doors with a protocol of
// their own ask here.
func (s *Server) Allows(authorization string) bool {
	return s.tokens == nil || s.tokens.allows(&http.Request{Header: http.Header{"Authorization": {authorization}}})
}

// maxTokenFileBytes is far above any list of tokens; it bounds the work of a file named by mistake.
const maxTokenFileBytes = 64 << 10

// tokenFile holds the hashes of the tokens in a file and reads it again when it changes. Tokens are compared by their
// hashes, all of them each time, so that the time taken tells nothing about any.
type tokenFile struct {
	path     string
	failures prometheus.Counter

	mu     sync.Mutex
	seen   os.FileInfo // of the read that gave hashes, or of the last one that failed
	hashes [][sha256.Size]byte
}

func openTokenFile(path string, failures prometheus.Counter) (*tokenFile, error) {
	t := &tokenFile{path: path, failures: failures}
	info, err := os.Stat(path)
	if err == nil {
		t.seen = info
		t.hashes, err = readTokens(path)
	}
	if err != nil {
		return nil, fmt.Errorf("query: token file %s: %w: write one token a line into it", path, err)
	}
	return t, nil
}

// current returns the tokens' hashes after a look at the file. One that changed and cannot be read, or is empty, which it
// is for a moment when an editor writes it in place, leaves the old tokens valid and is counted once.
func (t *tokenFile) current() [][sha256.Size]byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	info, err := os.Stat(t.path)
	switch {
	case err != nil && t.seen == nil, err == nil && t.seen != nil && unchanged(info, t.seen):
		return t.hashes
	case err != nil:
		t.seen = nil
		t.failures.Inc()
		return t.hashes
	}
	t.seen = info
	hashes, err := readTokens(t.path)
	if err != nil {
		t.failures.Inc()
		return t.hashes
	}
	t.hashes = hashes
	return hashes
}

func unchanged(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

func readTokens(path string) ([][sha256.Size]byte, error) {
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
	var hashes [][sha256.Size]byte
	for line := range bytes.Lines(b) {
		if line = bytes.TrimSpace(line); len(line) > 0 {
			hashes = append(hashes, sha256.Sum256(line))
		}
	}
	if len(hashes) == 0 {
		return nil, errors.New("no token in it")
	}
	return hashes, nil
}

// allows reports whether r carries one of the tokens: as a bearer token (InfluxDB's clients say token), or as the password of a basic login, which is
// what browsers can ask for.
func (t *tokenFile) allows(r *http.Request) bool {
	token := ""
	if scheme, rest, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && (strings.EqualFold(scheme, "bearer") || strings.EqualFold(scheme, "token")) {
		token = strings.TrimSpace(rest)
	} else if _, password, ok := r.BasicAuth(); ok {
		token = password
	}
	given := sha256.Sum256([]byte(token))
	found := 0
	for _, h := range t.current() {
		found |= subtle.ConstantTimeCompare(h[:], given[:])
	}
	return found == 1
}
