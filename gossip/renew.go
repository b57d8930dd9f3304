package gossip

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/quic-go/quic-go"

	"meshd/internal/mutant"
)

// A session was authenticated when it began. When a node's certificate is replaced, its sessions are made anew under the
// new one before the old one ends, each by the side that dialed it: the new session takes the place of the old, which
// ends only then, so nobody is without one. The other side asks for it (kindRenew).

const (
	// renewWithin is over how much time a node that shows a new certificate has its sessions made anew: 5,000 edges of a
	// hub make 83 handshakes a second.
	renewWithin = time.Minute
	// renewAsked is over how much time a dialer that is asked does it: it bounds what a peer that asks all the time costs
	// to one handshake in 5 s.
	renewAsked = 10 * time.Second
	// renewRetry is the longest pause after a failed attempt.
	renewRetry = 30 * time.Second
)

// renew has every session made anew that began under another certificate than the present one, or whose other end asked.
func (w *watcher) renew(ctx context.Context, now time.Time) {
	spread := renewWithin
	if left := w.leaf.Until.Sub(now) / 2; left < spread { // the old one ends soon
		spread = max(left, 0)
	}
	for _, s := range w.g.allSessions() {
		if s.renewalAsked.Load() {
			w.g.replace(ctx, s, renewAsked)
		}
		if !s.born.Before(w.shown) || mutant.On("sessions not made anew") {
			continue
		}
		if s.info.Dialed {
			w.g.replace(ctx, s, spread)
		} else if s.renewing.CompareAndSwap(false, true) {
			s.spawn(func() {
				if s.pause(jitter(spread)) {
					w.g.askRenewal(ctx, s)
				}
			})
		}
	}
	if now.Sub(w.shown) > renewWithin {
		w.leaf, _ = w.g.cfg.TLS.Periods()
	}
}

// replace dials a session that takes the place of s, after a pause of up to spread, until it succeeds or s ends.
func (g *Gossip) replace(ctx context.Context, s *session, spread time.Duration) {
	if !s.renewing.CompareAndSwap(false, true) {
		return
	}
	s.spawn(func() {
		to := hub{Region: s.info.Region, Node: s.info.Node, Addr: s.info.Addr, Inc: s.info.Inc}
		for n := 1; s.pause(jitter(spread)); n++ {
			next, gr, err := g.openSession(ctx, to)
			if err == nil {
				g.metrics.renewals.Inc()
				g.spawn(func() { next.run(ctx, gr) })
				return
			}
			g.log.Debug("session not renewed", "hub", to.Node, "at", to.Addr, "error", err.Error())
			spread = min(renewRetry, time.Second<<min(n, 10))
		}
	})
}

// jitter draws a pause between 0 and limit, 0 included.
func jitter(limit time.Duration) time.Duration {
	if limit <= 0 {
		return 0
	}
	return rand.N(limit)
}

// askRenewal asks the other side, which dialed s, to dial a new session.
func (g *Gossip) askRenewal(ctx context.Context, s *session) {
	ctx, cancel := context.WithTimeout(ctx, greetWithin)
	defer cancel()
	gr, err := g.greet(ctx, s.conn, kindRenew)
	if err == nil {
		gr.stream.CancelRead(0)
		_ = gr.stream.Close() // the other side may have cancelled it: all was said
	}
	if err != nil { // it will dial when this session ends
		g.log.Debug("renewal not asked for", "node", s.info.Node, "error", err.Error())
	}
}

// serveRenew is the other end of askRenewal.
func (g *Gossip) serveRenew(conn *quic.Conn, gr *greeting) error {
	s := g.sessionOf(identityOf(gr.peer))
	if s == nil || s.conn != conn || !s.info.Dialed {
		return g.refuse(gr, &refusedError{code: refuseNoSession, ours: true, text: "no session that this node dialed to you"})
	}
	s.renewalAsked.Store(true) // guard dials: what serves this stream ends with the session
	if err := g.answer(gr); err != nil {
		return err
	}
	return gr.stream.Close()
}
