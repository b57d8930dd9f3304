package archive

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"

	"meshd/crdt"
	"meshd/node"
	"meshd/replay"
)

// counting is a hub that counts while it is fed: it sums up windows by itself, and is never asked to be done with that.
type counting struct{ *node.Node }

func (counting) Settle(context.Context) error { return nil }

// TestAHubIsFedWhileItCounts: twice at the same time, from one log. In the end it has what the log has and what it counted, once each.
func TestAHubIsFedWhileItCounts(t *testing.T) {
	logDir := filepath.Join(t.TempDir(), "log")
	h := openHub(t, t.TempDir())
	stop := writing(t, h, func(context.Context) (replay.Log, error) { return embedded(t, logDir, false), nil })
	rng := rand.New(rand.NewPCG(11, 11))
	for range 40 {
		h.count(rng, 50)
	}
	h.whole()
	want := h.totals()
	stop()
	h.close()

	log := embedded(t, logDir, true)
	defer func() { _ = log.Close() }() // it was read only
	fresh := openHub(t, t.TempDir())
	defer fresh.close()
	var feeding sync.WaitGroup
	for range 2 {
		feeding.Go(func() {
			if _, err := (&Rebuild{Log: log, Into: counting{fresh.node}, step: 1 << 10}).Run(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	const own = 300
	for range own {
		fresh.countOf("own")
	}
	feeding.Wait()
	series := &crdt.Series{Name: "own", Kind: crdt.KindCounter}
	v := crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(own)}
	want[fmt.Sprintf("%s %s", series, "eu")] = string(v.AppendBinary(nil))
	mustEqual(t, "totals", want, fresh.totals())
}
