package query

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// serve returns a client of a server over src.
func serve(t *testing.T, src Source) *Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(path, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, _ := newServer(t, src, func(c *Config) { c.TokenFile = path })
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	c, err := NewClient(h.URL, "secret")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// What the client reads is what the server wrote: rendering both gives the same bytes.
func TestClientReadsAllOfAnAnswer(t *testing.T) {
	c := serve(t, everyKind())
	for _, x := range []struct {
		golden string
		ask    func() (any, error)
	}{
		{"total_everything.json", func() (any, error) {
			return c.Total(t.Context(), TotalRequest{Metric: "*", Quantiles: []string{"0.5", "0.99"}})
		}},
		{"total_by_region.json", func() (any, error) {
			return c.Total(t.Context(), TotalRequest{Metric: "http.requests", Kind: "counter", By: []string{"region"}, Require: 0.5, MaxAge: time.Minute, Top: 10, Agg: "sum"})
		}},
		{"explain_one_region.json", func() (any, error) {
			return c.Explain(t.Context(), "http.requests", []string{"region=us"}, "counter")
		}},
		{"members.json", func() (any, error) { return c.Members(t.Context()) }},
		{"status.json", func() (any, error) { return c.Status(t.Context()) }},
	} {
		a, err := x.ask()
		if err != nil {
			t.Errorf("%s: %v", x.golden, err)
			continue
		}
		var b strings.Builder
		if err := RenderJSON(&b, a); err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(filepath.Join("testdata", x.golden))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(want), b.String()); d != "" {
			t.Errorf("%s (-want +got):\n%s", x.golden, d)
		}
	}
}

func TestClientGivesShortAnswersWithTheError(t *testing.T) {
	src := everyKind()
	src.coverage[1].NodesHeard = 1
	a, err := serve(t, src).Total(t.Context(), TotalRequest{Metric: "stock", Require: 1})
	var refusal *StatusError
	if !errors.As(err, &refusal) || refusal.Code != http.StatusServiceUnavailable || !strings.Contains(refusal.Text, "3 of 4 nodes") {
		t.Errorf("error %v", err)
	}
	if a == nil || len(a.Results) != 1 || a.Coverage.Complete {
		t.Errorf("answer %+v", a)
	}
}

func TestClientErrors(t *testing.T) {
	c := serve(t, everyKind())
	if _, err := c.Total(t.Context(), TotalRequest{Metric: "a{"}); err == nil || !strings.Contains(err.Error(), "does not close") {
		t.Errorf("bad pattern: %v", err)
	}
	c.token = "wrong"
	if _, err := c.Status(t.Context()); err == nil || !strings.Contains(err.Error(), "token is missing or wrong") {
		t.Errorf("wrong token: %v", err)
	}

	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	gone, err := NewClient(addr, "")
	if err != nil {
		t.Fatal(err)
	}
	want := "query: no node answers at " + addr + ": is meshd running there?"
	if _, err := gone.Members(t.Context()); err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("nobody there: %v", err)
	}

	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }))
	t.Cleanup(other.Close)
	c, err = NewClient(strings.TrimPrefix(other.URL, "http://"), "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Explain(t.Context(), "x", nil, ""); err == nil || !strings.Contains(err.Error(), "is another program there?") {
		t.Errorf("another program: %v", err)
	}

	ended, cancel := context.WithDeadline(t.Context(), at)
	defer cancel()
	if _, err := c.Status(ended); err == nil || !strings.Contains(err.Error(), "in time") {
		t.Errorf("deadline: %v", err)
	}
	for _, bad := range []string{"", "http://", "ftp://host:1", "%zz"} {
		if _, err := NewClient(bad, ""); err == nil {
			t.Errorf("address %q is accepted", bad)
		}
	}
}
