package ingest

import (
	"errors"
	"net"
	"testing"
)

// TestConnectionsBeyondTheBoundWait: they are counted, served when another ends, and let go with the listener.
func TestConnectionsBeyondTheBoundWait(t *testing.T) {
	m, reg := newTestMetrics(t)
	inner := &madeConns{conns: make(chan net.Conn)}
	ln := m.Queue(inner, "http", 1)
	waited := func() float64 { return metric(t, reg, "connections_waited_total", "protocol", "http") }
	type accepted struct {
		conn net.Conn
		err  error
	}
	got := make(chan accepted)
	accept := func() {
		c, err := ln.Accept()
		got <- accepted{c, err}
	}
	dial := func() {
		c, end := net.Pipe()
		t.Cleanup(func() { end.Close() })
		go accept()
		inner.conns <- c
	}
	dial()
	first := <-got
	if first.err != nil || waited() != 0 {
		t.Fatalf("the first: %v, %v waited", first.err, waited())
	}
	dial()
	first.conn.Close()
	first.conn.Close() // makes room once
	second := <-got
	if second.err != nil {
		t.Fatal(second.err)
	}
	before := waited() // 1 if it came before the first one had ended
	dial()
	ln.Close()
	if third := <-got; !errors.Is(third.err, net.ErrClosed) {
		t.Errorf("the third: %v", third.err)
	}
	if waited() != before+1 {
		t.Errorf("%v waited, want %v: the third did", waited(), before+1)
	}
}

// madeConns is a listener of connections that a test makes.
type madeConns struct{ conns chan net.Conn }

func (m *madeConns) Accept() (net.Conn, error) { return <-m.conns, nil }
func (m *madeConns) Close() error              { return nil }
func (m *madeConns) Addr() net.Addr            { return nil }
