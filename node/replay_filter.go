package node

import (
	"errors"
	"fmt"

	"meshd/crdt"
	"meshd/internal/mutant"
	"meshd/internal/wire"
)

// ReplayFilter takes some metrics out of an archive. What it makes of a frame moves no cursor: a hub that was told less than the
// frame had must not say that it holds all of it, and its peers go on to bring the rest.
//
// It holds the definitions of the wanted series, about 200 bytes a series and 40 more for each process that counts on it.
type ReplayFilter struct {
	wants  func(metric string) bool
	defs   map[crdt.Origin]map[uint32]wire.Def // of wanted series
	others map[crdt.Origin]map[uint32]struct{} // of series that are defined and not wanted
	series map[string]*crdt.Series             // by key: origins share them
	key    []byte

	Unnamed int64 // cells that were left out because no definition says what they are of
}

// NewReplayFilter returns a filter that keeps the metrics whose names pass a test.
func NewReplayFilter(wants func(metric string) bool) *ReplayFilter {
	return &ReplayFilter{
		wants: wants, defs: map[crdt.Origin]map[uint32]wire.Def{}, others: map[crdt.Origin]map[uint32]struct{}{}, series: map[string]*crdt.Series{},
	}
}

// Learn reads the definitions of a message. Frames name series by numbers that an earlier frame gave them, and an archive has
// them in any order: all of it is learned before the first Take.
func (rf *ReplayFilter) Learn(d *Decoded) {
	if d.Frame == nil || d.Frame.Stream != crdt.StreamLifetime {
		return
	}
	for i := range d.Frame.Defs {
		def := d.Frame.Defs[i]
		if !rf.wants(def.Series.Name) {
			if rf.others[d.Frame.Origin] == nil {
				rf.others[d.Frame.Origin] = map[uint32]struct{}{}
			}
			rf.others[d.Frame.Origin][def.Ref] = struct{}{}
			continue
		}
		rf.key = def.Series.AppendKey(rf.key[:0])
		known := rf.series[string(rf.key)]
		if known == nil {
			known = &def.Series
			rf.series[string(rf.key)] = known
		}
		def.Series = *known
		if rf.defs[d.Frame.Origin] == nil {
			rf.defs[d.Frame.Origin] = map[uint32]wire.Def{}
		}
		rf.defs[d.Frame.Origin][def.Ref] = def
	}
}

// Take returns what is wanted of a message. Publications are kept whole or not at all, since a number stands for all that is in one,
// and so are records of what is forgotten. What operators decided is always kept.
func (rf *ReplayFilter) Take(d Decoded) ([]Decoded, error) {
	f := d.Frame
	switch {
	case f == nil:
		return []Decoded{d}, nil
	case f.Stream == crdt.StreamWindow:
		for i := range f.Defs {
			if rf.wants(f.Defs[i].Series.Name) {
				return []Decoded{d}, nil
			}
		}
		return nil, nil
	}
	out := &wire.Frame{Origin: f.Origin, Head: f.Head}
	if mutant.On("filtered frame moves the cursor") {
		out.From, out.To = f.From, f.To
	}
	defs := rf.defs[f.Origin]
	for _, c := range f.Cells {
		if def, ok := defs[c.Ref]; ok {
			out.Cells = append(out.Cells, c)
			out.Head = max(out.Head, def.Seq)
		} else if _, known := rf.others[f.Origin][c.Ref]; !known {
			rf.Unnamed++
		}
	}
	return appendFiltered(nil, out, defs)
}

// appendFiltered appends a frame with the definitions that its cells need, as two when they do not fit into one.
func appendFiltered(dst []Decoded, f *wire.Frame, defs map[uint32]wire.Def) ([]Decoded, error) {
	if len(f.Cells) == 0 {
		return dst, nil
	}
	f.Defs = nil
	for _, c := range f.Cells {
		f.Defs = append(f.Defs, defs[c.Ref])
	}
	raw, err := wire.AppendFrame(nil, f)
	switch {
	case errors.Is(err, wire.ErrLimit) && len(f.Cells) > 1:
		low, high := *f, *f
		low.Cells, high.Cells = f.Cells[:len(f.Cells)/2], f.Cells[len(f.Cells)/2:]
		if dst, err = appendFiltered(dst, &low, defs); err != nil {
			return nil, err
		}
		return appendFiltered(dst, &high, defs)
	case err != nil:
		return nil, fmt.Errorf("node: what a filter leaves of a frame of %s: %w", f.Origin, err)
	}
	return append(dst, Decoded{Msg: &wire.FrameMsg{Raw: raw}, Frame: f}), nil
}
