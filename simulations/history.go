package simulations

import (
	"slices"
	"sort"

	"meshd/crdt"
)

// history is what clients of a machine were told is accepted, by time: what an answer must contain that says it is
// complete up to then.
type history struct{ series [][]moment }

type moment struct {
	at   int64
	p, n crdt.Fixed
	b    uint64 // samples
}

func newHistory(series int) *history { return &history{series: make([][]moment, series)} }

func (h *history) add(at int64, series int, a *amounts) {
	ms := h.series[series]
	m := moment{at: at}
	if len(ms) > 0 {
		m = ms[len(ms)-1]
		m.at = at
	}
	m.p, _ = m.p.Add(a.P)
	m.n, _ = m.n.Add(a.N)
	for _, n := range a.B {
		m.b += n
	}
	h.series[series] = append(ms, m)
}

// acceptedBy returns, by series, what clients of a region's machines were told is accepted before a time, without
// those that without names; nil names nobody. The region's own history has the sums of all. The result is valid until
// the next call.
func (w *World) acceptedBy(region int, until int64, without func(*machine) bool) []moment {
	w.moments = slices.Grow(w.moments[:0], len(w.truth.series))[:len(w.truth.series)]
	want := w.moments
	clear(want)
	if without == nil || !slices.ContainsFunc(w.byRegion[region], without) {
		for i := range want {
			want[i] = w.accepted[region].until(until, i)
		}
		return want
	}
	for _, o := range w.byRegion[region] {
		if without(o) {
			continue
		}
		for i := range want {
			h := o.history.until(until, i)
			want[i].p, _ = want[i].p.Add(h.p)
			want[i].n, _ = want[i].n.Add(h.n)
			want[i].b += h.b
		}
	}
	return want
}

// until returns what was accepted before a time.
func (h *history) until(at int64, series int) moment {
	ms := h.series[series]
	lo, step := len(ms), 1 // mostly it is about the last second: look from the end
	for lo > 0 && ms[lo-1].at >= at {
		lo, step = max(lo-step, 0), 2*step
	}
	hi := min(lo+step, len(ms))
	i := lo + sort.Search(hi-lo, func(i int) bool { return ms[lo+i].at >= at })
	if i == 0 {
		return moment{}
	}
	return ms[i-1]
}
