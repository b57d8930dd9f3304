package simulations

import (
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

// until returns what was accepted before a time.
func (h *history) until(at int64, series int) moment {
	ms := h.series[series]
	i := sort.Search(len(ms), func(i int) bool { return ms[i].at >= at })
	if i == 0 {
		return moment{}
	}
	return ms[i-1]
}
