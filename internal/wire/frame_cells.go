package wire

import (
	"encoding/binary"
	"fmt"
	"slices"

	"meshd/crdt"
)

// run is a stretch of cells of one kind and window. Within it refs ascend.
type run struct {
	kind   crdt.Kind
	window crdt.Window
	count  int
}

// runs cuts the cells, which are in order, into runs.
func (f *Frame) runs() []run {
	var runs []run
	for i := range f.Cells {
		c := &f.Cells[i]
		if n := len(runs); n > 0 && runs[n-1].kind == c.Value.Kind && runs[n-1].window == c.Window {
			runs[n-1].count++
			continue
		}
		runs = append(runs, run{kind: c.Value.Kind, window: c.Window, count: 1})
	}
	return runs
}

// appendRuns appends the number of runs (uvarint), the packed kinds and the packed counts. No runs: nothing.
func appendRuns(dst []byte, runs []run) []byte {
	if len(runs) == 0 {
		return dst
	}
	dst = binary.AppendUvarint(dst, uint64(len(runs)))
	vals := make([]uint64, len(runs))
	for i, r := range runs {
		vals[i] = uint64(r.kind)
	}
	dst = appendPacked(dst, vals)
	for i, r := range runs {
		vals[i] = uint64(r.count)
	}
	return appendPacked(dst, vals)
}

// parseRuns reads the runs and makes room for their cells, at most limit.
func (p *Parser) parseRuns(limit int) error {
	p.runs, p.frame.Cells = p.runs[:0], p.frame.Cells[:0]
	if len(p.col.b) == 0 {
		return nil
	}
	n := p.col.uvarint()
	if n == 0 || n > uint64(limit) || n > blockLen*uint64(len(p.col.b)) {
		return fmt.Errorf("%w: %d runs of cells, want 1 to %d", ErrLimit, n, limit)
	}
	p.runs = slices.Grow(p.runs, int(n))[:n]
	for rest := p.runs; len(rest) > 0; rest = rest[min(len(rest), blockLen):] {
		for i, v := range p.col.block(min(len(rest), blockLen)) {
			if v > uint64(crdt.LastKind) {
				return fmt.Errorf("%w: kind %d", ErrInvalid, v)
			}
			rest[i] = run{kind: crdt.Kind(v)}
		}
	}
	total := uint64(0)
	for rest := p.runs; len(rest) > 0; rest = rest[min(len(rest), blockLen):] {
		for i, v := range p.col.block(min(len(rest), blockLen)) {
			if v == 0 || v > uint64(limit)-total {
				return fmt.Errorf("%w: run of %d cells after %d, want 1 to %d together", ErrLimit, v, total, limit)
			}
			rest[i].count = int(v)
			total += v
		}
	}
	p.frame.Cells = slices.Grow(p.frame.Cells, int(total))[:total]
	return nil
}

// appendWindows appends the windows of the runs: packed widths in seconds, then packed zigzag differences of the
// starts in seconds. Nothing if all are lifetime cells.
func appendWindows(dst []byte, runs []run) []byte {
	if !slices.ContainsFunc(runs, func(r run) bool { return r.window != crdt.Window{} }) {
		return dst
	}
	vals := make([]uint64, len(runs))
	for i, r := range runs {
		vals[i] = uint64(r.window.Width / 1000)
	}
	dst = appendPacked(dst, vals)
	last := int64(0)
	for i, r := range runs {
		start := r.window.Start / 1000
		vals[i] = zigzag(start - last)
		last = start
	}
	return appendPacked(dst, vals)
}

func zigzag(v int64) uint64   { return uint64(v)<<1 ^ uint64(v>>63) }
func unzigzag(v uint64) int64 { return int64(v>>1) ^ -int64(v&1) }

