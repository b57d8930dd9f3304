package gossip

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"log"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/serf"
)

// Tags of a Serf member, short because all of them share 512 bytes.
const (
	tagRegion = "r"
	tagNode   = "n"
	tagRole   = "o"
	tagInc    = "i"
	tagHTTP   = "h"
)

const (
	// eventQueue is between Serf and its reader, which never waits for anything but the handler: more than the members
	// a pool has, so that a burst of all of them failing fits.
	eventQueue = 2 * maxTargets
	// serfPacket is what memberlist may put into one packet: sealed it still fits IPv6's smallest MTU of 1,280 bytes,
	// less 48 of headers.
	serfPacket = 1280 - 48 - sealHeader - sealTag
	// leaveWithin bounds each of the two goodbyes Serf says; with leavePropagate they stay within Run's 2 s.
	leaveWithin    = 500 * time.Millisecond
	leavePropagate = 300 * time.Millisecond
	probeInterval  = 2 * time.Second
	// joinCheck is how often hubs with a session that Serf does not know are joined.
	joinCheck = 2 * time.Second
)

// pool is Serf: who is there, who has failed, who has left.
type pool struct {
	g         *Gossip
	serf      *serf.Serf
	events    chan serf.Event
	transport *serfTransport
}

func newPool(ctx context.Context, g *Gossip) (*pool, error) {
	p := &pool{g: g, events: make(chan serf.Event, eventQueue), transport: newSerfTransport(ctx, g)}
	g.pool = p
	logger := log.New(&serfLog{g.log}, "", 0)

	ml := memberlist.DefaultLANConfig()
	ml.Transport = p.transport
	ml.Logger = logger
	ml.UDPBufferSize = serfPacket
	ml.TCPTimeout = greetWithin
	// Between regions a round trip takes up to 300 ms, and homes fail over by QUIC, not by this.
	ml.ProbeTimeout, ml.ProbeInterval, ml.AwarenessMaxMultiplier = probeInterval/2, probeInterval, 8

	c := serf.DefaultConfig()
	c.Init()
	c.MemberlistConfig = ml
	c.Logger = logger
	c.EventCh = p.events
	c.NodeName = g.self.member()
	c.EnableNameConflictResolution = false // the name is this process' own
	c.BroadcastTimeout, c.LeavePropagateDelay = leaveWithin, leavePropagate
	c.Tags = map[string]string{
		tagRegion: g.cfg.Region, tagNode: g.cfg.Node, tagRole: string(g.cfg.Role),
		tagInc: hex.EncodeToString(g.cfg.Inc[:]), tagHTTP: g.cfg.HTTPAddr,
	}
	var err error
	if p.serf, err = serf.Create(c); err != nil {
		g.pool = nil
		return nil, fmt.Errorf("start Serf: %w", err)
	}
	return p, nil
}

// watch reports membership until ctx ends, and a little longer: Serf must never find its event queue full.
func (p *pool) watch(ctx context.Context) {
	timer := time.NewTicker(freshFor / 4)
	defer timer.Stop()
	for {
		p.report()
		select {
		case <-p.events:
			p.drain()
		case <-timer.C: // present hubs stay fresh in the book
		case <-p.serf.ShutdownCh():
			return
		case <-ctx.Done():
			<-p.serf.ShutdownCh()
			return
		}
	}
}

// drain takes the rest of a burst: one report is enough for all.
func (p *pool) drain() {
	for {
		select {
		case <-p.events:
		default:
			return
		}
	}
}

func (p *pool) report() {
	members, alive := p.members()
	if p.g.book.learn(time.Now(), true, alive...) {
		p.g.nudge()
	}
	p.g.setMembers(members)
}

// members returns everybody Serf knows, ordered, and the hubs other than this one that are alive.
func (p *pool) members() (all []Member, alive []hub) {
	for _, m := range p.serf.Members() {
		var inc [16]byte
		if n, err := hex.Decode(inc[:], []byte(m.Tags[tagInc][:min(32, len(m.Tags[tagInc]))])); err != nil || n != len(inc) {
			continue
		}
		one := Member{
			Region: m.Tags[tagRegion], Node: m.Tags[tagNode], Role: Role(m.Tags[tagRole]), Inc: inc,
			Addr: joinAddr(m.Addr, m.Port), HTTPAddr: m.Tags[tagHTTP], Status: statusOf(m.Status),
		}
		all = append(all, one)
		if one.Role == Hub && one.Status == Alive && m.Name != p.g.self.member() {
			alive = append(alive, hub{Region: one.Region, Node: one.Node, Addr: one.Addr, Inc: inc})
		}
	}
	sortMembers(all)
	return all, alive
}

func sortMembers(all []Member) {
	slices.SortFunc(all, func(a, b Member) int {
		return cmp.Or(cmp.Compare(a.Region, b.Region), cmp.Compare(a.Node, b.Node), cmp.Compare(a.Addr, b.Addr),
			cmp.Compare(string(a.Inc[:]), string(b.Inc[:])))
	})
}

func joinAddr(ip net.IP, port uint16) string {
	if a, ok := netip.AddrFromSlice(ip); ok {
		return netip.AddrPortFrom(a.Unmap(), port).String()
	}
	return net.JoinHostPort(ip.String(), strconv.Itoa(int(port)))
}

func statusOf(s serf.MemberStatus) Status {
	switch s {
	case serf.StatusAlive:
		return Alive
	case serf.StatusLeaving, serf.StatusLeft:
		return Left
	default: // failed, or a member that Serf knows nothing of yet
		return Failed
	}
}

// join brings hubs that have a session and are not alive in Serf into the pool until ctx ends: the first contact, the
// end of a partition, and members that Serf evicted, which never come back by themselves.
func (p *pool) join(ctx context.Context) {
	for sleep(ctx, joinCheck) {
		alive := make(map[string]bool)
		for _, m := range p.serf.Members() {
			if m.Status == serf.StatusAlive {
				alive[m.Name] = true
			}
		}
		for _, s := range p.g.allSessions() {
			name := s.who.member()
			if s.info.Role != Hub || alive[name] || ctx.Err() != nil {
				continue
			}
			if _, err := p.serf.Join([]string{name + "/" + s.info.Addr}, true); err != nil {
				p.g.log.Debug("serf join", "hub", s.info.Node, "error", err.Error())
			}
		}
	}
}

// serfLinger is how long a probe of memberlist's may outlive stop: the probe interval, up to AwarenessMaxMultiplier times
// as long. It holds no resource of ours.
const serfLinger = 8 * probeInterval

// stop says goodbye and ends Serf's goroutines, but for a probe under way.
func (p *pool) stop() {
	if err := p.serf.Leave(); err != nil {
		p.g.log.Debug("serf leave", "error", err.Error())
	}
	if err := p.serf.Shutdown(); err != nil {
		p.g.log.Debug("serf shutdown", "error", err.Error())
	}
}
