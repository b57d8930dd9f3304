package gossip

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

// socketBuffer is what QUIC wants the kernel to hold per direction: 7 MiB are 56 ms at 1 Gbit/s, a scheduling pause.
const socketBuffer = 7 << 20

// openSocket returns the one socket: cfg.Conn, or a UDP socket of our own. A *net.UDPConn is handed to QUIC unwrapped,
// which then batches system calls and reads congestion marks.
func (g *Gossip) openSocket() (net.PacketConn, error) {
	conn := g.cfg.Conn
	if conn == nil {
		udp, err := g.listen()
		if err != nil {
			return nil, err
		}
		conn = udp
	} else if err := g.allowed(conn.LocalAddr()); err != nil {
		return nil, err
	}
	if udp, ok := conn.(*net.UDPConn); ok {
		g.growBuffers(udp)
	}
	if g.cfg.Meter != nil {
		return metered(conn, g.cfg.Meter), nil
	}
	return conn, nil
}

// allowed refuses to talk to strangers on a network.
func (g *Gossip) allowed(a net.Addr) error {
	udp, ok := a.(*net.UDPAddr)
	if g.cfg.TLS != nil || g.cfg.Insecure || (ok && udp.IP.IsLoopback()) {
		return nil
	}
	return fmt.Errorf("--listen %s: without certificates a node listens on loopback only: give --tls-ca, --tls-cert and --tls-key, or --insecure", a)
}

func (g *Gossip) listen() (*net.UDPConn, error) {
	addr, err := net.ResolveUDPAddr("udp", g.cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("--listen %s: %w", g.cfg.Listen, err)
	}
	if err := g.allowed(addr); err != nil {
		return nil, err
	}
	conn, err := net.ListenUDP("udp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("UDP address %s is in use by another process: choose another --listen: %w", g.cfg.Listen, err)
	}
	if err != nil {
		return nil, fmt.Errorf("--listen %s: %w", g.cfg.Listen, err)
	}
	return conn, nil
}

// growBuffers asks for larger kernel buffers and says so when it does not get them: small ones lose packets in bursts,
// which shows as low throughput and nothing else.
func (g *Gossip) growBuffers(conn *net.UDPConn) {
	// The results are read back below: the kernel refuses by giving less.
	_ = conn.SetReadBuffer(socketBuffer)
	_ = conn.SetWriteBuffer(socketBuffer)
	read, write, err := socketBuffers(conn)
	if err != nil || min(read, write) >= socketBuffer {
		return
	}
	g.metrics.bufferRefused.Set(float64(socketBuffer - min(read, write)))
	g.log.Warn("kernel refuses large UDP buffers: bursts will lose packets; raise net.core.rmem_max and net.core.wmem_max to 7500000",
		"wanted", socketBuffer, "receive", read, "send", write)
}

// advertised is the address others dial, ip:port; empty for an edge that nobody dials: peers then use the address that
// they see.
func (g *Gossip) advertised() (string, error) {
	if g.cfg.Advertise != "" {
		addr, err := net.ResolveUDPAddr("udp", g.cfg.Advertise)
		if err != nil {
			return "", fmt.Errorf("--advertise %s: %w", g.cfg.Advertise, err)
		}
		at, err := canonical(addr.String())
		if err != nil {
			return "", fmt.Errorf("--advertise %s: %w", g.cfg.Advertise, err)
		}
		return at, nil
	}
	local := g.conn.LocalAddr().String()
	if at, err := canonical(local); err == nil {
		return at, nil
	}
	if !g.cfg.Reachable {
		return "", nil
	}
	at, err := netip.ParseAddrPort(local)
	if err != nil {
		return "", fmt.Errorf("socket has address %s: set --advertise", local)
	}
	ip, err := hostAddress()
	if err != nil {
		return "", err
	}
	return netip.AddrPortFrom(ip, at.Port()).String(), nil
}

// hostAddress picks what a node that listens everywhere tells others: its first private address, else the first one
// that is neither loopback nor link-local.
func hostAddress() (netip.Addr, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return netip.Addr{}, fmt.Errorf("list this host's addresses: %w: set --advertise", err)
	}
	var other netip.Addr
	for _, a := range addrs {
		prefix, err := netip.ParsePrefix(a.String())
		if err != nil || prefix.Addr().IsLoopback() || !prefix.Addr().IsGlobalUnicast() {
			continue
		}
		if prefix.Addr().IsPrivate() {
			return prefix.Addr(), nil
		}
		if !other.IsValid() {
			other = prefix.Addr()
		}
	}
	if !other.IsValid() {
		return netip.Addr{}, errors.New("this host has no address but loopback: set --advertise, or --listen to 127.0.0.1")
	}
	return other, nil
}
