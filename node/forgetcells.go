package node

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"meshd/crdt"
	"meshd/internal/mutant"
	"meshd/internal/wire"
	"meshd/reconcile"
)

const (
	// maxRecordsSent is how many records a session is sent between two comparisons: a hub that lost its disk gets those of
	// 5,000 nodes within 80 seconds.
	maxRecordsSent = 64
	// forgetAgain is after how many comparisons a record is sent again to a sibling that did not take it.
	forgetAgain = 10
	// maxRecordBytes bounds a record that is coming: all series that a node may have, with large cells.
	maxRecordBytes = 64 << 20
)

// batch is the cells of all that is frozen of a node, and of its record, read while they are at rest.
type batch struct {
	frozen []crdt.Incarnation
	cells  map[crdt.Incarnation]*resting
	sums   *resting // of the record; nil if there is none yet
	left   int      // loads to come
	failed bool
	print  uint64 // 0 until all of it is here
}

// resting is a copy of an origin that is on disk only.
type resting struct {
	*reconcile.Replica
	parts int // values that it takes there
}

func (b *batch) ready() bool { return b != nil && b.print != 0 }

// sumsOf is the origin under which the sums of a node's record are stored and sent: it has no process.
func sumsOf(region, node string) crdt.Origin {
	h := sha256.Sum256([]byte("forgotten " + region + "/" + node))
	return crdt.Origin{Class: crdt.ClassRegion, Region: region, Node: node, Inc: crdt.Incarnation(h[:16])}
}

// loadFrozen reads what is frozen of a node once all of it is at rest.
func (c *Core) loadFrozen(name string, n *forgotten) {
	if b := n.batch; b != nil && !b.failed && slices.Equal(b.frozen, n.frozen) {
		return
	}
	n.drop()
	if len(n.frozen) == 0 {
		return
	}
	for _, inc := range n.frozen {
		o := c.nodeOrigin(name, inc)
		_, cold := c.hub.cold.index.progress(o)
		if _, thawing := c.hub.cold.waiting[o]; !cold || thawing {
			return
		}
	}
	b := &batch{frozen: n.frozen, cells: map[crdt.Incarnation]*resting{}, left: len(n.frozen)}
	n.batch = b
	for _, inc := range n.frozen {
		c.load(c.nodeOrigin(name, inc), func(in *Loaded) { c.batchLoaded(n, b, in) })
	}
	if len(n.ids) > 0 {
		b.left++
		c.load(sumsOf(c.cfg.Region, name), func(in *Loaded) { c.batchLoaded(n, b, in) })
	}
}

func (c *Core) nodeOrigin(name string, inc crdt.Incarnation) crdt.Origin {
	return crdt.Origin{Class: crdt.ClassNode, Region: c.cfg.Region, Node: name, Inc: inc}
}

func (c *Core) batchLoaded(n *forgotten, b *batch, in *Loaded) {
	if n.batch != b {
		return // something of it moved since
	}
	r, err := restore(*in, c.cat)
	if err != nil {
		b.failed = true
		return
	}
	rest := &resting{r, len(in.Snapshot)}
	if in.Origin.Class == crdt.ClassNode {
		b.cells[in.Origin.Inc] = rest
	} else {
		b.sums = rest
	}
	if b.left--; b.left == 0 && !b.failed {
		b.print = c.printOf(b)
		n.version++
	}
}

// printOf returns a number that is equal at two hubs exactly when all that is frozen has equal cells there, but for chance.
func (c *Core) printOf(b *batch) uint64 {
	h := sha256.New()
	var buf []byte
	put := func(p []byte) {
		h.Write(binary.AppendUvarint(nil, uint64(len(p))))
		h.Write(p)
	}
	for _, inc := range b.frozen {
		h.Write(inc[:])
		var keys [][]byte
		vals := map[string]*crdt.Value{}
		b.cells[inc].Each(func(id reconcile.SeriesID, v *crdt.Value, _ uint64) {
			if v.Kind != crdt.KindGauge {
				k := c.cat.Series(id).AppendKey(nil)
				keys, vals[string(k)] = append(keys, k), v
			}
		})
		slices.SortFunc(keys, bytes.Compare)
		for _, k := range keys {
			put(k)
			buf = vals[string(k)].AppendBinary(buf[:0])
			put(buf)
		}
	}
	if mutant.On("forgotten without a print") {
		return 1
	}
	return max(1, binary.BigEndian.Uint64(h.Sum(nil)))
}

// drop forgets the cells that were read.
func (n *forgotten) drop() {
	if n.batch.ready() {
		n.version++
	}
	n.batch = nil
}

// moved is told that a cold origin is in memory again: its cells may change.
func (c *Core) moved(o crdt.Origin) {
	n := c.hub.forget.nodes[o.Node]
	if n == nil {
		return
	}
	if searchInc(n.frozen, o.Inc) {
		n.drop()
	}
	if n.take != nil {
		delete(n.take.cells, o.Inc)
		delete(n.take.asked, o.Inc)
	}
}

// purge forgets all cells that were read: series are gone.
func (f *forgetting) purge() {
	for _, n := range f.nodes {
		n.drop()
		n.take = nil
	}
}

