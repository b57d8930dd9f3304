package query

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"meshd/node"
)

// fakeSettings is the configuration of a mesh of one.
type fakeSettings struct{ rec node.ConfigRecord }

func (f *fakeSettings) Config(context.Context) (node.ConfigRecord, error) { return f.rec, nil }

func (f *fakeSettings) SetConfig(_ context.Context, doc []byte, ifVersion *uint64) (node.ConfigRecord, error) {
	if ifVersion != nil && *ifVersion != f.rec.Version {
		return f.rec, fmt.Errorf("%w: version %d", node.ErrConfig, f.rec.Version)
	}
	f.rec = node.ConfigRecord{Version: f.rec.Version + 1, Author: "eu/n1", Made: time.UnixMilli(1_800_000_000_000), Doc: doc}
	return f.rec, nil
}

func TestTheConfigurationIsReadAndReplaced(t *testing.T) {
	s, err := New(Config{Source: everyKind(), Registry: prometheus.NewRegistry(), Settings: &fakeSettings{node.ConfigRecord{Doc: []byte("{}")}}})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s)
	defer srv.Close()
	c, err := NewClient(srv.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	if a, err := c.Config(t.Context()); err != nil || a.Version != 0 || string(a.Config) != "{}" {
		t.Errorf("at first: %+v, %v", a, err)
	}
	doc, zero := []byte(`{"series":9}`), uint64(0)
	if a, err := c.SetConfig(t.Context(), doc, &zero); err != nil || a.Version != 1 || a.Author != "eu/n1" || string(a.Config) != string(doc) {
		t.Errorf("set: %+v, %v", a, err)
	}
	var refused *StatusError
	if _, err := c.SetConfig(t.Context(), doc, &zero); !errors.As(err, &refused) || refused.Code != 400 || !strings.Contains(refused.Text, "version 1") {
		t.Errorf("with an old version: %v", err)
	}
	for target, want := range map[string]int{
		"PUT /v1/config?if_version=x": 400, "PUT /v1/config?version=1": 400, "GET /v1/config?x=1": 400, "DELETE /v1/config": 405, "GET /v1/config": 200,
	} {
		method, path, _ := strings.Cut(target, " ")
		if w := send(s, method, path); w.Code != want {
			t.Errorf("%s: %d %s, want %d", target, w.Code, w.Body, want)
		}
	}
	req := httptest.NewRequest("PUT", "/v1/config", strings.NewReader("{"+strings.Repeat(" ", maxConfigBody)))
	w := httptest.NewRecorder()
	if s.ServeHTTP(w, req); w.Code != 400 {
		t.Errorf("a body of %d bytes: %d", maxConfigBody+1, w.Code)
	}
	without, _ := newServer(t, everyKind(), nil)
	if w := send(without, "GET", "/v1/config"); w.Code != 404 {
		t.Errorf("without settings: %d", w.Code)
	}
}
