package bench

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// watchEvery is the pause between two looks of a watcher at a node.
const watchEvery = 100 * time.Millisecond

// watcher asks every node again and again while a load runs: what holds only at the end held by luck.
type watcher struct {
	stop context.CancelFunc
	all  sync.WaitGroup

	mu       sync.Mutex
	answers  int
	above    []string // answers above all that was sent until then
	backward []string // answers below an earlier one of the same process
	restarts map[string]bool
}

// watch begins to ask for metric. restarts names nodes that will be killed or restarted: those may answer less
// afterwards. The caller must end the watcher.
func (m *mesh) watch(ctx context.Context, metric string, s *sender, restarts ...string) *watcher {
	ctx, cancel := context.WithCancel(ctx)
	w := &watcher{stop: cancel, restarts: make(map[string]bool)}
	for _, name := range restarts {
		w.restarts[name] = true
	}
	for _, n := range m.Nodes() {
		w.all.Go(func() {
			for last := int64(0); pause(ctx, watchEvery) == nil; {
				v, _, err := m.answer(ctx, n, metric)
				if err != nil {
					continue // down, or cut off by the end of the watch
				}
				w.judge(n.Name, v, last, s.begun.Load())
				last = v
			}
		})
	}
	return w
}

func (w *watcher) judge(node string, answer, last, begun int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answers++
	if answer > begun {
		w.above = append(w.above, fmt.Sprintf("%s answered %d when %d was sent", node, answer, begun))
	}
	if answer < last && !w.restarts[node] {
		w.backward = append(w.backward, fmt.Sprintf("%s answered %d after %d", node, answer, last))
	}
}

// end stops asking and notes in v what was wrong.
func (w *watcher) end(v *verdict) (answers int) {
	w.stop()
	w.all.Wait()
	for _, list := range [][]string{w.above, w.backward} {
		for _, s := range list[:min(3, len(list))] {
			v.add("%s (%d such answers)", s, len(list))
		}
	}
	return w.answers
}