// parseWindows reads the windows of the runs.
func (p *Parser) parseWindows() error {
	if len(p.col.b) > 0 {
		for rest := p.runs; len(rest) > 0; rest = rest[min(len(rest), blockLen):] {
			for i, v := range p.col.block(min(len(rest), blockLen)) {
				rest[i].window.Width = int64(min(v, maxWindowSeconds+1)) * 1000
			}
		}
		last := int64(0)
		for rest := p.runs; len(rest) > 0; rest = rest[min(len(rest), blockLen):] {
			for i, v := range p.col.block(min(len(rest), blockLen)) {
				last += unzigzag(v)
				if last < 0 || last > maxWindowStart {
					return fmt.Errorf("%w: window at second %d", ErrInvalid, last)
				}
				rest[i].window.Start = last * 1000
			}
		}
	}
	return p.spread()
}

// spread sets kind and window of every cell. Runs are in ascending order.
func (p *Parser) spread() error {
	at := p.frame.Cells
	for i, r := range p.runs {
		if i > 0 && !p.runs[i-1].before(r) {
			return fmt.Errorf("%w: runs of cells out of order", ErrMalformed)
		}
		for j := range at[:r.count] {
			at[j] = Cell{Window: r.window, Value: crdt.Value{Kind: r.kind}}
		}
		at = at[r.count:]
	}
	return nil
}

func (r run) before(o run) bool {
	return r.kind < o.kind || r.kind == o.kind && compareWindows(r.window, o.window) < 0
}

// appendRefs appends the packed refs: of each run the first one, then the gaps, less one.
func (f *Frame) appendRefs(dst []byte) []byte {
	vals := make([]uint64, len(f.Cells))
	for i := range f.Cells {
		c := &f.Cells[i]
		vals[i] = uint64(c.Ref)
		if i > 0 && f.Cells[i-1].sameRun(c) {
			vals[i] -= uint64(f.Cells[i-1].Ref) + 1
		}
	}
	return appendPacked(dst, vals)
}

func (c *Cell) sameRun(o *Cell) bool { return c.Value.Kind == o.Value.Kind && c.Window == o.Window }

func (p *Parser) parseRefs() error {
	left, next := 0, uint64(0) // cells left in the run; the lowest ref that the next cell can have
	runs := p.runs
	for rest := p.frame.Cells; len(rest) > 0; rest = rest[min(len(rest), blockLen):] {
		for i, v := range p.col.block(min(len(rest), blockLen)) {
			if left == 0 {
				left, next, runs = runs[0].count, 0, runs[1:]
			}
			if v > MaxRef-next || next > MaxRef {
				return fmt.Errorf("%w: ref %d above %d", ErrInvalid, v, next)
			}
			rest[i].Ref = uint32(next + v)
			next += v + 1
			left--
		}
	}
	return nil
}

// appendSeqs appends the distance from the frame's head to the highest seq of its cells (uvarint), then the packed
// distances from there. Cells of one seq, the common case, cost a byte for 128.
func (f *Frame) appendSeqs(dst []byte) []byte {
	if len(f.Cells) == 0 {
		return dst
	}
	top := uint64(0)
	for i := range f.Cells {
		top = max(top, f.Cells[i].Seq)
	}
	vals := make([]uint64, len(f.Cells))
	for i := range f.Cells {
		vals[i] = top - f.Cells[i].Seq
	}
	return appendPacked(binary.AppendUvarint(dst, f.Head-top), vals)
}

func (p *Parser) parseSeqs() error {
	if len(p.frame.Cells) == 0 {
		return nil
	}
	below := p.col.uvarint()
	if below > p.frame.Head {
		return fmt.Errorf("%w: seq %d below head %d", ErrInvalid, below, p.frame.Head)
	}
	top := p.frame.Head - below
	for rest := p.frame.Cells; len(rest) > 0; rest = rest[min(len(rest), blockLen):] {
		for i, v := range p.col.block(min(len(rest), blockLen)) {
			rest[i].Seq = top - min(v, top) // 0, which check refuses, if there is none
		}
	}
	return nil
}

func (p *Parser) parseValues() error { return p.col.values(len(p.frame.Cells), p.frame.valueAt) }
