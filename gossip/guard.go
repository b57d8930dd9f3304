package gossip

import (
	"context"
	"crypto/x509"
	"errors"
	"maps"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"meshd/internal/mutant"
)

const (
	// guardEvery is how often the guard looks whether certificates, authorities or revocations changed: a revoked peer
	// loses its connections this long after the news came, at most.
	guardEvery = time.Second
	// recheckTrust is how often all connections are judged again without news. Between, only those whose certificate has
	// ended are: 5,000 signatures are half a second of a core.
	recheckTrust = 10 * time.Minute
	// compareEvery is how often a hub compares revocations with another: news travel at once, and this mends what
	// a connection lost.
	compareEvery = 30 * time.Second
	// alarmEvery is how often it is looked for certificates that end soon.
	alarmEvery = time.Minute
)

// guard watches over who may stay connected until ctx ends: it ends connections whose peer is not to be believed any
// more, carries revocations on, has sessions made anew when this node's certificate changed, and warns before
// certificates end.
func (g *Gossip) guard(ctx context.Context) {
	tick := time.NewTicker(guardEvery)
	defer tick.Stop()
	w := &watcher{g: g, revision: g.cfg.TLS.Revision(), shown: g.cfg.TLS.Shown()}
	_, w.digest = g.cfg.TLS.Revocations()
	w.leaf, _ = g.cfg.TLS.Periods()
	for {
		w.look(ctx, time.Now())
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-g.suspect:
		}
	}
}

// watcher is what the guard remembers between looks.
type watcher struct {
	g        *Gossip
	revision uint64
	shown    time.Time
	digest   [32]byte
	leaf     period    // in use at the last look
	judged   time.Time // connections
	compared time.Time // revocations
	alarmed  time.Time
	alarms   alarms
}

func (w *watcher) look(ctx context.Context, now time.Time) {
	g := w.g
	revision := g.cfg.TLS.Revision()
	all := revision != w.revision || now.Sub(w.judged) >= recheckTrust
	if all {
		w.judged = now
	}
	g.judgeConnections(now, all)
	if revision != w.revision {
		w.revision = revision
		w.changed(ctx, now)
	}
	if g.cfg.Role == Hub && now.Sub(w.compared) >= compareEvery {
		w.compared = now
		if s := g.anyHub(); s != nil {
			g.spawn(func() { g.compare(ctx, s.conn) })
		}
	}
	w.renew(ctx, now)
	if now.Sub(w.alarmed) >= alarmEvery {
		w.alarmed = now
		w.alarms.look(g)
	}
	if err := g.cfg.TLS.Err(); err != nil {
		g.quiet.warn(g.log, "certificate files", "error", err.Error())
	}
}

// changed reacts to new files and to what peers told.
func (w *watcher) changed(ctx context.Context, now time.Time) {
	g := w.g
	if shown := g.cfg.TLS.Shown(); shown != w.shown {
		w.shown = shown
		w.alarms, w.alarmed = alarms{}, time.Time{}
		g.log.Info("shows a new certificate", "until", w.until())
		// Peers that refused the old one are asked again, not all at once.
		g.pardons.Add(1)
		g.book.pardon(shown, now)
		g.nudge()
	}
	if _, digest := g.cfg.TLS.Revocations(); digest != w.digest {
		w.digest = digest
		g.spawn(func() { g.spread(ctx) })
	}
}

func (w *watcher) until() time.Time {
	leaf, _ := w.g.cfg.TLS.Periods()
	return leaf.Until
}

// tracked is the connections that serveStreams serves, with whether this side dialed.
type tracked struct {
	mu    sync.Mutex
	conns map[*quic.Conn]bool
}

func (t *tracked) add(conn *quic.Conn, dialed bool) (remove func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.conns == nil {
		t.conns = make(map[*quic.Conn]bool)
	}
	t.conns[conn] = dialed
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.conns, conn)
	}
}

func (t *tracked) all() map[*quic.Conn]bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.conns)
}

// judgeConnections ends every connection whose peer would not be let in now, and forgets its keys. Without all it looks at
// those only whose certificate has ended.
func (g *Gossip) judgeConnections(now time.Time, all bool) {
	trust := func(chain []*x509.Certificate, dialed bool) error {
		if (!all && !now.After(chain[0].NotAfter)) || mutant.On("revoked session kept") {
			return nil
		}
		return g.trust(chain, dialed)
	}
	for _, s := range g.allSessions() {
		if err := trust(peerChain(s.conn), s.info.Dialed); err != nil {
			g.metrics.refusals.WithLabelValues("certificate").Inc()
			g.quiet.warn(g.log, "session ended", "node", s.info.Node, "region", s.info.Region, "reason", err.Error())
			s.end(errors.Join(errUntrusted, err))
		}
	}
	for conn, dialed := range g.tracked.all() {
		if err := trust(peerChain(conn), dialed); err != nil {
			_ = conn.CloseWithError(codeRefused, errUntrusted.Error())
		}
	}
	if mutant.On("keys of the revoked kept") {
		return
	}
	g.keys.prune(func(chain []*x509.Certificate, dialed bool) bool { return trust(chain, dialed) == nil })
}

// trust tells why the other end of a connection is not to be believed now.
func (g *Gossip) trust(chain []*x509.Certificate, dialed bool) error {
	usage := x509.ExtKeyUsageClientAuth
	if dialed {
		usage = x509.ExtKeyUsageServerAuth
	}
	_, err := g.cfg.TLS.Verify(chain, usage)
	return err
}

func peerChain(conn *quic.Conn) []*x509.Certificate {
	return conn.ConnectionState().TLS.PeerCertificates
}

// anyHub returns a session with a hub, nil if there is none.
func (g *Gossip) anyHub() *session {
	var hubs []*session
	for _, s := range g.allSessions() {
		if s.info.Role == Hub {
			hubs = append(hubs, s)
		}
	}
	if len(hubs) == 0 {
		return nil
	}
	return hubs[rand.IntN(len(hubs))]
}
