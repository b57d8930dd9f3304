package node

import (
	"bytes"
	"cmp"
	"slices"

	"meshd/crdt"
	"meshd/internal/mutant"
	"meshd/internal/wire"
)

// coldSums is how many sums of buckets a hub tells a sibling at each comparison, once it has told it all: a sibling
// that misses something of a million incarnations learns of it within about a minute, for 700 bytes a second.
const coldSums = 64

// maxLate bounds the origins of a session whose frames came although all of it is here, until that is said: a peer's
// frames in flight, one origin each.
const maxLate = 4096

// compareCold tells a hub of the region what is cold here, by sums, and loads what it may lack of what is cold in part:
// one whose writer was gone before it was covered here may be held by both in part, each another part. Such an origin
// is relayed once a session whatever the cursors say, and now and then again to a peer that covers less of it.
func (c *Core) compareCold(s *session) {
	x := &c.hub.cold.index
	n := coldSums
	if !s.coldTold {
		n, s.coldTold = coldBuckets, true
	}
	m := &wire.ColdMarks{}
	for range coldBuckets {
		if len(m.Buckets) >= n || x.len == 0 {
			break
		}
		if sum := x.sum(s.coldNext); sum != 0 {
			m.Buckets = append(m.Buckets, wire.ColdBucket{Bucket: uint32(s.coldNext), Sum: sum})
		}
		s.coldNext = (s.coldNext + 1) % coldBuckets
	}
	if len(m.Buckets) > 0 {
		c.send(s, m)
	}
	loads := 0
	for _, o := range x.partial(c.cfg.Region) {
		if s.partial[o] == 0 && loads < coldBatch && !mutant.On("cold in part for good") {
			loads++
			s.partial[o] = c.now
			c.thaw(o, nil)
		}
	}
}

// partial returns the origins that something is owed of, in order.
func (x *coldIndex) partial(region string) (out []crdt.Origin) {
	for n, p := range x.odd {
		if q := p[crdt.StreamLifetime]; q.Covered < q.Owed {
			out = append(out, crdt.Origin{Class: crdt.ClassNode, Region: region, Node: x.nodes[n.node], Inc: n.inc})
		}
	}
	slices.SortFunc(out, crdt.Origin.Compare)
	return out
}

// gotColdMarks answers sums that differ with what is cold here, and loads what a list shows the peer to lack: the next
// comparison relays it.
func (c *Core) gotColdMarks(s *session, m *wire.ColdMarks) {
	if c.hub == nil || s.peer.Role != RoleHub || s.peer.Region != c.cfg.Region {
		c.Counts.Refused++
		return
	}
	reply := &wire.ColdMarks{}
	marks, loads := 0, 0
	for i := range m.Buckets {
		b := &m.Buckets[i]
		if b.Listed {
			loads += c.relayCold(s, b, coldBatch-loads)
			continue
		}
		if c.hub.cold.index.sum(int(b.Bucket)) == b.Sum {
			c.forgetMarks(s, int(b.Bucket))
			continue
		}
		own := c.listCold(int(b.Bucket))
		if marks += len(own.Marks); marks > wire.MaxColdMarks { // the rest when its sum is told again
			break
		}
		reply.Buckets = append(reply.Buckets, own)
	}
	if len(reply.Buckets) > 0 {
		c.send(s, reply)
	}
}

// listCold lists what is cold here of a bucket.
func (c *Core) listCold(b int) wire.ColdBucket {
	out := wire.ColdBucket{Bucket: uint32(b), Sum: c.hub.cold.index.sum(b), Listed: true}
	for o, p := range c.hub.cold.index.bucket(b, c.cfg.Region) {
		k := wire.ColdMark{Node: o.Node, Inc: o.Inc}
		for s := range p {
			k.Covered[s] = p[s].Covered
		}
		out.Marks = append(out.Marks, k)
	}
	return out
}

// relayCold loads at most max cold origins of a bucket that the peer, which listed what is cold there, lacks. It returns
// how many.
func (c *Core) relayCold(s *session, b *wire.ColdBucket, most int) (loads int) {
	if mutant.On("cold origins not compared") {
		return 0
	}
	var lacking []crdt.Origin
	for o, p := range c.hub.cold.index.bucket(int(b.Bucket), c.cfg.Region) {
		has := max(coldMarkOf(b, o), s.marks[o].Covered) // or it has it in memory, as its marks say
		if has >= p[crdt.StreamLifetime].Covered || len(lacking) >= most {
			continue
		}
		if at := s.partial[o]; at != 0 { // it may have all that there is, and never cover it
			if c.now < at+max(c.cfg.Retry, c.cfg.ColdAfter) {
				continue
			}
			s.partial[o] = c.now
		}
		if _, ok := s.marks[o]; !ok {
			s.marks[o] = crdt.Progress{Cursor: has, Owed: has, Covered: has}
		}
		lacking = append(lacking, o)
	}
	for _, o := range lacking {
		c.thaw(o, nil)
	}
	return len(lacking)
}

// coldMarkOf returns how far a listed bucket covers o.
func coldMarkOf(b *wire.ColdBucket, o crdt.Origin) uint64 {
	i, ok := slices.BinarySearchFunc(b.Marks, o, func(k wire.ColdMark, o crdt.Origin) int {
		return cmp.Or(bytes.Compare(k.Inc[:], o.Inc[:]), cmp.Compare(k.Node, o.Node))
	})
	if !ok {
		return 0
	}
	return b.Marks[i].Covered[crdt.StreamLifetime]
}

// late notes that a frame came of an origin that is here in full and not listed in marks: what is held is said once.
func (s *session) late(o crdt.Origin) {
	if len(s.lateOrigins) < maxLate && !slices.Contains(s.lateOrigins, o) {
		s.lateOrigins, s.lag.behind = append(s.lateOrigins, o), true
	}
}

// unlearnAtHubs lets sessions with hubs of the region forget what they keep of an origin that went cold. What the peer
// said to have of it stays while it may be in memory there: it is not in the peer's sums then. Of one that is cold in part,
// which are few, it stays too what was relayed, so that it is once.
func (c *Core) unlearnAtHubs(o crdt.Origin, p crdt.Progress) {
	if p.Covered < p.Owed {
		return
	}
	for _, s := range c.order {
		if s.peer.Role == RoleHub {
			mark, ok := s.marks[o]
			s.unlearn(o)
			if ok {
				s.marks[o] = mark
			}
		}
	}
}

// forgetMarks forgets what the peer said of origins that are cold at both: their sums agree.
func (c *Core) forgetMarks(s *session, bucket int) {
	if len(s.marks) <= c.hub.region.Len()+len(c.hub.entries.Origins()) { // there can be nothing to forget
		return
	}
	for o := range c.hub.cold.index.bucket(bucket, c.cfg.Region) {
		delete(s.marks, o)
	}
}
