package crdt

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"

	"meshd/internal/mutant"
)

// Limits of histogram cells. A union of the most runs of the most buckets stays below 4 MiB, and its total below 2^64
// samples and 2^80.
const (
	MaxHistogramBuckets    = 320 // of a snapshot, both signs together: exporters make 160 a sign at most
	MaxHistogramRuns       = 250 // written by one origin to one cell
	MaxJoinedHistogramRuns = 8 * MaxHistogramRuns
)

// Histograms holds the cumulative histograms of sources outside the mesh, as Observed holds their counters. Of two
// snapshots of one run the one that counted more is the later: it is taken whole, so that what is answered was true at
// one instant, also when the source went to coarser buckets in between.
type Histograms struct{ runs runSet[snapshot] }

// snapshot is what a source said at one time. d is never changed.
type snapshot struct{ d *Distribution }

// join returns the later snapshot. Snapshots of one run with equal counts are equal but for rounding and scale: the
// coarser is the later, the order of the rest only has to be the same everywhere.
func (s snapshot) join(o snapshot) (snapshot, bool) {
	if mutant.On("snapshots joined by bucket") {
		both := s.d.Clone().(*Distribution)
		above, _ := both.Join(o.d, 0, nil, 0)
		return snapshot{both}, above
	}
	order := cmp.Or(cmp.Compare(o.d.count, s.d.count), cmp.Compare(s.d.Scale(), o.d.Scale()))
	if order == 0 {
		order = bytes.Compare(o.d.AppendBinary(nil), s.d.AppendBinary(nil))
	}
	if order > 0 {
		return o, true
	}
	return s, false
}

// Put adds a snapshot to an increment, which takes it over: what was counted since start, in milliseconds since the
// Unix epoch, 0 if unknown. More than MaxHistogramBuckets buckets are folded to a coarser scale. ErrLimit: the source's
// name, the number of runs, or a snapshot beyond what a cell may hold.
func (h *Histograms) Put(source string, start int64, d *Distribution) error {
	for scale := d.Scale() - 1; len(d.positive)+len(d.negative) > MaxHistogramBuckets && scale >= MinScale; scale-- {
		d.positive, d.negative = d.positive.folded(scale), d.negative.folded(scale)
	}
	if err := checkSnapshot(source, d); err != nil {
		return err
	}
	return h.runs.put(run{source: source, start: start}, snapshot{d}, MaxHistogramRuns)
}

func checkSnapshot(source string, d *Distribution) error {
	if len(d.positive)+len(d.negative) > MaxHistogramBuckets {
		return fmt.Errorf("crdt: %w: histogram of %d buckets, want at most %d", ErrLimit, len(d.positive)+len(d.negative), MaxHistogramBuckets)
	}
	if d.count > MaxCellCount || MaxCell.Less(d.sumPos) || MaxCell.Less(d.sumNeg) {
		return errFullCell
	}
	return checkSource(source)
}

// Total returns the sum over all sources and runs. Of a run of unknown start and the others of its source the greater
// counts, as in Observed.Total.
func (h *Histograms) Total() *Distribution {
	sum := new(Distribution)
	h.runs.sources(func(runs runSet[snapshot]) {
		known, unknown := new(Distribution), new(Distribution)
		for _, r := range runs {
			if r.start == 0 {
				unknown = r.value.d
				continue
			}
			known.add(r.value.d) // fits: see MaxJoinedHistogramRuns
		}
		if unknown.count > known.count {
			known = unknown
		}
		sum.add(known)
	})
	return sum
}

// Snapshot is what is known of one run of a source.
type Snapshot struct {
	Source string
	Start  int64         // milliseconds since the Unix epoch; 0 is unknown
	Total  *Distribution // since Start; shared, read-only
}

// Snapshots yields every run, sorted by source and start.
func (h *Histograms) Snapshots() iter.Seq[Snapshot] {
	return func(yield func(Snapshot) bool) {
		for _, r := range h.runs {
			if !yield(Snapshot{Source: r.source, Start: r.start, Total: r.value.d}) {
				return
			}
		}
	}
}

