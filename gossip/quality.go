package gossip

import (
	"context"
	"math"
	"math/rand/v2"
	"time"

	"github.com/quic-go/quic-go"
)

// quality is what the link to a hub costs an edge, as its order of hubs sees it: smoothed, and in classes that change only
// when the cost has clearly left the present one, so that noise moves nobody.
type quality struct {
	cost    time.Duration // smoothed; 0 before the first sample
	class   int           // cost is about costFloor * 2^class
	at      time.Time     // of the last sample
	changed time.Time     // of class
}

const (
	// costFloor is below what a link is as good as any: within a site the load is even, whatever the switches say.
	costFloor = 5 * time.Millisecond
	// lossCost is what losing all packets would cost; one lost of ten costs as much as 50 ms more of round trip: about
	// what its repetition takes.
	lossCost = 500 * time.Millisecond
	maxClass = 8 // 1.3 s

	// classSlack is how many doublings the cost must be away from its class before that changes: a factor of 1.7.
	classSlack = 0.75
	// classStay is how long a class stays at least.
	classStay = time.Minute

	// smoothOver is the time over which a change of the cost is taken in by two thirds.
	smoothOver = 40 * time.Second
	// measureEvery is how often the links of sessions are looked at.
	measureEvery = 10 * time.Second
	// leastPackets makes one loss among few packets count as one of so many.
	leastPackets = 20
)

func (q *quality) known() bool { return !q.at.IsZero() }

// sample takes a new measurement.
func (q *quality) sample(cost time.Duration, now time.Time) {
	first := !q.known()
	if first {
		q.cost = cost
	} else { // what is long ago counts for nothing
		q.cost += time.Duration(float64(cost-q.cost) * (1 - math.Exp(-float64(now.Sub(q.at))/float64(smoothOver))))
	}
	q.at = now
	exact := max(0, math.Log2(float64(q.cost)/float64(costFloor)))
	if first || (math.Abs(exact-float64(q.class)) > classSlack && now.Sub(q.changed) >= classStay) {
		q.class, q.changed = min(maxClass, int(math.Round(exact))), now
	}
}

// linkUse is what a session's connection had sent and lost at the last look, and what the link cost before it.
type linkUse struct {
	sent, lost uint64
	before     time.Duration
}

// cost of the link between the last two looks, 0 at the first. The newest is held back until the session has outlived it: a
// link that is cut loses everything for a moment, and the hub behind it is as good as before when it is back. What the
// other side loses is not seen here.
func (u *linkUse) cost(st quic.ConnectionStats) time.Duration {
	before := u.before
	u.before = u.now(st)
	return before
}

func (u *linkUse) now(st quic.ConnectionStats) time.Duration {
	sent, lost := st.PacketsSent-min(u.sent, st.PacketsSent), st.PacketsLost-min(u.lost, st.PacketsLost)
	u.sent, u.lost = st.PacketsSent, st.PacketsLost
	share := float64(lost) / float64(max(sent, leastPackets))
	return st.SmoothedRTT + time.Duration(share*float64(lossCost))
}

// measures is how often an edge looks: less often than a dead link takes to end its session, see linkUse.cost.
func (t timing) measures() time.Duration { return max(measureEvery, t.keepAlive+t.idle) }

// measure tells the book what the links of an edge's sessions cost.
func (g *Gossip) measure(now time.Time) {
	for _, s := range g.allSessions() {
		if s.info.Dialed && s.info.Role == Hub {
			g.book.measured(s.info.Addr, s.use.cost(s.conn.ConnectionStats()), now)
		}
	}
}

func (b *book) measured(addr string, cost time.Duration, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t := b.targets[addr]; t != nil && cost > 0 {
		t.quality.sample(cost, now)
	}
}

func (b *book) probed(addr string, cost time.Duration, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t := b.targets[addr]; t != nil && t.up == 0 {
		t.quality.sample(max(cost, t.quality.cost/2), now)
	}
}

// unmeasured returns the hub of this region whose link was measured longest ago, of those without a session that are
// believed to be there.
func (b *book) unmeasured(now time.Time) (h hub, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var oldest *target
	for _, t := range b.targets {
		if t.up != 0 || t.self || !t.dialing.IsZero() || t.next.After(now) || t.Region != b.self.region || now.Sub(t.seen) > b.timing.fresh() {
			continue
		}
		if oldest == nil || t.quality.at.Before(oldest.quality.at) || (t.quality.at.Equal(oldest.quality.at) && t.Addr < oldest.Addr) {
			oldest = t
		}
	}
	if oldest == nil {
		return hub{}, false
	}
	return oldest.hub, true
}

// probe measures, now and then, the links to hubs of the region that are not this edge's homes, until ctx ends: a link that
// was bad once may be good again. A probe is a handshake, some 5 KB, and sees little of what a link loses, so the cost falls
// by half at most with each: what turned out bad has to look good a few times before it is tried again.
func (g *Gossip) probe(ctx context.Context) {
	for sleep(ctx, g.timing.probe/2+rand.N(g.timing.probe)) {
		h, ok := g.book.unmeasured(time.Now())
		if !ok {
			continue
		}
		conn, gr, err := g.connect(ctx, h.Addr, kindHubs, linkConfig())
		if err != nil {
			g.book.dialed(h.Addr, err, time.Now())
			continue
		}
		if list, err := readHubs(gr); err == nil {
			g.book.learn(time.Now(), true, list...)
		}
		g.book.probed(h.Addr, conn.ConnectionStats().MinRTT, time.Now())
		_ = conn.CloseWithError(codeBye, "thanks")
		g.nudge()
	}
}
