// Package memnet is a packet network in memory: net.PacketConn ends joined by links with delay, jitter, loss and cuts per
// ordered pair of addresses. It runs no goroutine and reads only package time's clock, so that it works inside
// testing/synctest bubbles, where the real transport then runs in virtual time.
//
// Draws come from one seed, but the order in which senders draw is the scheduler's: runs with more than one sender are
// alike, not identical.
package memnet

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Link is how packets travel from one address to another.
type Link struct {
	Delay  time.Duration // of every packet
	Jitter time.Duration // up to this much more, uniform; packets overtake each other
	Loss   float64       // share of packets that vanish, 0 to 1
	Cut    bool          // all vanish
}

// Stats counts packets since New.
type Stats struct {
	Sent, Lost, Delivered uint64
	Overflowed            uint64 // lost because the receiver did not read: see QueueBytes
	Bytes                 uint64 // of the packets sent
}

// QueueBytes bounds what waits for one reader, like a socket's receive buffer: 7 MiB, what meshd asks the kernel for.
const QueueBytes = 7 << 20

// Network joins the ends. Safe for concurrent use.
type Network struct {
	mu       sync.Mutex
	rng      *rand.Rand
	fallback Link
	links    map[pair]Link
	ends     map[netip.AddrPort]*Conn
	order    uint64
	stats    Stats
}

type pair struct{ from, to netip.AddrPort }

// New returns a network without ends whose links have no delay and lose nothing.
func New(seed uint64) *Network {
	return &Network{
		rng:   rand.New(rand.NewPCG(seed, 0x6d656d6e6574)),
		links: make(map[pair]Link),
		ends:  make(map[netip.AddrPort]*Conn),
	}
}

// Listen opens an end at addr, an IP address with a port. A closed end's address may be opened again.
func (n *Network) Listen(addr string) (*Conn, error) {
	at, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, fmt.Errorf("memnet: %w", err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ends[at] != nil {
		return nil, fmt.Errorf("memnet: %s is in use", at)
	}
	c := &Conn{net: n, at: at, wake: make(chan struct{}, 1), closed: make(chan struct{})}
	n.ends[at] = c
	return c, nil
}

// SetDefault sets the link of all pairs that SetLink was not called for.
func (n *Network) SetDefault(l Link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.fallback = l
}

// SetLink sets the link from one address to another, in that direction only. It panics on a malformed address.
func (n *Network) SetLink(from, to string, l Link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.links[pair{netip.MustParseAddrPort(from), netip.MustParseAddrPort(to)}] = l
}

// Cut stops both directions between every address of a and every address of b.
func (n *Network) Cut(a, b []string) { n.setCut(a, b, true) }

// Heal undoes Cut.
func (n *Network) Heal(a, b []string) { n.setCut(a, b, false) }

func (n *Network) setCut(a, b []string, cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, x := range a {
		for _, y := range b {
			from, to := netip.MustParseAddrPort(x), netip.MustParseAddrPort(y)
			for _, p := range [2]pair{{from, to}, {to, from}} {
				l := n.link(p)
				l.Cut = cut
				n.links[p] = l
			}
		}
	}
}

// Stats returns the counts so far.
func (n *Network) Stats() Stats {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.stats
}

func (n *Network) link(p pair) Link {
	if l, ok := n.links[p]; ok {
		return l
	}
	return n.fallback
}

// send carries one packet. Like UDP it reports no loss.
func (n *Network) send(from netip.AddrPort, b []byte, to netip.AddrPort) {
	n.mu.Lock()
	l := n.link(pair{from, to})
	n.stats.Sent++
	n.stats.Bytes += uint64(len(b))
	end := n.ends[to]
	if end == nil || l.Cut || (l.Loss > 0 && n.rng.Float64() < l.Loss) {
		n.stats.Lost++
		n.mu.Unlock()
		return
	}
	due := time.Now().Add(l.Delay)
	if l.Jitter > 0 {
		due = due.Add(time.Duration(n.rng.Int64N(int64(l.Jitter))))
	}
	n.order++
	p := packet{due: due, order: n.order, from: net.UDPAddrFromAddrPort(from), data: append([]byte(nil), b...)}
	n.mu.Unlock()

	ok := end.put(p)
	n.mu.Lock()
	defer n.mu.Unlock()
	if ok {
		n.stats.Delivered++
	} else {
		n.stats.Overflowed++
	}
}

func (n *Network) remove(c *Conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ends[c.at] == c {
		delete(n.ends, c.at)
	}
}
