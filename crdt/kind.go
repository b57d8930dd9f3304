package crdt

import "fmt"

// Kind says which lattice a cell lives in. It is part of a series' identity. The numbers are on the wire and on
// disk: they are never reused.
type Kind uint8

// The kinds of this version.
const (
	KindCounter      Kind = 1 // G-counter entry: one amount
	KindUpDown       Kind = 2 // PN-counter entry: amounts P and N
	KindGauge        Kind = 3 // last written value with its time
	KindDistribution Kind = 4 // base-2 exponential histogram of scale 6
	KindUnique       Kind = 5 // HyperLogLog of precision 14
	KindSet          Kind = 6 // observed-remove set
	KindObserved     Kind = 7 // cumulative samples of a named source
	KindRollup       Kind = 8 // a gauge over the live origins of a region, written by a hub
	KindHistogram    Kind = 9 // cumulative histograms of a named source

	LastKind = KindHistogram
)

var kindNames = [...]string{"", "counter", "updown", "gauge", "distribution", "unique", "set", "observed", "rollup", "histogram"}

// String returns the kind's name as the APIs write it.
func (k Kind) String() string {
	if k.Valid() {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Valid reports whether k is a kind of this version.
func (k Kind) Valid() bool { return k >= KindCounter && k <= LastKind }

// ParseKind is the inverse of String.
func ParseKind(s string) (Kind, error) {
	for k := KindCounter; k <= LastKind; k++ {
		if kindNames[k] == s {
			return k, nil
		}
	}
	return 0, fmt.Errorf("crdt: unknown kind %q", s)
}

// CellKind returns the kind of the cells that origins of class c keep for a series of kind k: a hub's gauge cells
// are rollups, all others are what the series says.
func (k Kind) CellKind(c Class) Kind {
	if k == KindGauge && c != ClassNode {
		return KindRollup
	}
	return k
}
