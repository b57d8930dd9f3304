package client

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// stub answers as a node would, without one.
type stub struct {
	mu     sync.Mutex
	paths  []string
	broken bool
}

func (s *stub) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.paths = append(s.paths, r.URL.Path)
	text := ""
	switch {
	case strings.HasSuffix(r.URL.Path, "/open"):
		text = `{"session":"000102030405060708090a0b0c0d0e0f"}`
	case strings.HasSuffix(r.URL.Path, "/count"):
		if s.broken {
			return nil, errNet
		}
		text = `{"accepted":1}`
	}
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(text)), Request: r}, nil
}

func (s *stub) asked() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.ReplaceAll(strings.Join(s.paths, " "), "/v1/client/", "")
}

func TestTheBackgroundSends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stub{}
		c, err := New(Config{Nodes: []string{"http://a"}, HTTP: &http.Client{Transport: s}})
		if err != nil {
			t.Fatal(err)
		}
		c.Counter("clicks").Inc()
		time.Sleep(2 * time.Second)
		if got := s.asked(); got != "open count" {
			t.Errorf("asked %q", got)
		}
		c.Counter("clicks").Inc()
		if err := c.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if got := s.asked(); got != "open count count close" {
			t.Errorf("asked %q", got)
		}
		if err := c.Flush(t.Context()); !errors.Is(err, ErrUnacknowledged) {
			t.Errorf("after Close: %v", err)
		}
	})
}

// TestFlushGoesOnUntilItsEnd: it tries again by itself, and says what is not acknowledged when its time is up.
func TestFlushGoesOnUntilItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stub{broken: true}
		c, err := New(Config{Nodes: []string{"http://a"}, Interval: time.Hour, HTTP: &http.Client{Transport: s}})
		if err != nil {
			t.Fatal(err)
		}
		c.Counter("clicks").Inc()
		time.AfterFunc(3*time.Second, func() {
			s.mu.Lock()
			s.broken = false
			s.mu.Unlock()
		})
		if err := c.Flush(t.Context()); err != nil {
			t.Errorf("the node came back: %v", err)
		}
		s.mu.Lock()
		s.broken = true
		s.mu.Unlock()
		c.Counter("clicks").Inc()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if err := c.Close(ctx); !errors.Is(err, ErrUnacknowledged) {
			t.Errorf("Close: %v", err)
		}
		if st := c.Stats(); st.Reports != 1 || st.InDoubt != 1 || st.LastError == nil {
			t.Errorf("%+v", st)
		}
	})
}

func BenchmarkCounter(b *testing.B) {
	c, err := newClient(Config{Nodes: []string{"http://a"}})
	if err != nil {
		b.Fatal(err)
	}
	b.Run("one", func(b *testing.B) {
		n := c.Counter("one")
		b.ReportAllocs()
		for b.Loop() {
			n.Inc()
		}
	})
	b.Run("shared", func(b *testing.B) {
		n := c.Counter("shared")
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				n.Inc()
			}
		})
	})
	b.Run("timer", func(b *testing.B) {
		d := c.Timer("timer")
		b.ReportAllocs()
		for b.Loop() {
			d.Observe(20 * time.Millisecond)
		}
	})
}
