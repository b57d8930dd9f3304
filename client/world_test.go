package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"meshd/crdt"
	"meshd/ingest"
	"meshd/internal/nodetest"
	"meshd/node"
)

// fault is what becomes of one request.
type fault int

const (
	delivered fault = iota
	refused         // no connection
	lost            // it never arrives, and the sender cannot know
	unanswered
	twice // the network repeats it
	proxied
	numFaults
)

var errNet = errors.New("connection reset by peer")

// mesh is some nodes, each by itself, behind a network that a test breaks. It is the http.RoundTripper of clients.
type mesh struct {
	t     testing.TB
	hosts map[string]*host
	fault func(path string) fault // of the next request; nil: none
	sent  [][]byte                // bodies of reports, as they were sent
	urls  []string
}

// host is a node on a disk.
type host struct {
	name string
	disk *nodetest.Disk
	node *node.Node
	door http.Handler
	stop func()
	life byte
}

func newMesh(t testing.TB, nodes int) *mesh {
	m := &mesh{t: t, hosts: map[string]*host{}}
	for i := range nodes {
		h := &host{name: fmt.Sprintf("node%d", i), disk: &nodetest.Disk{}}
		m.hosts[h.name] = h
		m.urls = append(m.urls, "http://"+h.name)
		m.start(h)
	}
	return m
}

func (m *mesh) start(h *host) {
	h.life++
	reg := prometheus.NewPedanticRegistry()
	metrics, err := ingest.NewMetrics(reg)
	if err != nil {
		m.t.Fatal(err)
	}
	h.node, h.stop = nodetest.Start(m.t, node.Config{
		Mesh: "default", Store: h.disk, Logger: slog.New(slog.DiscardHandler),
		Core: node.CoreConfig{Region: "eu", Node: h.name, Role: node.RoleHub, Inc: crdt.Incarnation{h.life, 1}, Nonce: [16]byte{h.life}},
	})
	door, err := ingest.NewDoor(h.node, metrics)
	if err != nil {
		m.t.Fatal(err)
	}
	h.door = ingest.NewClients(door)
}

func (m *mesh) close() {
	for _, h := range m.hosts {
		h.stop()
	}
}

// restart ends a node and starts it again, on its disk or, if wiped, on another.
func (m *mesh) restart(name string, wiped bool) {
	h := m.hosts[name]
	h.stop()
	if wiped {
		h.disk = &nodetest.Disk{}
	}
	m.start(h)
}

// RoundTrip implements http.RoundTripper.
func (m *mesh) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if len(body) > 0 {
		m.sent = append(m.sent, body)
	}
	f := delivered
	if m.fault != nil {
		f = m.fault(r.URL.Path)
	}
	send := func() *http.Response {
		w := httptest.NewRecorder()
		req := httptest.NewRequestWithContext(r.Context(), r.Method, r.URL.RequestURI(), bytes.NewReader(body))
		m.hosts[r.URL.Host].door.ServeHTTP(w, req)
		return w.Result()
	}
	switch f {
	case refused:
		return nil, &net.OpError{Op: "dial", Err: errNet}
	case lost:
		return nil, errNet
	case unanswered:
		send().Body.Close()
		return nil, errNet
	case proxied:
		send().Body.Close()
		w := httptest.NewRecorder()
		w.WriteHeader(http.StatusBadGateway)
		fmt.Fprint(w, "<html>bad gateway</html>")
		return w.Result(), nil
	case twice:
		send().Body.Close()
	default:
	}
	return send(), nil
}

// client returns one whose rounds the test runs, with a clock that it sets.
func (m *mesh) client(cfg Config) (*Client, *clock) {
	cfg.Nodes, cfg.HTTP = m.urls, &http.Client{Transport: m}
	c, err := newClient(cfg)
	if err != nil {
		m.t.Fatal(err)
	}
	k := &clock{at: time.Unix(1_700_000_000, 0)}
	c.sender.now = func() time.Time { return k.at }
	return c, k
}

type clock struct{ at time.Time }

// totals returns what all nodes together hold of a metric.
func (m *mesh) total(metric string) crdt.Value {
	m.t.Helper()
	var sum crdt.Value
	for _, h := range m.hosts {
		t, err := h.node.Totals(context.Background(), node.Select{Match: func(s *crdt.Series) bool { return s.Name == metric }})
		if err != nil {
			m.t.Fatal(err)
		}
		for _, r := range t.Rows {
			if sum.Kind == 0 {
				sum = crdt.Bottom(r.Value.Kind)
			}
			if err := sum.Combine(&r.Value); err != nil {
				m.t.Fatal(err)
			}
		}
	}
	return sum
}
