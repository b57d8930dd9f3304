package wire

import (
	"encoding/binary"
	"fmt"
	"math"

	"meshd/crdt"
)

// Heard tells a hub of the same region which processes of the region's nodes the sender heard itself, and how far each
// one said to be. What a claim means for coverage is the receiver's to find out: it counts once the receiver holds the
// cells. Only what changed since the last Heard of the session is in it.
type Heard struct {
	WallMs int64          // when it was said, by the sender's clock
	New    []HeardProcess // numbers given from now on in this session
	Gone   []uint32       // numbers given back
	Claims []HeardClaim   // ascending by number
}

// HeardProcess gives a process of a node its number.
type HeardProcess struct {
	Number uint32
	Node   string
	Inc    crdt.Incarnation
	Needs  []HeardNeed // the node's earlier incarnations, as its hello named them
	// SeldomMs is by how much less often than usual the process says how far it is, see Link.
	SeldomMs uint32
}

// HeardNeed is an earlier incarnation of a node and its head on the lifetime stream.
type HeardNeed struct {
	Inc  crdt.Incarnation
	Head uint64
}

// HeardClaim is what a process said last: up to AgeMs before the message everything that it was told is in cells up to
// Head of its lifetime stream, and in the incarnations it needs.
type HeardClaim struct {
	Number   uint32
	Head     uint64
	AgeMs    uint32
	OffsetMs int32 // the node's clock minus the sender's
}

const (
	heardFields       = 4
	processFields     = 5
	processBytesMin   = 1 + 1 + 2 + 18 + 1 + 1
	needFields        = 2
	needBytesMin      = 1 + 18 + 1
	heardClaimColumns = 4
)

func (m *Heard) append(dst []byte) ([]byte, error) {
	w := newWriter(dst)
	w.array(heardFields)
	w.int(m.WallMs)
	w.limit("processes", len(m.New), MaxHeardProcesses)
	w.array(len(m.New))
	needs := 0
	for i := range m.New {
		p := &m.New[i]
		w.array(processFields)
		w.uint(uint64(p.Number))
		w.name(p.Node)
		w.bytes(p.Inc[:])
		w.array(len(p.Needs))
		for j := range p.Needs {
			w.array(needFields)
			w.bytes(p.Needs[j].Inc[:])
			w.uint(p.Needs[j].Head)
		}
		w.uint(uint64(p.SeldomMs))
		needs += len(p.Needs)
	}
	w.limit("incarnations", needs, MaxHeardNeeds)
	w.limit("numbers given back", len(m.Gone), MaxHeardProcesses)
	w.array(len(m.Gone))
	for _, n := range m.Gone {
		w.uint(uint64(n))
	}
	w.limit("claims", len(m.Claims), MaxHeardClaims)
	claims, err := m.appendClaims(nil)
	w.keep(err)
	w.bytes(claims)
	return w.done()
}

// appendClaims appends the claims as packed columns behind their number: numbers (the first, then gap - 1), heads, ages
// and zigzag offsets. None: nothing.
func (m *Heard) appendClaims(dst []byte) ([]byte, error) {
	if len(m.Claims) == 0 {
		return dst, nil
	}
	dst = binary.AppendUvarint(dst, uint64(len(m.Claims)))
	vals := make([]uint64, len(m.Claims))
	column := func(f func(c *HeardClaim) uint64) {
		for i := range m.Claims {
			vals[i] = f(&m.Claims[i])
		}
		dst = appendPacked(dst, vals)
	}
	next := uint64(0)
	for i := range m.Claims {
		n := uint64(m.Claims[i].Number)
		if n < next {
			return dst, fmt.Errorf("%w: claims are not in the order of numbers", ErrInvalid)
		}
		vals[i], next = n-next, n+1
	}
	dst = appendPacked(dst, vals)
	column(func(c *HeardClaim) uint64 { return c.Head })
	column(func(c *HeardClaim) uint64 { return uint64(c.AgeMs) })
	column(func(c *HeardClaim) uint64 { return zigzag(int64(c.OffsetMs)) })
	return dst, nil
}

// parseHeard reads a Heard that may have at most limit claims.
func parseHeard(b []byte, limit int) (*Heard, error) {
	var m Heard
	r := newReader(b)
	extra := r.array(heardFields)
	m.WallMs = r.int()
	if n := r.list("processes", MaxHeardProcesses, processBytesMin); n > 0 {
		m.New = make([]HeardProcess, n)
	}
	needs := MaxHeardNeeds
	for i := range m.New {
		needs -= r.heardProcess(&m.New[i], needs)
	}
	if n := r.list("numbers given back", MaxHeardProcesses, 1); n > 0 {
		m.Gone = make([]uint32, n)
	}
	for i := range m.Gone {
		m.Gone[i] = r.uint32("number")
	}
	var col unpacker
	col.reset(r.raw())
	r.skip(extra)
	if r.err == nil {
		if err := m.parseClaims(&col, limit); err != nil {
			r.keepAs(err)
		}
	}
	return &m, r.end()
}

func (r *reader) heardProcess(p *HeardProcess, limit int) (needs int) {
	extra := r.array(processFields)
	p.Number, p.Node, p.Inc = r.uint32("number"), r.name(), r.id()
	if n := r.list("incarnations", limit, needBytesMin); n > 0 {
		p.Needs = make([]HeardNeed, n)
	}
	for j := range p.Needs {
		extra := r.array(needFields)
		p.Needs[j].Inc, p.Needs[j].Head = r.id(), r.uint()
		r.skip(extra)
	}
	p.SeldomMs = r.uint32("seldom")
	r.skip(extra)
	return len(p.Needs)
}

func (m *Heard) parseClaims(col *unpacker, limit int) error {
	if len(col.b) > 0 {
		n := col.uvarint()
		if n == 0 || n > uint64(min(limit, MaxHeardClaims)) || n > blockLen/heardClaimColumns*uint64(len(col.b)) {
			return fmt.Errorf("%w: %d claims, want 1 to %d", ErrLimit, n, min(limit, MaxHeardClaims))
		}
		m.Claims = make([]HeardClaim, n)
	}
	next := uint64(0)
	for _, take := range []func(c *HeardClaim, v uint64) bool{
		func(c *HeardClaim, v uint64) bool {
			c.Number = uint32(next + v)
			next += v + 1
			return v <= math.MaxUint32 && next <= 1+math.MaxUint32
		},
		func(c *HeardClaim, v uint64) bool { c.Head = v; return true },
		func(c *HeardClaim, v uint64) bool { c.AgeMs = uint32(v); return v <= math.MaxUint32 },
		func(c *HeardClaim, v uint64) bool {
			ms := unzigzag(v)
			c.OffsetMs = int32(ms)
			return ms == int64(int32(ms))
		},
	} {
		for rest := m.Claims; len(rest) > 0; rest = rest[min(len(rest), blockLen):] {
			for i, v := range col.block(min(len(rest), blockLen)) {
				if !take(&rest[i], v) {
					return fmt.Errorf("%w: claim with %d", ErrInvalid, v)
				}
			}
		}
	}
	return col.end()
}
