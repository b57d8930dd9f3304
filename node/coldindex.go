package node

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"iter"
	"math"
	"slices"

	"meshd/crdt"
)

// coldBuckets is into how many parts the cold index is divided by the first bits of the incarnation. A million leave
// 244 in each: inserting moves 7 KB, and two hubs that differ in one incarnation list 244 to each other.
const coldBuckets = 4096

// coldIndex is what memory holds of cold incarnations: 32 bytes each, in order, and about a fifth of slack.
type coldIndex struct {
	rows   [][]coldRow // by bucket; nil until there is one
	sums   []uint64    // by bucket: the sum of the hashes of its rows
	len    int
	nodes  []string
	byNode map[string]uint32
	odd    map[coldName][crdt.NumStreams]crdt.Progress // what does not fit a row
}

// coldRow is one cold incarnation. seq is where its streams are: cursor, owed and covered alike.
type coldRow struct {
	inc  crdt.Incarnation
	node uint32
	seq  [crdt.NumStreams]uint32
	at   uint32 // when it changed last, in Unix seconds, rounded up
}

// oddSeq in a row says that the progress is kept apart: something is owed, or a seq is large.
const oddSeq = math.MaxUint32

type coldName struct {
	inc  crdt.Incarnation
	node uint32
}

func newColdIndex() coldIndex {
	return coldIndex{byNode: map[string]uint32{}, odd: map[coldName][crdt.NumStreams]crdt.Progress{}}
}

func coldBucket(inc crdt.Incarnation) int {
	return int(binary.BigEndian.Uint16(inc[:2])) * coldBuckets >> 16
}

// find returns where the row of an incarnation is, or would be, in its bucket.
func (x *coldIndex) find(inc crdt.Incarnation, node uint32) (int, bool) {
	return slices.BinarySearchFunc(x.rows[coldBucket(inc)], coldName{inc, node}, func(r coldRow, n coldName) int {
		return cmp.Or(bytes.Compare(r.inc[:], n.inc[:]), cmp.Compare(r.node, n.node))
	})
}

// put adds an origin, which changed last at a time in Unix milliseconds, or moves its progress.
func (x *coldIndex) put(o crdt.Origin, p [crdt.NumStreams]crdt.Progress, atMs int64) {
	x.remove(o)
	if x.rows == nil {
		x.rows, x.sums = make([][]coldRow, coldBuckets), make([]uint64, coldBuckets)
	}
	n, ok := x.byNode[o.Node]
	if !ok {
		n = uint32(len(x.nodes))
		x.nodes, x.byNode[o.Node] = append(x.nodes, o.Node), n
	}
	row := coldRow{inc: o.Inc, node: n, at: uint32(min(max(0, (atMs+999)/1000), math.MaxUint32))}
	for s, q := range p {
		if q.Cursor != q.Owed || q.Cursor != q.Covered || q.Cursor >= oddSeq {
			row.seq[0] = oddSeq
			x.odd[coldName{o.Inc, n}] = p
			break
		}
		row.seq[s] = uint32(q.Cursor)
	}
	b := coldBucket(o.Inc)
	at, _ := x.find(o.Inc, n)
	x.rows[b] = slices.Insert(x.rows[b], at, row)
	x.sums[b] += coldHash(o, p)
	x.len++
}

// remove takes an origin out, if it is in.
func (x *coldIndex) remove(o crdt.Origin) {
	p, ok := x.progress(o)
	if !ok {
		return
	}
	b, n := coldBucket(o.Inc), x.byNode[o.Node]
	at, _ := x.find(o.Inc, n)
	x.rows[b] = slices.Delete(x.rows[b], at, at+1)
	delete(x.odd, coldName{o.Inc, n})
	x.sums[b] -= coldHash(o, p)
	x.len--
}

// progress returns how far a cold origin is held.
func (x *coldIndex) progress(o crdt.Origin) ([crdt.NumStreams]crdt.Progress, bool) {
	n, ok := x.byNode[o.Node]
	if !ok || o.Class != crdt.ClassNode || x.rows == nil {
		return [crdt.NumStreams]crdt.Progress{}, false
	}
	at, ok := x.find(o.Inc, n)
	if !ok {
		return [crdt.NumStreams]crdt.Progress{}, false
	}
	return x.at(&x.rows[coldBucket(o.Inc)][at]), true
}

// changed returns when a cold origin changed last, in Unix milliseconds.
func (x *coldIndex) changed(o crdt.Origin) int64 {
	n, ok := x.byNode[o.Node]
	if !ok || x.rows == nil {
		return 0
	}
	at, ok := x.find(o.Inc, n)
	if !ok {
		return 0
	}
	return int64(x.rows[coldBucket(o.Inc)][at].at) * 1000
}

func (x *coldIndex) at(r *coldRow) (p [crdt.NumStreams]crdt.Progress) {
	if r.seq[0] == oddSeq {
		return x.odd[coldName{r.inc, r.node}]
	}
	for s, seq := range r.seq {
		p[s] = crdt.Progress{Cursor: uint64(seq), Owed: uint64(seq), Covered: uint64(seq)}
	}
	return p
}

// bucket yields the rows of a bucket as origins of a region, in the order of incarnations.
func (x *coldIndex) bucket(b int, region string) iter.Seq2[crdt.Origin, [crdt.NumStreams]crdt.Progress] {
	return func(yield func(crdt.Origin, [crdt.NumStreams]crdt.Progress) bool) {
		if x.rows == nil {
			return
		}
		for i := range x.rows[b] {
			r := &x.rows[b][i]
			if !yield(crdt.Origin{Class: crdt.ClassNode, Region: region, Node: x.nodes[r.node], Inc: r.inc}, x.at(r)) {
				return
			}
		}
	}
}

// all yields every cold origin in the order of incarnations.
func (x *coldIndex) all(region string) iter.Seq2[crdt.Origin, [crdt.NumStreams]crdt.Progress] {
	return func(yield func(crdt.Origin, [crdt.NumStreams]crdt.Progress) bool) {
		for b := range x.rows {
			for o, p := range x.bucket(b, region) {
				if !yield(o, p) {
					return
				}
			}
		}
	}
}

// sum returns the sum of a bucket: equal at two hubs exactly when they hold the same of it, but for chance.
func (x *coldIndex) sum(b int) uint64 {
	if x.rows == nil {
		return 0
	}
	return x.sums[b]
}

// coldHash is what an origin adds to the sum of its bucket: who it is and up to where it is covered. It is on the wire:
// FNV-1a of 64 bits over incarnation, covered seqs and node name, and the finalizer of MurmurHash3, since sums need all
// bits mixed.
func coldHash(o crdt.Origin, p [crdt.NumStreams]crdt.Progress) uint64 {
	h := uint64(14695981039346656037)
	add := func(b byte) { h = (h ^ uint64(b)) * 1099511628211 }
	for _, b := range o.Inc {
		add(b)
	}
	for _, q := range p {
		for i := range 8 {
			add(byte(q.Covered >> (8 * i)))
		}
	}
	for i := range len(o.Node) {
		add(o.Node[i])
	}
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
