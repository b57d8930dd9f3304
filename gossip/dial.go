package gossip

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/quic-go/quic-go"

	"meshd/internal/mutant"
	"meshd/internal/wire"
)

// plan keeps the wanted sessions dialed until ctx ends. It is woken when the book or the sessions change.
func (g *Gossip) plan(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	measured := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.wake:
		case <-timer.C:
		}
		now := time.Now()
		if g.cfg.Role == Edge && now.Sub(measured) >= g.timing.measures() {
			measured = now
			g.measure(now)
		}
		dial, drop, again := g.book.due(now)
		for _, h := range dial {
			g.spawn(func() { g.dialHub(ctx, h) })
		}
		for _, id := range drop {
			if s := g.sessionByID(id); s != nil && s.info.Dialed {
				g.metrics.homeMoves.Inc()
				s.end(errSurplus)
			}
		}
		if g.pool == nil {
			g.reportHubs()
		}
		timer.Reset(max(again.Sub(now), 10*time.Millisecond))
	}
}

// dialHub makes one attempt and, when it succeeds, is the session until that ends.
func (g *Gossip) dialHub(ctx context.Context, h hub) {
	s, gr, err := g.openSession(ctx, h)
	g.book.dialed(h.Addr, err, time.Now())
	if err != nil {
		g.nudge()
		if no, ok := errors.AsType[*refusedError](err); ok && no.lasting() && no.code != refuseSelf {
			g.quiet.warn(g.log, "no session", "hub", h.Node, "region", h.Region, "at", h.Addr, "reason", err.Error())
		} else if ctx.Err() == nil {
			g.log.Debug("no session", "hub", h.Node, "region", h.Region, "at", h.Addr, "error", err.Error())
		}
		return
	}
	s.run(ctx, gr)
}

// openSession dials a session. It takes the place of an older one with the same process.
func (g *Gossip) openSession(ctx context.Context, h hub) (*session, *greeting, error) {
	began := time.Now()
	conn, gr, err := g.connect(ctx, h.Addr, kindSession, sessionConfig(g.timing))
	if err != nil {
		return nil, nil, err
	}
	s := g.newSession(conn, gr.peer, true, began)
	if Role(gr.peer.Role) == Hub {
		// It answered here, whatever it advertises: the book must see the target it dialed as up.
		s.info.Addr = h.Addr
	}
	if no := g.enter(s); no != nil {
		_ = conn.CloseWithError(codeBye, no.text)
		return nil, nil, no
	}
	if g.cfg.TLS != nil {
		g.spawn(func() { g.compare(ctx, conn) })
	}
	return s, gr, nil
}

// ask fetches the hubs that a node knows, over a shared connection or a fresh one.
func (g *Gossip) ask(ctx context.Context, addr string) ([]hub, *preface, error) {
	conn, gr, err := g.connect(ctx, addr, kindHubs, linkConfig())
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = conn.CloseWithError(codeBye, "thanks") }()
	list, err := readHubs(gr)
	return g.filled(list, gr.peer, conn), gr.peer, err
}

func (g *Gossip) askSession(ctx context.Context, s *session) ([]hub, error) {
	ctx, cancel := context.WithTimeout(ctx, greetWithin)
	defer cancel()
	gr, err := g.greet(ctx, s.conn, kindHubs)
	if err != nil {
		return nil, err
	}
	list, err := readHubs(gr)
	return g.filled(list, gr.peer, s.conn), err
}

// filled completes the entry of a hub that does not know its own address with where it answered.
func (g *Gossip) filled(list []hub, p *preface, conn *quic.Conn) []hub {
	for i := range list {
		if list[i].Addr == "" && list[i].Region == p.Region && list[i].Node == p.Node {
			list[i].Addr = peerAddr(conn, p)
		}
	}
	return list
}

func readHubs(gr *greeting) ([]hub, error) {
	_ = gr.stream.SetReadDeadline(time.Now().Add(greetWithin))
	defer gr.stream.CancelRead(0)
	defer func() { _ = gr.stream.Close() }()
	body, err := readMessage(gr.r, wire.MaxPrefaceBytes)
	if err != nil {
		return nil, noEOF(err)
	}
	list, err := wire.ParseHubs(body)
	if err != nil {
		return nil, fmt.Errorf("unreadable list of hubs: %w", err)
	}
	return list.Hubs, nil
}

// Pauses between asking for hubs, half of it random: rejoinAlone for a node that has nobody, doubling up to rejoinIdle
// while some are missing, rejoinIdle for one that only wants to hear of changes.
const (
	rejoinAlone = 2 * time.Second
	rejoinIdle  = 30 * time.Second
)

// rejoin asks for hubs until ctx ends: the join addresses as long as hubs are missing, and an edge also the hubs it is
// connected to. Evicted Serf members never come back by themselves, and two halves of a mesh that forgot each other only
// meet here.
func (g *Gossip) rejoin(ctx context.Context) {
	var asked patience
	var learned time.Time
	for pause := rejoinAlone; ; {
		known, up := g.book.remembered()
		missing := up < known // hubs remember what they have seen
		if g.cfg.Role == Edge {
			missing = up < g.cfg.Homes
		}
		if up == 0 || (missing && g.cfg.Role == Hub) {
			g.askJoin(ctx, &asked)
		} else if g.cfg.Role == Edge && (missing || time.Since(learned) >= g.timing.learn || mutant.On("list of hubs asked for at any pace")) {
			learned = time.Now()
			g.refresh(ctx)
		}
		wait := rejoinIdle
		switch {
		case up == 0:
			wait = rejoinAlone
		case missing:
			pause = min(2*pause, rejoinIdle)
			wait = pause
		default:
			pause = rejoinAlone
		}
		if !sleep(ctx, wait/2+rand.N(wait/2)) {
			return
		}
	}
}

// askJoin asks every join address, but for those that refused this node a short while ago.
func (g *Gossip) askJoin(ctx context.Context, asked *patience) {
	for _, i := range rand.Perm(len(g.cfg.Join)) {
		addr := g.cfg.Join[i]
		if ctx.Err() != nil || !asked.may(addr, time.Now(), g.pardons.Load()) || g.book.refuses(addr, time.Now()) {
			continue
		}
		list, from, err := g.ask(ctx, addr)
		if no := asked.note(addr, time.Now(), g.pardons.Load(), err); no != nil && no.code != refuseSelf {
			g.quiet.warn(g.log, "cannot join", "at", addr, "reason", err.Error())
		}
		if err == nil {
			g.book.learn(time.Now(), Role(from.Role) == Hub, list...)
			g.nudge()
		}
	}
}

// refresh keeps an edge's list of hubs true.
func (g *Gossip) refresh(ctx context.Context) {
	all := g.allSessions()
	if len(all) == 0 {
		return
	}
	s := all[rand.IntN(len(all))]
	if s.info.Role != Hub {
		return
	}
	if list, err := g.askSession(ctx, s); err == nil {
		g.book.learn(time.Now(), true, list...)
		g.nudge()
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// reportHubs is the membership of an edge outside Serf: the hubs it was told of.
func (g *Gossip) reportHubs() {
	var members []Member
	http := make(map[string]string)
	for _, s := range g.allSessions() {
		http[s.info.Addr] = s.info.HTTPAddr
	}
	for _, h := range g.book.list(time.Now(), g.cfg.Region, maxTargets) {
		members = append(members, Member{
			Region: h.Region, Node: h.Node, Role: Hub, Inc: h.Inc, Addr: h.Addr, HTTPAddr: http[h.Addr], Status: Alive,
		})
	}
	sortMembers(members)
	g.setMembers(members)
}