// sendForgotten reads and sends a record to a sibling that stated less.
func (c *Core) sendForgotten(s *session, name string, n *forgotten) {
	at := s.forget.sent[name]
	if at != 0 && c.now < at+forgetAgain*c.cfg.AntiEntropy || c.hub.forget.busy == name || s.forget.sending >= maxRecordsSent {
		return
	}
	s.forget.sent[name] = c.now
	s.forget.sending++
	id, ids := s.id, n.ids
	c.load(sumsOf(c.cfg.Region, name), func(in *Loaded) {
		s := c.sessions[id]
		if s == nil {
			return
		}
		s.forget.sending--
		if in.Err != nil || len(n.ids) != len(ids) || c.hub.forget.busy == name || !c.sendRecord(s, name, ids, in.Snapshot) {
			delete(s.forget.sent, name)
		}
	})
}

// sendRecord sends a record in parts. It reports whether there was room for it.
func (c *Core) sendRecord(s *session, name string, ids []crdt.Incarnation, frames []*wire.Frame) bool {
	m := &wire.Forgotten{Node: name, Parts: uint32(max(1, len(frames))), Incs: ids}
	var msgs [][]byte
	size := 0
	for ; m.Part < m.Parts; m.Part++ {
		if len(frames) > 0 {
			m.Frame = encode(frames[m.Part]).raw
		}
		msgs = append(msgs, encodeMessage(m))
		size += len(msgs[m.Part])
		m.Incs = nil
	}
	if !c.room(s, false).takes(size) {
		return false
	}
	for _, msg := range msgs {
		c.sendRaw(s, msg, false)
	}
	return true
}

// takeover is a sibling's record, and the own cells that it replaces.
type takeover struct {
	ids   []crdt.Incarnation
	sums  *reconcile.Replica
	asked map[crdt.Incarnation]bool // of the cold ones, and of the own record under the incarnation of its sums
	cells map[crdt.Incarnation]*resting
}

// gotForgotten takes a part of a sibling's record.
func (c *Core) gotForgotten(s *session, m *wire.Forgotten) {
	if c.hub == nil || s.peer.Role != RoleHub || s.peer.Region != c.cfg.Region {
		c.Counts.Refused++
		return
	}
	st := &s.forget
	if m.Part == 0 {
		st.parts, st.partBytes = nil, 0
	}
	st.partBytes += len(m.Frame)
	if int(m.Part) != len(st.parts) || m.Part > 0 && (st.parts[0].Node != m.Node || st.parts[0].Parts != m.Parts) || st.partBytes > maxRecordBytes {
		c.Counts.Refused++
		st.parts = nil
		return
	}
	if st.parts = append(st.parts, m); len(st.parts) < int(m.Parts) {
		return
	}
	parts := st.parts
	st.parts = nil
	n := c.hub.forget.node(m.Node)
	if len(parts[0].Incs) <= len(n.ids) || n.take != nil && len(parts[0].Incs) <= len(n.take.ids) || c.hub.forget.busy == m.Node {
		return
	}
	in := Loaded{Origin: sumsOf(c.cfg.Region, m.Node)}
	for _, p := range parts {
		if len(p.Frame) == 0 {
			continue
		}
		f, err := wire.ParseFrame(p.Frame)
		if err != nil {
			c.Counts.Malformed++
			return
		}
		in.Snapshot = append(in.Snapshot, f)
	}
	var r *reconcile.Replica
	err := c.contained(func() (err error) {
		r, err = restore(in, c.cat)
		return err
	})
	if err != nil {
		c.Counts.FramesDropped += uint64(len(parts))
		return
	}
	n.take = &takeover{ids: parts[0].Incs, sums: r, asked: map[crdt.Incarnation]bool{}, cells: map[crdt.Incarnation]*resting{}}
}

// gather reads the cold cells that a sibling's record replaces, and reports whether they are all here.
func (c *Core) gather(name string, n *forgotten) bool {
	all := true
	need := func(o crdt.Origin) {
		t := n.take
		if t.cells[o.Inc] != nil {
			return
		}
		if all = false; t.asked[o.Inc] {
			return
		}
		t.asked[o.Inc] = true
		c.load(o, func(in *Loaded) {
			if n.take != t || !t.asked[o.Inc] {
				return
			}
			if r, err := restore(*in, c.cat); err == nil {
				t.cells[o.Inc] = &resting{r, len(in.Snapshot)}
			} else {
				delete(t.asked, o.Inc)
			}
		})
	}
	for _, inc := range n.take.ids {
		o := c.nodeOrigin(name, inc)
		if _, thawing := c.hub.cold.waiting[o]; thawing {
			all = false
		} else if _, cold := c.hub.cold.index.progress(o); cold {
			need(o)
		}
	}
	if len(n.ids) > 0 {
		need(sumsOf(c.cfg.Region, name))
	}
	return all
}

// taking reports whether a sibling's record that is being taken contains an origin.
func (c *Core) taking(o crdt.Origin) bool {
	n := c.hub.forget.nodes[o.Node]
	return n != nil && n.take != nil && searchInc(n.take.ids, o.Inc)
}
