package crdt

import (
	"encoding/binary"
	"fmt"
	"iter"
	"slices"

	"meshd/internal/mutant"
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
type Observed struct{ runs runSet[count] }

// count is the latest time and the greatest value seen; each rises on its own.
type count struct {
	time  int64
	value Fixed
}

func (c count) join(o count) (count, bool) {
	out := count{time: max(c.time, o.time), value: c.value.Max(o.value)}
	return out, out != c
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
	return o.runs.put(run{source: s.Source, start: s.Start}, count{time: s.Time, value: s.Value}, MaxObservedRuns)
}

func (s *Sample) check() error {
	if MaxSample.Less(s.Value) {
		return fmt.Errorf("crdt: %w: observed value %v, want at most 2^63", ErrRange, s.Value)
	}
	return checkSource(s.Source)
}

func checkSource(s string) error {
	if len(s) > MaxSourceBytes {
		return fmt.Errorf("crdt: %w: source name of %d bytes, want at most %d", ErrLimit, len(s), MaxSourceBytes)
	}
	return nil
}

// Total returns the sum over all sources and runs. A run of unknown start may be one of the others, seen by somebody who
// did not know its start: of a source the greater counts, that run or the sum of the others. Neither is ever above what
// the source counted.
func (o *Observed) Total() Fixed {
	var sum Fixed
	o.runs.sources(func(runs runSet[count]) {
		var unknown, known Fixed
		for _, r := range runs {
			if r.start == 0 {
				unknown = r.value.value
				continue
			}
			if mutant.On("later run replaces") {
				known = Fixed{}
			}
			known, _ = known.Add(r.value.value) // see MaxJoinedRuns
		}
		if mutant.On("unknown start added") {
			known, _ = known.Add(unknown)
		}
		sum, _ = sum.Add(known.Max(unknown))
	})
	return sum
}

// Samples yields every run, sorted by source and start.
func (o *Observed) Samples() iter.Seq[Sample] {
	return func(yield func(Sample) bool) {
		for _, r := range o.runs {
			if !yield(Sample{Source: r.source, Start: r.start, Time: r.value.time, Value: r.value.value}) {
				return
			}
		}
	}
}

// observedOf returns a state with the runs, or nil if there are none.
func observedOf(runs runSet[count]) State {
	if len(runs) == 0 {
		return nil
	}
	return &Observed{runs: runs}
}

// Join implements State.
func (o *Observed) Join(d State, stamp uint64, sum State, sumStamp uint64) (bool, error) {
	var total *runSet[count]
	if s, ok := sum.(*Observed); ok {
		total = &s.runs
	}
	return o.runs.join(d.(*Observed).runs, stamp, total, sumStamp, MaxJoinedRuns)
}

// Next implements State: the runs of the increment that are above what the cell holds, nil if none is.
func (o *Observed) Next(inc State) (State, error) {
	runs, err := o.runs.next(inc.(*Observed).runs, MaxObservedRuns)
	if err != nil {
		return nil, err
	}
	return observedOf(runs), nil
}

// Delta implements State.
func (o *Observed) Delta(from, to uint64) (State, uint64) {
	runs, tag := o.runs.delta(from, to)
	return observedOf(runs), tag
}

// Stamps implements State.
func (o *Observed) Stamps(from uint64, f func(stamp uint64, size int)) {
	for _, r := range o.runs {
		if r.stamp > from {
			f(r.stamp, 20+len(r.source))
		}
	}
}

// Restrict implements State.
func (o *Observed) Restrict(d State) State { return observedOf(o.runs.restrict(d.(*Observed).runs)) }

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
func (o *Observed) Clone() State { return &Observed{runs: slices.Clone(o.runs)} }

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
	n := 24
	for _, r := range o.runs {
		n += 64 + len(r.source)
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
		o.runs = make(runSet[count], 0, n)
	}
	var last run
	for i := range n {
		s := Sample{Source: string(r.bytes(r.count(1))), Start: r.varint(), Time: r.varint(), Value: r.fixed()}
		k := run{source: s.Source, start: s.Start}
		if s.check() != nil || i > 0 && last.compare(k) >= 0 || r.bad {
			r.fail()
			break
		}
		o.runs = append(o.runs, runEntry[count]{run: k, stamp: stamp, value: count{time: s.Time, value: s.Value}})
		last = k
	}
	if err := r.done(KindObserved); err != nil {
		return nil, err
	}
	return o, nil
}
