package gossip

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/quic-go/quic-go"

	"meshd/internal/mutant"
	"meshd/internal/wire"
)

// A question goes over a short stream of its own (kindAsk), on the bulk connection of a session, so that no answer is in the way of
// cells: opener, preface, one message; the answer is messages until the stream ends. QUIC's flow control slows an answer down to
// the pace of who reads it. Who asked ends an answer by giving the stream up, and who answers hears of it.

// AnswerWithin bounds how long one answer may take, whoever asks for how long: as long as a query of a dashboard.
const AnswerWithin = 30 * time.Second

// ErrNoSession says that a peer is gone, or was never there.
var ErrNoSession = errors.New("gossip: no session with that peer")

// Ask sends a question to a peer and calls take with every message of its answer, in order, until the last one came. Take owns
// the message; its error ends the answer and comes back as it is. Without a bulk connection one is made first.
func (g *Gossip) Ask(ctx context.Context, peer uint64, question []byte, take func(msg []byte) error) error {
	s := g.sessionByID(peer)
	if s == nil {
		return ErrNoSession
	}
	ctx, cancel := context.WithTimeout(ctx, AnswerWithin)
	defer cancel()
	conn, err := s.bulkConnection(ctx)
	if err != nil {
		return err
	}
	gr, err := g.greet(ctx, conn, kindAsk)
	if err != nil {
		return fmt.Errorf("gossip: ask %s: %w", s.info.Node, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = gr.stream.SetDeadline(time.Now()) })
	defer stop()
	defer gr.stream.CancelRead(0) // of an answer that came whole it does nothing
	if err := writeOne(gr.stream, question); err != nil {
		return errors.Join(ctx.Err(), err)
	}
	_ = gr.stream.Close()
	for {
		msg, err := readMessage(gr.r, MaxMessage)
		if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return errors.Join(ctx.Err(), fmt.Errorf("gossip: answer of %s: %w", s.info.Node, err))
		}
		if err := take(msg); err != nil {
			return err
		}
	}
}

// bulkConnection waits for the session's second connection, and asks for one if there is none.
func (s *session) bulkConnection(ctx context.Context) (*quic.Conn, error) {
	if mutant.On("questions on the first connection") {
		return s.conn, nil
	}
	s.askForBulk()
	select {
	case <-s.bulkUp:
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.bulkConn, nil
	case <-s.done:
		return nil, ErrNoSession
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// serveAsk is the other end of Ask. Only who has a session may ask, on one of its connections.
func (g *Gossip) serveAsk(ctx context.Context, conn *quic.Conn, gr *greeting) error {
	s := g.sessionOf(identityOf(gr.peer))
	if s == nil || !s.has(conn) {
		return g.refuse(gr, &refusedError{code: refuseNoSession, ours: true, text: "no session that this question belongs to"})
	}
	if g.cfg.Asked == nil {
		return g.refuse(gr, &refusedError{code: refuseRole, ours: true, text: "this node answers no questions: ask a hub"})
	}
	if err := g.answer(gr); err != nil {
		return err
	}
	_ = gr.stream.SetReadDeadline(time.Now().Add(greetWithin))
	question, err := readMessage(gr.r, wire.MaxQueryBytes)
	if err != nil {
		return noEOF(err)
	}
	ctx, cancel := context.WithTimeout(ctx, AnswerWithin)
	defer cancel()
	if !mutant.On("answers go on for nobody") {
		defer context.AfterFunc(gr.stream.Context(), cancel)() // who asked gave the stream up
	}
	deadline, _ := ctx.Deadline()
	_ = gr.stream.SetWriteDeadline(deadline)
	if err := g.cfg.Asked(ctx, s.peer(), question, func(msg []byte) error { return writeOne(gr.stream, msg) }); err != nil {
		gr.stream.CancelWrite(0) // it counted what became of it
		return nil
	}
	return gr.stream.Close()
}

// writeOne writes a message behind its length, at once.
func writeOne(w io.Writer, msg []byte) error {
	b := bufio.NewWriter(w)
	_ = writeMessage(b, msg) // bufio keeps the error for Flush
	return b.Flush()
}

// has reports whether conn is one of the session's.
func (s *session) has(conn *quic.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return conn == s.conn || conn == s.bulkConn
}
