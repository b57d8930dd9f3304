package gossip

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/quic-go/quic-go"

	"meshd/internal/mutant"
	"meshd/internal/wire"
)

const (
	// maxConns bounds the accepted connections: 5,000 edges over a few hubs with two connections each leave room.
	maxConns = 8192
	// maxStreams a peer may have open at once on one connection: one of messages, the rest short (Serf, hubs).
	maxStreams = 16
	// linkIdle ends connections without a session, and the bulk one when the peer has vanished.
	linkIdle = 30 * time.Second
)

// sessionConfig is for dialing a session. Flow control lets 4 MiB, half the longest message, be under way per stream:
// 1 Gbit/s over 32 ms.
func sessionConfig(t timing) *quic.Config {
	c := baseConfig()
	c.MaxIdleTimeout, c.KeepAlivePeriod, c.HandshakeIdleTimeout = t.idle, t.keepAlive, t.dial
	return c
}

// listenConfig leaves the timing to the side that dials.
func listenConfig() *quic.Config {
	c := baseConfig()
	c.MaxIdleTimeout, c.HandshakeIdleTimeout = longestIdle, greetWithin
	return c
}

// bulkConfig is for the second connection. Its keep-alive only holds NAT mappings open: the session notices a dead peer.
func bulkConfig() *quic.Config {
	c := baseConfig()
	c.MaxStreamReceiveWindow, c.MaxConnectionReceiveWindow = MaxMessage, MaxMessage+1<<20
	c.MaxIdleTimeout, c.KeepAlivePeriod, c.HandshakeIdleTimeout = linkIdle, linkIdle/3, greetWithin
	return c
}

func linkConfig() *quic.Config {
	c := baseConfig()
	c.MaxIdleTimeout, c.HandshakeIdleTimeout = linkIdle, greetWithin
	return c
}

// baseConfig has no datagrams (a burst of them is dropped silently) and no 0-RTT (it can be replayed).
func baseConfig() *quic.Config {
	return &quic.Config{
		MaxStreamReceiveWindow:     4 << 20,
		MaxConnectionReceiveWindow: 6 << 20,
		MaxIncomingStreams:         maxStreams,
		MaxIncomingUniStreams:      -1,
	}
}

// attempt bounds one dial of a node that answers. One that is silent is given up much earlier, by QUIC: after dial before the
// handshake is done, after the idle timeout then. The rest is for a hub that a thousand edges dial at once: it answers each
// in its turn, and who gave up at the first would come back to the end of the line with all that was done for it lost.
func (t timing) attempt() time.Duration { return 2*t.dial + greetWithin }

