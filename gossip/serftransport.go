package gossip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/quic-go/quic-go"
)

const (
	// packetQueue holds opened packets for memberlist, which handles one in microseconds: 256 is a quarter second of
	// the busiest hub's traffic. More are dropped and counted, as UDP would.
	packetQueue = 256
	// streamQueue holds streams memberlist has not taken yet; it takes each at once.
	streamQueue = 16
)

// serfTransport lets memberlist work over the one socket: packets sealed beside QUIC's, streams as QUIC streams.
type serfTransport struct {
	g       *Gossip
	ctx     context.Context // of Run: memberlist's interface hands none down
	packets chan *memberlist.Packet
	streams chan net.Conn

	mu    sync.Mutex
	links map[string]*quic.Conn // connections for Serf alone, by address
}

var _ memberlist.NodeAwareTransport = (*serfTransport)(nil)

func newSerfTransport(ctx context.Context, g *Gossip) *serfTransport {
	return &serfTransport{
		g: g, ctx: ctx,
		packets: make(chan *memberlist.Packet, packetQueue),
		streams: make(chan net.Conn, streamQueue),
		links:   make(map[string]*quic.Conn),
	}
}

// FinalAdvertiseAddr returns what this node advertises, whatever memberlist was configured with.
func (t *serfTransport) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	at, err := netip.ParseAddrPort(t.g.advertise)
	if err != nil {
		return nil, 0, fmt.Errorf("no address to advertise: set --advertise: %w", err)
	}
	return at.Addr().AsSlice(), int(at.Port()), nil
}

// WriteTo sends a packet to whoever is at addr.
func (t *serfTransport) WriteTo(b []byte, addr string) (time.Time, error) {
	return t.WriteToAddress(b, memberlist.Address{Addr: addr})
}

// WriteToAddress sends a packet to a member. Without a key it is dropped and counted: memberlist then tries a stream,
// which opens a connection, which has keys.
func (t *serfTransport) WriteToAddress(b []byte, to memberlist.Address) (time.Time, error) {
	at, err := netip.ParseAddrPort(to.Addr)
	if err != nil {
		return time.Time{}, err
	}
	addr := netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
	sealed := t.g.keys.seal(b, to.Name, addr.String())
	now := time.Now()
	if sealed == nil {
		t.g.metrics.packetsDropped.WithLabelValues("no_key_to_seal").Inc()
		return now, nil
	}
	_, err = t.g.transport.WriteTo(sealed, net.UDPAddrFromAddrPort(addr))
	return now, err
}

// PacketCh implements memberlist.Transport.
func (t *serfTransport) PacketCh() <-chan *memberlist.Packet { return t.packets }

// StreamCh implements memberlist.Transport.
func (t *serfTransport) StreamCh() <-chan net.Conn { return t.streams }

// Shutdown does nothing: the socket is Gossip's.
func (t *serfTransport) Shutdown() error { return nil }

// DialTimeout opens a stream to whoever is at addr.
func (t *serfTransport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return t.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

// DialAddressTimeout opens a stream to a member: over its session, over a connection opened for Serf before, or over a
// new one.
func (t *serfTransport) DialAddressTimeout(to memberlist.Address, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(t.ctx, timeout)
	defer cancel()
	if conn := t.shared(to); conn != nil {
		if gr, err := t.g.greet(ctx, conn, kindSerf); err == nil {
			return newSerfStream(conn, gr), nil
		}
	}
	conn, gr, err := t.g.connect(ctx, to.Addr, kindSerf, linkConfig())
	if err != nil {
		return nil, err
	}
	if who := identityOf(gr.peer).member(); to.Name != "" && to.Name != who {
		_ = conn.CloseWithError(codeBye, "another process than expected")
		return nil, fmt.Errorf("at %s is now %s, not %s", to.Addr, who, to.Name)
	}
	t.keep(to.Addr, conn)
	t.g.spawn(func() { t.g.serveStreams(t.ctx, conn, true) })
	return newSerfStream(conn, gr), nil
}

func (t *serfTransport) shared(to memberlist.Address) *quic.Conn {
	for _, s := range t.g.allSessions() {
		if (to.Name != "" && s.who.member() == to.Name) || (to.Name == "" && s.info.Addr == to.Addr) {
			return s.conn
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.links[to.Addr]
}

// keep remembers a connection, which ends by itself when idle, and forgets those that have.
func (t *serfTransport) keep(addr string, conn *quic.Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for a, c := range t.links {
		if c.Context().Err() != nil {
			delete(t.links, a)
		}
	}
	t.links[addr] = conn
}

// readPackets opens what is not QUIC until the socket is closed. It must keep up with quic-go's queue of 32.
func (t *serfTransport) readPackets(ctx context.Context) {
	buf := make([]byte, 2048)
	for {
		n, from, err := t.g.transport.ReadNonQUICPacket(ctx, buf)
		if err != nil {
			return
		}
		packet, err := t.g.keys.open(buf[:n])
		if err != nil {
			t.g.metrics.packetsDropped.WithLabelValues(dropReason(err)).Inc()
			continue
		}
		select {
		case t.packets <- &memberlist.Packet{Buf: packet, From: from, Timestamp: time.Now()}:
		default:
			t.g.metrics.packetsDropped.WithLabelValues("queue_full").Inc()
		}
	}
}

func dropReason(err error) string {
	switch {
	case errors.Is(err, errNoKey):
		return "no_key_to_open"
	case errors.Is(err, errForged):
		return "forged"
	case errors.Is(err, errReplayed):
		return "replayed"
	}
	return "not_sealed"
}

// serveSerf hands an incoming stream to memberlist.
func (g *Gossip) serveSerf(conn *quic.Conn, gr *greeting) error {
	if g.pool == nil {
		return g.refuse(gr, &refusedError{code: refuseRole, ours: true, text: "this node takes no part in Serf: it is an edge without --reachable"})
	}
	g.share(conn, gr, false)
	if err := g.answer(gr); err != nil {
		return err
	}
	select {
	case g.pool.transport.streams <- newSerfStream(conn, gr):
		return nil
	default:
		g.metrics.packetsDropped.WithLabelValues("stream_queue_full").Inc()
		return errors.New("too many Serf streams wait")
	}
}

// serfStream is a QUIC stream as a net.Conn.
type serfStream struct {
	*quic.Stream
	gr   *greeting
	conn *quic.Conn
}

func newSerfStream(conn *quic.Conn, gr *greeting) *serfStream {
	return &serfStream{Stream: gr.stream, gr: gr, conn: conn}
}

// Read reads behind the greeting, part of which may be buffered.
func (s *serfStream) Read(b []byte) (int, error) { return s.gr.r.Read(b) }

// Close ends both directions; what was written still arrives.
func (s *serfStream) Close() error {
	s.CancelRead(0)
	return s.Stream.Close()
}

// LocalAddr implements net.Conn.
func (s *serfStream) LocalAddr() net.Addr { return s.conn.LocalAddr() }

// RemoteAddr implements net.Conn.
func (s *serfStream) RemoteAddr() net.Addr { return s.conn.RemoteAddr() }
