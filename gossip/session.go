package gossip

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
)

var (
	errReplaced  = errors.New("replaced by a newer session of the same process")
	errBye       = errors.New("this node is shutting down")
	errSurplus   = errors.New("enough home hubs without this one")
	errUntrusted = errors.New("certificate no longer accepted")
)

const (
	readBuffer  = 32 << 10
	writeBuffer = 16 << 10 // gathers small messages; larger ones pass it by
)

// Classes of messages, as metrics label them.
const (
	classNormal = "normal"
	classBulk   = "bulk"
)

// session is one peer that is up: the connection with the normal messages, and one for bulk once that was needed.
type session struct {
	g      *Gossip
	id     uint64
	who    identity
	conn   *quic.Conn
	info   Peer
	born   time.Time // the handshake began then or later: which of our certificates the peer saw
	normal *queue
	bulk   *queue

	use linkUse // of conn, for plan

	renewing     atomic.Bool // a successor is being dialed, or was asked for
	renewalAsked atomic.Bool // by the other side, which accepted this session

	wantBulk chan struct{} // cap 1, dialing side: bulk messages wait for a connection
	bulkUp   chan struct{} // closed once there is a bulk connection
	done     chan struct{} // closed by end
	deliver  sync.Mutex    // held around Handler.Message: the two readers take turns

	mu       sync.Mutex
	err      error // why it ended
	bulkConn *quic.Conn
	asked    bool // for the bulk connection
	wg       sync.WaitGroup
}

// newSession makes a session whose handshake began at born or later.
func (g *Gossip) newSession(conn *quic.Conn, peer *preface, dialed bool, born time.Time) *session {
	s := &session{
		g: g, id: g.lastID.Add(1), who: identityOf(peer), conn: conn, born: born,
		normal:   newQueue(g.cfg.PeerQueueBytes, &g.queued, g.cfg.QueueBytes),
		bulk:     newQueue(g.cfg.PeerQueueBytes, &g.queued, g.cfg.QueueBytes),
		wantBulk: make(chan struct{}, 1),
		bulkUp:   make(chan struct{}),
		done:     make(chan struct{}),
	}
	rtt := conn.ConnectionStats().SmoothedRTT
	s.info = Peer{
		ID: s.id, Region: peer.Region, Node: peer.Node, Role: Role(peer.Role), Inc: peer.Inc, Dialed: dialed, Version: g.cfg.Versions.with(peer),
		Addr: peerAddr(conn, peer), HTTPAddr: peer.HTTP,
		WallOffset: time.UnixMilli(peer.WallMs).Add(rtt / 2).Sub(g.cfg.Wall()),
	}
	return s
}

// peerAddr is where a peer can be dialed: what it advertises, else where its packets come from.
func peerAddr(conn *quic.Conn, p *preface) string {
	for _, addr := range []string{p.Advertise, conn.RemoteAddr().String()} {
		if at, err := canonical(addr); err == nil {
			return at
		}
	}
	return conn.RemoteAddr().String()
}

func (s *session) peer() Peer {
	p := s.info
	p.RTT = s.conn.ConnectionStats().SmoothedRTT
	return p
}

// run reports the session, works until it ends, and reports that. It leaves the table at once, so that another hub is
// dialed while a handler still blocks in Message.
func (s *session) run(ctx context.Context, gr *greeting) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.g.cfg.Handler.PeerUp(s.peer())
	s.attach(classNormal, gr)
	if s.info.Dialed {
		s.spawn(func() { s.g.serveStreams(ctx, s.conn, true) })
		s.spawn(func() { s.dialBulk(ctx) })
	}
	<-s.done
	cancel()
	s.g.leave(s)
	s.wg.Wait()
	s.g.cfg.Handler.PeerDown(s.id, s.err)
}

// spawn starts a goroutine that run waits for, and reports whether the session was still there to do so.
func (s *session) spawn(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return false
	}
	s.wg.Go(f)
	return true
}

// end closes both connections. The first error is the one that counts.
func (s *session) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return
	}
	s.err = err
	code := codeFailed
	if errors.Is(err, errBye) || errors.Is(err, errReplaced) || errors.Is(err, errSurplus) {
		code = codeBye
	}
	if errors.Is(err, errUntrusted) {
		code = codeRefused
	}
	_ = s.conn.CloseWithError(code, err.Error())
	if s.bulkConn != nil {
		_ = s.bulkConn.CloseWithError(code, err.Error())
	}
	lost := s.normal.close() + s.bulk.close()
	s.g.metrics.lost.Add(float64(lost))
	close(s.done)
}

// retireWithin is how long a session that was replaced waits for the dialer to end it.
const retireWithin = greetWithin

