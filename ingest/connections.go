package ingest

import (
	"errors"
	"net"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"meshd/internal/mutant"
)

// Queue returns ln with at most n of its connections open at once, for doors whose senders had better wait than be refused: one
// more is taken and stands still until another ends, and the rest wait in the kernel. Each that waits is counted under the door's name.
// Closing the listener ends the one that waits.
func (m *Metrics) Queue(ln net.Listener, door string, n int) net.Listener {
	return &queueListener{Listener: ln, waited: m.waited.WithLabelValues(door), open: make(chan struct{}, n), closed: make(chan struct{})}
}

type queueListener struct {
	net.Listener
	waited prometheus.Counter
	open   chan struct{}
	closed chan struct{}
	once   sync.Once
}

// Accept returns the next connection once it may be served.
func (q *queueListener) Accept() (net.Conn, error) {
	c, err := q.Listener.Accept()
	if err != nil {
		return nil, err
	}
	select {
	case q.open <- struct{}{}:
		return &queuedConn{Conn: c, leave: q.leave}, nil
	default:
	}
	if !mutant.On("waiting connections not counted") {
		q.waited.Inc()
	}
	select {
	case q.open <- struct{}{}:
		return &queuedConn{Conn: c, leave: q.leave}, nil
	case <-q.closed:
		return nil, errors.Join(net.ErrClosed, c.Close())
	}
}

func (q *queueListener) leave() { <-q.open }

// Close ends the wait in Accept too.
func (q *queueListener) Close() error {
	q.once.Do(func() { close(q.closed) })
	return q.Listener.Close()
}

// queuedConn makes room for another when it is closed.
type queuedConn struct {
	net.Conn
	once  sync.Once
	leave func()
}

func (c *queuedConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(c.leave)
	return err
}