// connect dials addr and introduces this node on a first stream of the given kind.
func (g *Gossip) connect(ctx context.Context, addr string, kind byte, conf *quic.Config) (*quic.Conn, *greeting, error) {
	limit := g.timing.attempt()
	if mutant.On("busy hubs given up early") {
		limit = g.timing.dial
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	to, err := resolve(ctx, addr)
	if err != nil {
		return nil, nil, err
	}
	g.metrics.dials.Inc()
	conn, err := g.transport.Dial(ctx, to, g.clientTLS, conf)
	var gr *greeting
	if err == nil {
		if gr, err = g.greet(ctx, conn, kind); err == nil {
			g.share(conn, gr, true)
			return conn, gr, nil
		}
	}
	err = g.explain(err)
	g.metrics.dialFailures.Inc()
	no, refusal := errors.AsType[*refusedError](err)
	if refusal {
		g.metrics.refusals.WithLabelValues(refusalName(no.code)).Inc()
	}
	switch {
	case conn == nil:
	case refusal:
		_ = conn.CloseWithError(codeRefused, no.text)
	default:
		_ = conn.CloseWithError(codeFailed, "no session")
	}
	return nil, nil, err
}

// share keeps the keys for Serf's packets of a connection on which both ends do so: a stream of Serf's, or a session of two
// hubs. A key that only one end has would seal packets for nobody. The thousands of edges that take no part must not push
// the hubs' keys out.
func (g *Gossip) share(conn *quic.Conn, gr *greeting, dialed bool) {
	hubs := g.cfg.Role == Hub && Role(gr.peer.Role) == Hub
	if gr.kind == kindSerf || (gr.kind == kindSession && hubs) || mutant.On("keys that one end has") {
		g.keys.install(conn, gr.peer, dialed)
	}
}

// explain turns a TLS alert into the refusal it is.
func (g *Gossip) explain(err error) error {
	te, ok := errors.AsType[*quic.TransportError](err)
	if !ok || !te.ErrorCode.IsCryptoError() {
		return err
	}
	if te.Remote {
		text := "it does not accept this node's certificate, see its log: check authority, expiry and deny list there"
		if g.cfg.TLS != nil && g.cfg.TLS.Err() != nil {
			text += ": " + g.cfg.TLS.Err().Error()
		}
		return &refusedError{code: refuseIdentity, text: text}
	}
	return &refusedError{code: refuseIdentity, text: te.Error(), ours: true}
}

// resolve turns host:port into an address, asking the name service only for names.
func resolve(ctx context.Context, addr string) (*net.UDPAddr, error) {
	if at, err := netip.ParseAddrPort(addr); err == nil {
		return net.UDPAddrFromAddrPort(at), nil
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	number, err := net.DefaultResolver.LookupPort(ctx, "udp", port)
	if err != nil {
		return nil, err
	}
	if len(ips) == 0 {
		return nil, fmt.Errorf("%s has no address", host)
	}
	return net.UDPAddrFromAddrPort(netip.AddrPortFrom(ips[0].Unmap(), uint16(number))), nil
}

// accept serves incoming connections until the listener is closed.
func (g *Gossip) accept(ctx context.Context, ln *quic.Listener) error {
	slots := make(chan struct{}, maxConns)
	for {
		conn, err := ln.Accept(ctx)
		if err != nil {
			return err
		}
		select {
		case slots <- struct{}{}:
			g.spawn(func() {
				defer func() { <-slots }()
				g.serveStreams(ctx, conn, false)
			})
		default:
			g.metrics.refusals.WithLabelValues("connections").Inc()
			_ = conn.CloseWithError(codeBusy, "too many connections: dial another hub")
		}
	}
}

// serveStreams handles what the peer opens on one connection until that closes.
func (g *Gossip) serveStreams(ctx context.Context, conn *quic.Conn, dialed bool) {
	defer g.tracked.add(conn, dialed)()
	if !dialed {
		silent := time.AfterFunc(2*greetWithin, func() { _ = conn.CloseWithError(codeFailed, "no preface came") })
		defer silent.Stop()
		st, err := conn.AcceptStream(ctx)
		silent.Stop()
		if err != nil {
			return
		}
		g.spawn(func() { g.serveStream(ctx, conn, st, dialed) })
	}
	for {
		st, err := conn.AcceptStream(ctx)
		if err != nil {
			return
		}
		g.spawn(func() { g.serveStream(ctx, conn, st, dialed) })
	}
}

func (g *Gossip) serveStream(ctx context.Context, conn *quic.Conn, st *quic.Stream, dialed bool) {
	gr, err := g.hear(st)
	if err == nil {
		err = g.serveKind(ctx, conn, gr, dialed)
	}
	if err == nil {
		if mutant.On("short streams left open") {
			return
		}
		switch gr.kind {
		case kindHubs, kindRevoked, kindRenew, kindAsk:
			st.CancelRead(0) // all was said: an end that nobody reads would count against maxStreams for ever
		}
		return
	}
	st.CancelRead(0)
	// A hub finds out which of the addresses it hears of is its own by dialing it: nothing to warn of.
	if no, ok := errors.AsType[*refusedError](err); ok && no.lasting() && no.code != refuseSelf {
		g.quiet.warn(g.log, "session refused", "from", conn.RemoteAddr().String(), "reason", no.Error())
	}
	if _, ok := errors.AsType[*refusedError](err); !ok {
		st.CancelWrite(0)
		g.metrics.badStreams.Inc()
	}
}

func (g *Gossip) serveKind(ctx context.Context, conn *quic.Conn, gr *greeting, dialed bool) error {
	if no := g.judge(conn, gr.peer); no != nil {
		return g.refuse(gr, no)
	}
	switch {
	case gr.kind == kindHubs:
		return g.serveHubs(gr)
	case gr.kind == kindSerf:
		return g.serveSerf(conn, gr)
	case gr.kind == kindRevoked:
		return g.serveRevoked(gr)
	case gr.kind == kindRenew:
		return g.serveRenew(conn, gr)
	case gr.kind == kindAsk:
		return g.serveAsk(ctx, conn, gr)
	case gr.kind == kindSession && !dialed:
		return g.serveSession(ctx, conn, gr)
	case gr.kind == kindBulk && !dialed:
		return g.serveBulk(conn, gr)
	}
	return g.refuse(gr, &refusedError{code: refuseMalformed, ours: true, text: "unknown kind of stream: upgrade the older node"})
}

func (g *Gossip) serveSession(ctx context.Context, conn *quic.Conn, gr *greeting) error {
	if !g.cfg.Reachable {
		return g.refuse(gr, &refusedError{
			code: refuseRole, ours: true,
			text: "this node is an edge and takes no sessions: dial its hubs, or start it with --reachable",
		})
	}
	if Role(gr.peer.Role) == Edge && g.cfg.Role == Edge {
		return g.refuse(gr, &refusedError{code: refuseRole, ours: true, text: "both are edges: dial a hub"})
	}
	g.noteNamesake(conn, gr.peer)
	s := g.newSession(conn, gr.peer, false, time.Now().Add(-greetWithin))
	if no := g.enter(s); no != nil {
		return g.refuse(gr, no)
	}
	g.share(conn, gr, false)
	if err := g.answer(gr); err != nil {
		s.end(err)
	}
	s.run(ctx, gr)
	return nil
}

// noteNamesake logs what is allowed but rarely meant: copied disks and reused names.
func (g *Gossip) noteNamesake(conn *quic.Conn, p *preface) {
	if p.Region == g.cfg.Region && p.Node == g.cfg.Node {
		g.quiet.warn(g.log, "another live process uses this node's name: harmless to the totals, but rename one of them",
			"node", p.Node, "at", conn.RemoteAddr().String())
	}
}

func (g *Gossip) serveBulk(conn *quic.Conn, gr *greeting) error {
	s := g.sessionOf(identityOf(gr.peer))
	if s == nil || s.info.Dialed {
		return g.refuse(gr, &refusedError{code: refuseNoSession, ours: true, text: "no session that this bulk connection belongs to"})
	}
	if err := g.answer(gr); err != nil {
		return err
	}
	s.addBulk(conn, gr)
	return nil
}

func (g *Gossip) serveHubs(gr *greeting) error {
	g.meet(gr.peer)
	if err := g.answer(gr); err != nil {
		return err
	}
	_ = gr.stream.SetDeadline(time.Now().Add(greetWithin))
	body, err := wire.AppendHubs(nil, &hubs{Hubs: g.hubs(gr.peer.Region)})
	if err == nil {
		b := bufio.NewWriter(gr.stream)
		err = errors.Join(writeMessage(b, body), b.Flush())
	}
	return errors.Join(err, gr.stream.Close())
}
