package simulations

import (
	"sync"
	"sync/atomic"
)

// together runs f for 0 to n-1 on the run's processors and waits. Each call may use one machine of its own, as a job
// does; nothing else runs then, for what asks many machines at once is a barrier.
func (w *World) together(n int, f func(i int)) {
	width := min(w.ahead.width, n)
	if width < 2 {
		for i := range n {
			f(i)
		}
		return
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range width {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				f(i)
			}
		})
	}
	wg.Wait()
}

// askAll reads the totals of machines that run, nil where a promise is broken by that.
func (w *World) askAll(ms []*machine, whole bool) []*answers {
	jobs := make([]*job, len(ms))
	for i, m := range ms {
		jobs[i] = w.jobOf(m, evRead, nil, w.now)
		jobs[i].answers.whole = whole
	}
	w.together(len(jobs), func(i int) { jobs[i].execute() })
	out := make([]*answers, len(ms))
	for i, j := range jobs {
		out[i] = w.take(j)
	}
	return out
}

// gatherAll gathers the cells on the disks of all machines.
func (w *World) gatherAll() held {
	w.together(len(w.machines), func(i int) { w.truth.keepCells(w.machines[i].disk) })
	all := held{}
	for _, m := range w.machines {
		for inc, cells := range m.disk.cells { // in any order: all of it is joined
			if all[inc] == nil {
				all[inc] = make([]amounts, len(cells))
			}
			for i := range cells {
				all[inc][i].max(&cells[i])
			}
		}
	}
	return all
}

// pasts returns what the disks of all hubs say of the past.
func (w *World) pasts() map[*machine]*pastOf {
	w.together(len(w.hubs), func(i int) { w.truth.pastOn(w.hubs[i].disk) })
	out := map[*machine]*pastOf{}
	for _, m := range w.hubs {
		if !m.dormant {
			out[m] = m.disk.past
		}
	}
	return out
}
