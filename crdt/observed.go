package crdt

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
)

// Limits of observed cells. MaxJoinedRuns times MaxSample is below 2^80, so a Total cannot overflow.
const (
	MaxObservedRuns = 10_000      // written by one origin to one cell: about 1 MB
	MaxJoinedRuns   = 10 * 10_000 // held in a union over origins
	MaxSourceBytes  = 256
)

// Observed holds the cumulative counters of sources outside the mesh, as scraped or pushed: the source is the
// writer, and any number of nodes may observe it. What they saw of one run of a source is joined, so observing
// twice does not count twice; runs and sources are added.
type Observed struct{ runs map[run]reading }

// run is one life of a source, from its start; 0 is an unknown start.
type run struct {
	source string
	start  int64
}

func (r run) compare(o run) int {
	return cmp.Or(strings.Compare(r.source, o.source), cmp.Compare(r.start, o.start))
}

// reading is the latest time and the greatest value seen; each rises on its own.
type reading struct {
	time  int64
	value Fixed
	stamp uint64
}

// join returns the join of r and o with r's stamp, and whether it is above r.
func (r reading) join(o reading) (reading, bool) {
	out := reading{time: max(r.time, o.time), value: r.value.Max(o.value), stamp: r.stamp}
	return out, out != r
}

// Sample is what is known of one run of a source.
type Sample struct {
	Source string
	Start  int64 // milliseconds since the Unix epoch; 0 is unknown
	Time   int64 // of the latest observation, milliseconds since the Unix epoch
	Value  Fixed // the count since Start
}

// Put adds a sample to an increment. ErrLimit: the source's name or the number of runs. ErrRange: the value is
// above MaxSample.
func (o *Observed) Put(s Sample) error {
	if err := s.check(); err != nil {
		return err
	}
	key := run{source: s.Source, start: s.Start}
	old, held := o.runs[key]
	if !held && len(o.runs) >= MaxObservedRuns {
		return fmt.Errorf("crdt: %w: %d runs of sources", ErrLimit, MaxObservedRuns)
	}
	in := reading{time: s.Time, value: s.Value}
	if held {
		in, _ = old.join(in)
	}
	o.put(key, in)
	return nil
}

func (s *Sample) check() error {
	if len(s.Source) > MaxSourceBytes {
		return fmt.Errorf("crdt: %w: source name of %d bytes, want at most %d", ErrLimit, len(s.Source), MaxSourceBytes)
	}
	if MaxSample.Less(s.Value) {
		return fmt.Errorf("crdt: %w: observed value %v, want at most 2^63", ErrRange, s.Value)
	}
	return nil
}

func (o *Observed) put(k run, r reading) {
	if o.runs == nil {
		o.runs = make(map[run]reading)
	}
	o.runs[k] = r
}

// Total returns the sum over all sources and runs.
func (o *Observed) Total() Fixed {
	var sum Fixed
	for _, r := range o.runs {
		sum, _ = sum.Add(r.value) // see MaxJoinedRuns
	}
	return sum
}

// Samples yields every run, sorted by source and start.
func (o *Observed) Samples() iter.Seq[Sample] {
	return func(yield func(Sample) bool) {
		for _, k := range slices.SortedFunc(maps.Keys(o.runs), run.compare) {
			r := o.runs[k]
			if !yield(Sample{Source: k.source, Start: k.start, Time: r.time, Value: r.value}) {
				return
			}
		}
	}
}

// missing counts the runs of in that o does not have.
func (o *Observed) missing(in *Observed) int {
	n := 0
	for k := range in.runs {
		if _, ok := o.runs[k]; !ok {
			n++
		}
	}
	return n
}

// Join implements State.
func (o *Observed) Join(d State, stamp uint64, sum State, sumStamp uint64) (bool, error) {
	in := d.(*Observed)
	total, _ := sum.(*Observed)
	if len(o.runs)+o.missing(in) > MaxJoinedRuns || total != nil && len(total.runs)+total.missing(in) > MaxJoinedRuns {
		return false, fmt.Errorf("crdt: %w: %d runs of sources", ErrLimit, MaxJoinedRuns)
	}
	rose := o.raise(in, stamp)
	if total != nil {
		total.raise(in, sumStamp)
	}
	return rose, nil
}

