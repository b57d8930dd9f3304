package gossip

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"meshd/internal/mutant"
)

// sessions is the table of what is up.
type sessions struct {
	mu     sync.RWMutex
	byID   map[uint64]*session
	byWho  map[identity]*session
	closed bool
}

// enter adds a session, replacing an older one of the same process, or says why not.
func (g *Gossip) enter(s *session) *refusedError {
	old, no := g.swap(s)
	if no != nil {
		return no
	}
	switch {
	case old == nil:
	case s.info.Dialed || mutant.On("replaced from the other end"):
		old.end(errReplaced)
	default: // the dialer ends it when it has the new one: ended from here, it might be without any for a moment
		old.retire()
	}
	g.metrics.sessions.WithLabelValues(string(s.info.Role), strconv.Itoa(int(s.info.Version))).Inc()
	if s.info.Role == Hub {
		now := time.Now()
		g.book.learn(now, true, hub{Region: s.info.Region, Node: s.info.Node, Addr: s.info.Addr, Inc: s.info.Inc})
		g.book.up(s.info.Addr, s.id, now)
	}
	g.nudge()
	return nil
}

func (g *Gossip) swap(s *session) (old *session, no *refusedError) {
	t := &g.sessions
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, &refusedError{code: refuseClosing, ours: true, text: "this node is shutting down: dial another hub"}
	}
	old = t.byWho[s.who]
	if old != nil && old.info.Dialed != s.info.Dialed && g.self.wins(s.who) != s.info.Dialed {
		return nil, &refusedError{code: refuseDuplicate, ours: true, text: "both nodes dialed at once, the other session stays"}
	}
	if old != nil {
		delete(t.byID, old.id)
	}
	t.byID[s.id], t.byWho[s.who] = s, s
	return old, nil
}

// leave removes a session that has ended.
func (g *Gossip) leave(s *session) {
	t := &g.sessions
	t.mu.Lock()
	delete(t.byID, s.id)
	if t.byWho[s.who] == s {
		delete(t.byWho, s.who)
	}
	t.mu.Unlock()
	g.metrics.sessions.WithLabelValues(string(s.info.Role), strconv.Itoa(int(s.info.Version))).Dec()
	g.book.down(s.info.Addr, s.id, time.Now(), s.err)
	g.nudge()
}

// refusedByPeer tells whether a session ended because the other end does not believe this node any more: dialing again at
// once would only meet a refusal.
func refusedByPeer(err error) bool {
	closed, ok := errors.AsType[*quic.ApplicationError](err)
	return ok && closed.Remote && closed.ErrorCode == codeRefused
}

func (g *Gossip) sessionOf(who identity) *session {
	g.sessions.mu.RLock()
	defer g.sessions.mu.RUnlock()
	return g.sessions.byWho[who]
}

func (g *Gossip) sessionByID(id uint64) *session {
	g.sessions.mu.RLock()
	defer g.sessions.mu.RUnlock()
	return g.sessions.byID[id]
}

// allSessions returns the sessions ordered by region, node and ID.
func (g *Gossip) allSessions() []*session {
	g.sessions.mu.RLock()
	all := make([]*session, 0, len(g.sessions.byID))
	for _, s := range g.sessions.byID {
		all = append(all, s)
	}
	g.sessions.mu.RUnlock()
	slices.SortFunc(all, func(a, b *session) int {
		return cmp.Or(cmp.Compare(a.info.Region, b.info.Region), cmp.Compare(a.info.Node, b.info.Node), cmp.Compare(a.id, b.id))
	})
	return all
}

// endSessions closes the table and every session in it.
func (g *Gossip) endSessions(err error) {
	g.sessions.mu.Lock()
	g.sessions.closed = true
	g.sessions.mu.Unlock()
	for _, s := range g.allSessions() {
		s.end(err)
	}
}
