package wire

import (
	"encoding/binary"

	"meshd/crdt"
)

// Freeze states, between hubs of a region, which incarnations of nodes the sender has forgotten and which it has frozen to
// forget them next. A statement replaces the sender's earlier one about the same node.
type Freeze struct {
	Hubs  []string // of the region, that the sender knows of, in order
	Nodes []FrozenNode
}

// FrozenNode is a statement about one node.
type FrozenNode struct {
	Node      string
	Forgotten uint64             // how many incarnations
	Sum       uint64             // SumForgotten of them
	Frozen    []crdt.Incarnation // in order
	Print     uint64             // of the cells of all that are frozen; 0: not all of them are at rest at the sender
}

// Forgotten is the record of what a hub forgot of one node: which incarnations, and the sums of their cells. It travels
// in parts: the first brings the incarnations, each a frame with cells. On disk there is the first alone, without cells.
type Forgotten struct {
	Node        string
	Part, Parts uint32             // from 0; Parts is at least 1
	Incs        []crdt.Incarnation // in order
	Frame       []byte             // as AppendFrame made it; empty: no cells
}

// SumForgotten names a set of incarnations, which are random: the sum of their last 64 bits.
func SumForgotten(incs []crdt.Incarnation) (sum uint64) {
	for i := range incs {
		sum += binary.BigEndian.Uint64(incs[i][8:])
	}
	return sum
}

func (*Freeze) message()    {}
func (*Forgotten) message() {}

const (
	freezeFields       = 2
	frozenNodeFields   = 5
	frozenNodeBytesMin = 1 + 2 + 4
	forgottenFields    = 5
	incBytes           = 18
)

func (m *Freeze) append(dst []byte) ([]byte, error) {
	w := newWriter(dst)
	w.limit("hubs", len(m.Hubs), MaxHubs)
	w.limit("nodes", len(m.Nodes), MaxFreezeNodes)
	w.array(freezeFields)
	w.array(len(m.Hubs))
	for _, h := range m.Hubs {
		w.name(h)
	}
	w.array(len(m.Nodes))
	for i := range m.Nodes {
		n := &m.Nodes[i]
		w.array(frozenNodeFields)
		w.name(n.Node)
		w.uint(n.Forgotten)
		w.uint(n.Sum)
		w.incs("frozen incarnations", n.Frozen, MaxFrozen)
		w.uint(n.Print)
	}
	return w.done()
}

func parseFreeze(b []byte) (*Freeze, error) {
	var m Freeze
	r := newReader(b)
	extra := r.array(freezeFields)
	if n := r.list("hubs", MaxHubs, 2); n > 0 {
		m.Hubs = make([]string, n)
	}
	for i := range m.Hubs {
		m.Hubs[i] = r.name()
	}
	if n := r.list("nodes", MaxFreezeNodes, frozenNodeBytesMin); n > 0 {
		m.Nodes = make([]FrozenNode, n)
	}
	for i := range m.Nodes {
		m.Nodes[i] = r.frozenNode()
	}
	r.skip(extra)
	return &m, r.end()
}

func (r *reader) frozenNode() (n FrozenNode) {
	extra := r.array(frozenNodeFields)
	n.Node, n.Forgotten, n.Sum = r.name(), r.uint(), r.uint()
	n.Frozen, n.Print = r.incs("frozen incarnations", MaxFrozen), r.uint()
	r.skip(extra)
	return n
}

func (m *Forgotten) append(dst []byte) ([]byte, error) {
	w := newWriter(dst)
	m.check(w.fail)
	w.array(forgottenFields)
	w.name(m.Node)
	w.uint(uint64(m.Part))
	w.uint(uint64(m.Parts))
	w.incs("forgotten incarnations", m.Incs, MaxForgotten)
	w.bytes(m.Frame)
	return w.done()
}

func (m *Forgotten) check(fail func(kind error, format string, args ...any)) {
	switch {
	case m.Part >= m.Parts || m.Parts > MaxForgottenParts:
		fail(ErrInvalid, "part %d of %d, want at most %d", m.Part, m.Parts, MaxForgottenParts)
	case len(m.Frame) > MaxFrameBytes:
		fail(ErrLimit, "frame of %d bytes, want at most %d", len(m.Frame), MaxFrameBytes)
	}
}

func parseForgotten(b []byte) (*Forgotten, error) {
	var m Forgotten
	r := newReader(b)
	extra := r.array(forgottenFields)
	m.Node = r.name()
	m.Part, m.Parts = uint32(r.small("part", MaxForgottenParts)), uint32(r.small("parts", MaxForgottenParts))
	m.Incs, m.Frame = r.incs("forgotten incarnations", MaxForgotten), r.raw()
	r.skip(extra)
	if r.err == nil {
		m.check(r.fail)
	}
	return &m, r.end()
}

// incs writes incarnations, which must be in order and different.
func (w *writer) incs(what string, incs []crdt.Incarnation, most int) {
	w.limit(what, len(incs), most)
	w.array(len(incs))
	for i := range incs {
		if i > 0 && string(incs[i-1][:]) >= string(incs[i][:]) {
			w.fail(ErrInvalid, "%s out of order", what)
		}
		w.bytes(incs[i][:])
	}
}

func (r *reader) incs(what string, most int) (incs []crdt.Incarnation) {
	if n := r.list(what, most, incBytes); n > 0 {
		incs = make([]crdt.Incarnation, n)
	}
	for i := range incs {
		incs[i] = r.id()
		if r.err == nil && i > 0 && string(incs[i-1][:]) >= string(incs[i][:]) {
			r.fail(ErrInvalid, "%s out of order", what)
		}
	}
	return incs
}