// retire ends a session that the dialer has replaced and does not end itself.
func (s *session) retire() {
	s.spawn(func() {
		if s.pause(retireWithin) {
			s.end(errReplaced)
		}
	})
}

// attach starts the two goroutines of one stream. Either's failure ends the session: what was written and not delivered
// is unknown then, and only a new session starts over.
func (s *session) attach(class string, gr *greeting) bool {
	q := s.normal
	if class == classBulk {
		q = s.bulk
	}
	return s.spawn(func() { s.end(fmt.Errorf("reading %s: %w", class, s.read(class, gr.r))) }) &&
		s.spawn(func() { s.end(fmt.Errorf("writing %s: %w", class, s.write(class, gr.stream, q))) })
}

func (s *session) read(class string, r *bufio.Reader) error {
	in, bytes := s.g.metrics.messagesIn.WithLabelValues(class), s.g.metrics.bytesIn.WithLabelValues(class)
	for {
		msg, err := readMessage(r, MaxMessage)
		if errors.Is(err, errTooLong) {
			s.g.metrics.refusals.WithLabelValues("message_too_long").Inc()
		}
		if err != nil {
			return err
		}
		if len(msg) == 0 {
			s.requestBulk()
			continue
		}
		in.Inc()
		bytes.Add(float64(len(msg)))
		s.hand(msg)
	}
}

func (s *session) hand(msg []byte) {
	s.deliver.Lock()
	defer s.deliver.Unlock()
	s.g.cfg.Handler.Message(s.id, msg)
}

func (s *session) write(class string, w io.Writer, q *queue) error {
	out, bytes := s.g.metrics.messagesOut.WithLabelValues(class), s.g.metrics.bytesOut.WithLabelValues(class)
	b := bufio.NewWriterSize(w, writeBuffer)
	for {
		for _, msg := range q.take() {
			if err := writeMessage(b, msg); err != nil {
				return err
			}
			q.written(msg)
			out.Inc()
			bytes.Add(float64(len(msg)))
		}
		if err := b.Flush(); err != nil {
			return err
		}
		select {
		case <-q.wake:
		case <-s.done:
			return s.err
		}
	}
}

// send queues a message; the first bulk one asks for the second connection.
func (s *session) send(bulk bool, msg []byte) bool {
	if !bulk {
		return s.normal.push(msg)
	}
	if !s.bulk.push(msg) {
		return false
	}
	s.askForBulk()
	return true
}

// askForBulk has the second connection made, once.
func (s *session) askForBulk() {
	s.mu.Lock()
	ask := !s.asked
	s.asked = true
	s.mu.Unlock()
	switch {
	case !ask:
	case s.info.Dialed:
		s.requestBulk()
	default: // this side may not be able to reach the other: ask it
		s.normal.push(nil)
	}
}

func (s *session) requestBulk() {
	select {
	case s.wantBulk <- struct{}{}:
	default:
	}
}

// bulkAttempts is how often in a row the bulk connection is dialed before the session is given up.
const bulkAttempts = 5

// dialBulk waits for the first bulk message of either side and opens the second connection.
func (s *session) dialBulk(ctx context.Context) {
	select {
	case <-s.wantBulk:
	case <-s.done:
		return
	}
	var err error
	for attempt := range bulkAttempts {
		if attempt > 0 && !s.pause(backoff(attempt+1, time.Second)) {
			return
		}
		var conn *quic.Conn
		var gr *greeting
		if conn, gr, err = s.g.connect(ctx, s.conn.RemoteAddr().String(), kindBulk, bulkConfig()); err != nil {
			continue
		}
		if identityOf(gr.peer) != s.who {
			_ = conn.CloseWithError(codeRefused, "another process answered")
			err = errors.New("another process answered")
			continue
		}
		if s.addBulk(conn, gr) {
			s.spawn(func() { s.g.serveStreams(ctx, conn, true) })
		}
		return
	}
	s.end(fmt.Errorf("bulk connection: %w", err))
}

func (s *session) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-s.done:
		return false
	}
}

// addBulk ties a second connection to the session and reports whether it did; there is at most one, and one too many is closed.
func (s *session) addBulk(conn *quic.Conn, gr *greeting) bool {
	s.mu.Lock()
	taken := s.err == nil && s.bulkConn == nil
	if taken {
		s.bulkConn, s.asked = conn, true
		close(s.bulkUp)
	}
	s.mu.Unlock()
	if !taken || !s.attach(classBulk, gr) {
		_ = conn.CloseWithError(codeBye, "session has ended or has a bulk connection")
		return false
	}
	return true
}
