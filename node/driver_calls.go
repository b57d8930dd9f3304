package node

import (
	"context"
	"errors"

	"meshd/internal/wire"
)

// Submit counts a batch and returns when it is on disk. If ctx ends first the outcome is unknown: it may be counted.
func (n *Node) Submit(ctx context.Context, b *Batch) Result {
	return n.request(ctx, func(id uint64) Event { return Submit{ID: id, Batch: b} })
}

// request lets the core answer an event that asks for something durable.
func (n *Node) request(ctx context.Context, event func(id uint64) Event) Result {
	ch := make(chan Result, 1)
	n.mu.Lock()
	n.nextID++
	id := n.nextID
	n.waiting[id] = ch
	n.mu.Unlock()
	forget := func(err error) Result {
		n.mu.Lock()
		delete(n.waiting, id)
		n.mu.Unlock()
		return Result{Err: err}
	}
	call := func(out *Output) { n.core.Step(n.now(), event(id), out) }
	select {
	case n.calls <- call:
	case <-ctx.Done():
		return forget(ctx.Err())
	case <-n.stopping:
		return forget(ErrClosed)
	}
	select {
	case r := <-ch:
		return r
	case <-ctx.Done():
		return forget(ctx.Err())
	case <-n.done:
		select {
		case r := <-ch:
			return r
		default:
			return forget(ErrClosed)
		}
	}
}

// ask runs f on the core's goroutine and waits for it.
func (n *Node) ask(ctx context.Context, f func(at Time)) error {
	done := make(chan struct{})
	call := func(out *Output) {
		at := n.now()
		f(at)
		out.Wake = at.Mono // reading may have made rollups that want to be sent
		close(done)
	}
	select {
	case n.calls <- call:
	case <-ctx.Done():
		return ctx.Err()
	case <-n.stopping:
		return ErrClosed
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-n.done:
		return ErrClosed
	}
}

// Totals answers for the whole mesh from what is here.
func (n *Node) Totals(ctx context.Context, q Select) (*Totals, error) {
	if q.Each != nil {
		return n.eachTotal(ctx, q)
	}
	var t *Totals
	var err error
	if e := n.ask(ctx, func(at Time) { t, err = n.core.Totals(at, q) }); e != nil {
		return nil, e
	}
	return t, err
}

// eachTotal reads so many series at a time that whoever else wants the core waits for some milliseconds.
func (n *Node) eachTotal(ctx context.Context, q Select) (*Totals, error) {
	var w *Walk
	var err error
	for done := false; !done; {
		if e := n.ask(ctx, func(at Time) {
			if err = ctx.Err(); err != nil { // nobody waits for it any more
				return
			}
			if w == nil {
				w, err = n.core.Walk(at, q)
			}
			if err == nil {
				done, err = w.Next(n.core)
			}
		}); e != nil {
			return nil, e
		}
		if err != nil {
			return nil, err
		}
	}
	return w.Totals, nil
}

// Explain shows what totals were made from.
func (n *Node) Explain(ctx context.Context, q Select) (*Explanation, error) {
	var x *Explanation
	var err error
	if e := n.ask(ctx, func(at Time) { x, err = n.core.Explain(at, q) }); e != nil {
		return nil, e
	}
	return x, err
}

// PeerUp tells the node of a session. The transport calls PeerUp, Message and PeerDown of one session in this order
// and never two at once.
func (n *Node) PeerUp(id uint64, p PeerInfo) { n.deliver(PeerUp{ID: id, Peer: p}) }

// PeerDown tells the node that a session ended.
func (n *Node) PeerDown(id uint64) { n.deliver(PeerDown{ID: id}) }

// Message hands over one message, which the node owns from then on. It blocks while the node is busy, which slows
// the peer down and nobody else. Parsing runs on the caller's goroutine, so sessions parse in parallel. A message
// that does not parse is counted and ends the session: what it was is unknown.
func (n *Node) Message(id uint64, msg []byte) {
	bytes, ok := n.gate.enter(len(msg), n.stopping)
	if !ok {
		return
	}
	d, err := Decode(msg)
	var in Event = Received{ID: id, Msg: d}
	switch {
	case errors.Is(err, wire.ErrReserved):
		in = Received{ID: id} // counted as unknown
	case err != nil:
		n.cfg.Logger.Warn("message refused", "session", id, "err", err)
		in = Malformed{ID: id}
	}
	select {
	case n.messages <- delivery{in, bytes}: // the loop gives the bytes back
	case <-n.stopping:
	}
}

// delivery is an event for the core with the bytes of the gate that it holds.
type delivery struct {
	in    Event
	bytes int
}

func (n *Node) deliver(in Event) {
	select {
	case n.messages <- delivery{in: in}:
	case <-n.stopping:
	}
}
