package demo

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"meshd/cmd/meshd/internal/cluster"
)

// controlTimeout bounds one request of the second terminal: restarting a region's five nodes in order takes longest.
const controlTimeout = time.Minute

// restart starts a node or a region's nodes again, with wipe on empty disks.
func restart(s *cluster.Cluster, target string, wipe bool) error {
	if wipe {
		return s.Restart(target, os.RemoveAll)
	}
	return s.Restart(target, nil)
}

// control is what the second terminal reaches, for whoever holds the token.
func control(s *cluster.Cluster, token string) http.Handler {
	mux := http.NewServeMux()
	order := func(path string, do func(target string, r *http.Request) error) {
		mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
			if err := do(r.URL.Query().Get("target"), r); err != nil {
				http.Error(w, err.Error(), http.StatusUnprocessableEntity)
				return
			}
			w.WriteHeader(http.StatusNoContent)
		})
	}
	order("/cut", func(target string, _ *http.Request) error { return s.Cut(target) })
	order("/heal", func(target string, _ *http.Request) error { return s.Heal(target) })
	order("/kill", func(target string, _ *http.Request) error { return s.Kill(target) })
	order("/restart", func(target string, r *http.Request) error {
		return restart(s, target, r.URL.Query().Get("wipe") == "1")
	})
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(s.Status()) // the reader is gone: nothing to do for it
	})
	want := []byte("Bearer " + token)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), want) != 1 {
			http.Error(w, "this needs the token of the demo's folder", http.StatusUnauthorized)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// call sends one request to the running demo of this user and returns the body of its answer.
func (f folder) call(ctx context.Context, method, path string, query url.Values) ([]byte, error) {
	s, err := f.readState()
	if err != nil {
		return nil, err
	}
	token, err := os.ReadFile(f.tokenFile())
	if errors.Is(err, os.ErrNotExist) {
		return nil, errNone
	}
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, controlTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+s.Control+path+"?"+query.Encode(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w (the last one left its folder: %s)", errNone, f)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= 300 {
		return nil, errors.New(strings.TrimSpace(string(body)))
	}
	return body, nil
}