func (o *Observed) raise(in *Observed, stamp uint64) (rose bool) {
	for k, r := range in.runs {
		old, held := o.runs[k]
		next, above := old.join(r)
		if !held {
			next, above = r, true // times before 1970 are above nothing too
			next.stamp = 0
		}
		if !above {
			continue
		}
		next.stamp = max(next.stamp, stamp)
		o.put(k, next)
		rose = true
	}
	return rose
}

// Next implements State: the runs of the increment that are above what the cell holds.
func (o *Observed) Next(inc State) (State, error) {
	in := inc.(*Observed)
	if len(o.runs)+o.missing(in) > MaxObservedRuns {
		return nil, fmt.Errorf("crdt: %w: %d runs of sources", ErrLimit, MaxObservedRuns)
	}
	out := new(Observed)
	for k, r := range in.runs {
		old, held := o.runs[k]
		next, above := old.join(r)
		if !held {
			next, above = r, true
		}
		if above {
			out.put(k, reading{time: next.time, value: next.value})
		}
	}
	return out, nil
}

// pick returns the runs that keep keeps, or nil.
func (o *Observed) pick(keep func(run, reading) bool) State {
	out := new(Observed)
	for k, r := range o.runs {
		if keep(k, r) {
			out.put(k, r)
		}
	}
	if len(out.runs) == 0 {
		return nil
	}
	return out
}

// Delta implements State.
func (o *Observed) Delta(from, to uint64) (State, uint64) {
	var tag uint64
	d := o.pick(func(_ run, r reading) bool {
		if r.stamp <= from || r.stamp > to {
			return false
		}
		tag = max(tag, r.stamp)
		return true
	})
	return d, tag
}

// Stamps implements State. Calls are in no particular order.
func (o *Observed) Stamps(from uint64, f func(stamp uint64, size int)) {
	for k, r := range o.runs {
		if r.stamp > from {
			f(r.stamp, 20+len(k.source))
		}
	}
}

// Restrict implements State.
func (o *Observed) Restrict(d State) State {
	in := d.(*Observed)
	return o.pick(func(k run, _ reading) bool { _, ok := in.runs[k]; return ok })
}

// Combine implements State: observers are joined.
func (o *Observed) Combine(p State) error {
	_, err := o.Join(p, 0, nil, 0)
	return err
}

// AddExcess implements State.
func (o *Observed) AddExcess(own, _ State) error { return o.Combine(own) }

// Remove implements State: observers were joined, not added, so one cannot be taken out.
func (o *Observed) Remove(State) {}

// Clone implements State.
func (o *Observed) Clone() State { return &Observed{runs: maps.Clone(o.runs)} }

// AppendBinary implements State: the number of runs as a uvarint, then per run, sorted by source and start, the
// source behind its length (uvarint), start and time (zigzag varints), and the value in its compact form.
func (o *Observed) AppendBinary(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(o.runs)))
	for s := range o.Samples() {
		dst = appendString(dst, s.Source)
		dst = binary.AppendVarint(dst, s.Start)
		dst = binary.AppendVarint(dst, s.Time)
		dst = s.Value.AppendCompact(dst)
	}
	return dst
}

// Size implements State.
func (o *Observed) Size() int {
	n := 64
	for k := range o.runs {
		n += 96 + len(k.source)
	}
	return n
}

func parseObserved(b []byte, stamp uint64) (State, error) {
	r := byteReader{b: b}
	n := r.count(4)
	if n > MaxJoinedRuns {
		r.fail()
		n = 0
	}
	o := new(Observed)
	if n > 0 {
		o.runs = make(map[run]reading, n)
	}
	var last run
	for i := range n {
		s := Sample{Source: string(r.bytes(r.count(1))), Start: r.varint(), Time: r.varint(), Value: r.fixed()}
		k := run{source: s.Source, start: s.Start}
		if s.check() != nil || i > 0 && last.compare(k) >= 0 || r.bad {
			r.fail()
			break
		}
		o.runs[k] = reading{time: s.Time, value: s.Value, stamp: stamp}
		last = k
	}
	if err := r.done(KindObserved); err != nil {
		return nil, err
	}
	return o, nil
}
