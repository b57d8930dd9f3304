package crdt

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// Incarnation names one life of one process: 128 random bits drawn at its start and never used again. Randomness
// rather than time, because ids made from clocks have collided in practice.
type Incarnation [16]byte

// String returns the incarnation as 32 hexadecimal digits.
func (i Incarnation) String() string { return hex.EncodeToString(i[:]) }

// Short returns the first 8 hexadecimal digits, for people.
func (i Incarnation) Short() string { return hex.EncodeToString(i[:4]) }

// processBytes is how much of an incarnation names the process; the rest counts what it writes anew.
const processBytes = 12

// Anew returns the incarnation of the n-th origin that the process writes anew: what it derives from others' cells, by
// other rules than before. The 0th is the process' own.
func (i Incarnation) Anew(n uint32) Incarnation {
	binary.BigEndian.PutUint32(i[processBytes:], binary.BigEndian.Uint32(i[processBytes:])+n)
	return i
}

// SameProcess reports whether one process writes under both.
func (i Incarnation) SameProcess(o Incarnation) bool {
	return bytes.Equal(i[:processBytes], o[:processBytes])
}

// Replaces reports whether the process of both wrote i anew after o. A process writes less than 2^31 times anew.
func (i Incarnation) Replaces(o Incarnation) bool {
	return i.SameProcess(o) && int32(binary.BigEndian.Uint32(i[processBytes:])-binary.BigEndian.Uint32(o[processBytes:])) > 0
}

// Class says what an origin's cells describe.
type Class uint8

// The classes of this version.
const (
	ClassNode   Class = 1 // what the node itself counted
	ClassRegion Class = 2 // a hub's totals over the node origins of its region ("hub entry")
	ClassView   Class = 3 // a hub's join of all entries of another region, sent to its edges only
)

// Valid reports whether c is a class of this version.
func (c Class) Valid() bool { return c >= ClassNode && c <= ClassView }

// String returns the class as status output writes it.
func (c Class) String() string {
	switch c {
	case ClassNode:
		return "node"
	case ClassRegion:
		return "region"
	case ClassView:
		return "view"
	}
	return fmt.Sprintf("class(%d)", uint8(c))
}

// Origin names a single writer. Region is the region its cells are about; Node and Inc name the process that writes
// them. The mesh is not repeated: it is fixed per session and per data directory.
type Origin struct {
	Class  Class
	Region string
	Node   string
	Inc    Incarnation
}

// String returns class/region/node/incarnation, shortened for people.
func (o Origin) String() string {
	return o.Class.String() + "/" + o.Region + "/" + o.Node + "/" + o.Inc.Short()
}

// Compare orders origins by class, region, node and incarnation.
func (o Origin) Compare(p Origin) int {
	return cmp.Or(cmp.Compare(o.Class, p.Class), cmp.Compare(o.Region, p.Region), cmp.Compare(o.Node, p.Node),
		cmp.Compare(string(o.Inc[:]), string(p.Inc[:])))
}

// MaxNameBytes bounds region, node and mesh names (a DNS label's length, so that names fit certificates and URLs).
const MaxNameBytes = 63

// CheckName reports why s cannot name a node, region or mesh: 1 to 63 bytes of letters, digits, '-', '_' and '.'.
func CheckName(s string) error {
	if s == "" || len(s) > MaxNameBytes {
		return fmt.Errorf("crdt: name %q has %d bytes, want 1 to %d", s, len(s), MaxNameBytes)
	}
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.':
		default:
			return fmt.Errorf("crdt: name %q has the character %q, want letters, digits, '-', '_' or '.'", s, c)
		}
	}
	return nil
}
