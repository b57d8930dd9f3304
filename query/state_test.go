package query

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// TestAStateIsToldToOneAtATime: to tokens of role admin; who comes meanwhile is told to come again.
func TestAStateIsToldToOneAtATime(t *testing.T) {
	tokens := filepath.Join(t.TempDir(), "tokens")
	writeTokens(t, tokens, "admin a\nread,write rw\n")
	leave, failure := make(chan struct{}), error(nil)
	s, err := New(Config{
		Source: &fakeSource{}, Registry: prometheus.NewRegistry(), TokenFile: tokens,
		State: func(_ context.Context, out io.Writer) error {
			if _, err := io.WriteString(out, "all of it"); err != nil {
				return err
			}
			<-leave
			return failure
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ts := httptest.NewServer(s)
	defer ts.Close()
	ask := func(token string) (string, error) {
		c, err := NewClient(ts.URL, token)
		if err != nil {
			t.Fatal(err)
		}
		body, err := c.State(t.Context())
		if err != nil {
			return "", err
		}
		defer body.Close()
		all, err := io.ReadAll(body)
		return string(all), err
	}
	var status *StatusError
	if _, err := ask("rw"); !errors.As(err, &status) || status.Code != http.StatusForbidden {
		t.Errorf("without the role: %v", err)
	}
	s.states <- struct{}{} // somebody else is told
	if _, err := ask("a"); !errors.As(err, &status) || status.Code != http.StatusServiceUnavailable {
		t.Errorf("the second one: %v", err)
	}
	<-s.states
	close(leave)
	if all, err := ask("a"); err != nil || all != "all of it" {
		t.Errorf("%q, %v", all, err)
	}
	failure = errors.New("the caller is gone")
	if _, err := ask("a"); err != nil {
		t.Error(err)
	}
	if cut := valueOf(s.cut); cut != 1 {
		t.Errorf("%v were cut, want 1", cut)
	}
}

// TestAStateEndsWithTheProcess: who is being told does not hold up the end.
func TestAStateEndsWithTheProcess(t *testing.T) {
	s, err := New(Config{
		Source: &fakeSource{}, Registry: prometheus.NewRegistry(),
		State: func(ctx context.Context, _ io.Writer) error {
			<-ctx.Done()
			return ctx.Err()
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		s.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/state", nil))
		close(done)
	}()
	s.end()
	<-done
}
