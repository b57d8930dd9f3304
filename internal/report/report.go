// Package report is what a process that links package client tells a node it counted since its report before: bytes that
// client writes and ingest reads. A report is a frame of internal/wire whose values are increments and whose origin is the
// client's session, so that its bytes, limits and checks are those that nodes use among each other.
package report

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"meshd/crdt"
	"meshd/internal/wire"
)

// MaxItems is how many series a report has at most, so that a node parses and commits one in some milliseconds.
const MaxItems = 10_000

// TargetBytes is when a report is long enough: a fourth of what a frame may have, and more than any one value takes.
const TargetBytes = 1 << 20

// ErrReport is wrapped by every refusal of the bytes of a report.
var ErrReport = errors.New("malformed report")

// name stands for region and node in the frame of a report: its origin is nobody's of the mesh.
const name = "client"

// Report is what one session counted between two of its reports.
type Report struct {
	Session   [16]byte
	Prev, Seq uint64 // number of the report before, 0: none; of this one, above Prev
	Items     []Item // Append puts them in the order in which Parse returns them
}

// Item is what was added to one series: counter, updown, gauge, distribution or unique.
type Item struct {
	Series *crdt.Series
	Inc    crdt.Value
}

// Append sorts the items of r by their kinds and appends its bytes.
func Append(dst []byte, r *Report) ([]byte, error) {
	if len(r.Items) > MaxItems {
		return dst, fmt.Errorf("report: %w: %d items, want at most %d", ErrReport, len(r.Items), MaxItems)
	}
	slices.SortStableFunc(r.Items, func(a, b Item) int { return cmp.Compare(a.Inc.Kind, b.Inc.Kind) })
	f := &wire.Frame{
		Origin: crdt.Origin{Class: crdt.ClassNode, Region: name, Node: name, Inc: r.Session},
		From:   r.Prev, To: r.Seq, Head: r.Seq,
	}
	for i, it := range r.Items {
		f.Defs = append(f.Defs, wire.Def{Ref: uint32(i), Seq: r.Seq, Series: *it.Series})
		f.Cells = append(f.Cells, wire.Cell{Ref: uint32(i), Seq: r.Seq, Value: it.Inc})
	}
	out, err := wire.AppendFrame(dst, f)
	if err != nil {
		return dst, fmt.Errorf("report: %w", err)
	}
	return out, nil
}

// Parse reads a report, the whole of b, and keeps no reference to it.
func Parse(b []byte) (*Report, error) {
	f, err := wire.ParseFrame(b)
	if err != nil {
		return nil, fmt.Errorf("report: %w: %w", ErrReport, err)
	}
	if err := check(f); err != nil {
		return nil, fmt.Errorf("report: %w: %w", ErrReport, err)
	}
	r := &Report{Session: f.Origin.Inc, Prev: f.From, Seq: f.To, Items: make([]Item, len(f.Cells))}
	for i := range f.Cells {
		c, d := &f.Cells[i], &f.Defs[i]
		switch {
		case c.Ref != uint32(i) || d.Ref != uint32(i):
			return nil, fmt.Errorf("report: %w: item %d is number %d of series %d", ErrReport, i, c.Ref, d.Ref)
		case d.Series.Kind != c.Value.Kind || d.Series.Gen != 0:
			return nil, fmt.Errorf("report: %w: item %d: a %s of %s, generation %d", ErrReport, i, c.Value.Kind, d.Series.Kind, d.Series.Gen)
		case !Counts(c.Value.Kind):
			return nil, fmt.Errorf("report: %w: item %d: no client writes a %s", ErrReport, i, c.Value.Kind)
		}
		r.Items[i] = Item{Series: &d.Series, Inc: c.Value}
	}
	return r, nil
}

// check reports why a frame cannot be a report as a whole.
func check(f *wire.Frame) error {
	switch {
	case f.Origin.Class != crdt.ClassNode || f.Origin.Region != name || f.Origin.Node != name || f.Stream != crdt.StreamLifetime:
		return fmt.Errorf("a frame of stream %d of %s", f.Stream, f.Origin)
	case f.From >= f.To || f.Head != f.To:
		return fmt.Errorf("number %d behind %d, head %d", f.To, f.From, f.Head)
	case len(f.Cells) > MaxItems || len(f.Defs) != len(f.Cells):
		return fmt.Errorf("%d series and %d items, want as many, and at most %d", len(f.Defs), len(f.Cells), MaxItems)
	}
	return nil
}

// Counts reports whether a client may count a kind.
func Counts(k crdt.Kind) bool {
	switch k {
	case crdt.KindCounter, crdt.KindUpDown, crdt.KindGauge, crdt.KindDistribution, crdt.KindUnique:
		return true
	default:
		return false
	}
}