// histogramsOf returns a state with the runs, or nil if there are none.
func histogramsOf(runs runSet[snapshot]) State {
	if len(runs) == 0 {
		return nil
	}
	return &Histograms{runs: runs}
}

// Join implements State.
func (h *Histograms) Join(d State, stamp uint64, sum State, sumStamp uint64) (bool, error) {
	var total *runSet[snapshot]
	if s, ok := sum.(*Histograms); ok {
		total = &s.runs
	}
	return h.runs.join(d.(*Histograms).runs, stamp, total, sumStamp, MaxJoinedHistogramRuns)
}

// Next implements State: the runs of the increment that are above what the cell holds, nil if none is.
func (h *Histograms) Next(inc State) (State, error) {
	runs, err := h.runs.next(inc.(*Histograms).runs, MaxHistogramRuns)
	if err != nil {
		return nil, err
	}
	return histogramsOf(runs), nil
}

// Delta implements State: a run's snapshot is one part.
func (h *Histograms) Delta(from, to uint64) (State, uint64) {
	runs, tag := h.runs.delta(from, to)
	return histogramsOf(runs), tag
}

// Stamps implements State.
func (h *Histograms) Stamps(from uint64, f func(stamp uint64, size int)) {
	for _, r := range h.runs {
		if r.stamp > from {
			f(r.stamp, 10+len(r.source)+scalarBytes+3*(len(r.value.d.positive)+len(r.value.d.negative)))
		}
	}
}

// Restrict implements State.
func (h *Histograms) Restrict(d State) State {
	return histogramsOf(h.runs.restrict(d.(*Histograms).runs))
}

// Combine implements State: observers are joined.
func (h *Histograms) Combine(p State) error {
	_, err := h.Join(p, 0, nil, 0)
	return err
}

// AddExcess implements State.
func (h *Histograms) AddExcess(own, _ State) error { return h.Combine(own) }

// Remove implements State: observers were joined, not added, so one cannot be taken out.
func (h *Histograms) Remove(State) {}

// Clone implements State. Snapshots are shared: they never change.
func (h *Histograms) Clone() State { return &Histograms{runs: slices.Clone(h.runs)} }

// AppendBinary implements State: the number of runs as a uvarint, then per run, sorted by source and start, the source
// behind its length (uvarint), start (zigzag varint), and the canonical bytes of a Distribution behind their length
// (uvarint).
func (h *Histograms) AppendBinary(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(h.runs)))
	for _, r := range h.runs {
		dst = appendString(dst, r.source)
		dst = binary.AppendVarint(dst, r.start)
		b := r.value.d.AppendBinary(nil)
		dst = append(binary.AppendUvarint(dst, uint64(len(b))), b...)
	}
	return dst
}

// Size implements State.
func (h *Histograms) Size() int {
	n := 24
	for _, r := range h.runs {
		n += 40 + len(r.source) + r.value.d.Size()
	}
	return n
}

func parseHistograms(b []byte, stamp uint64) (State, error) {
	r := byteReader{b: b}
	n := r.count(4)
	if n > MaxJoinedHistogramRuns {
		r.fail()
		n = 0
	}
	h := new(Histograms)
	for i := range n {
		e := runEntry[snapshot]{run: run{source: string(r.bytes(r.count(1))), start: r.varint()}, stamp: stamp}
		raw := r.bytes(r.count(1))
		if r.bad {
			break
		}
		x, err := parseDistribution(raw, 0)
		if err != nil || i > 0 && h.runs[i-1].compare(e.run) >= 0 {
			r.fail()
			break
		}
		e.value.d = x.(*Distribution)
		if checkSnapshot(e.source, e.value.d) != nil {
			r.fail()
			break
		}
		h.runs = append(h.runs, e)
	}
	if err := r.done(KindHistogram); err != nil {
		return nil, err
	}
	return h, nil
}
