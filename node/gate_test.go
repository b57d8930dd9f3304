package node

import (
	"sync"
	"testing"
	"testing/synctest"
)

func TestGateLetsInByTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{limit: 10}
		stop := make(chan struct{})
		if n, ok := g.enter(6, stop); n != 6 || !ok {
			t.Fatalf("an empty gate takes %d, %v", n, ok)
		}
		var mu sync.Mutex
		var passed []int
		for _, n := range []int{7, 2, 99} {
			go func() {
				if got, ok := g.enter(n, stop); ok {
					mu.Lock()
					defer mu.Unlock()
					passed = append(passed, got)
				}
			}()
			synctest.Wait()
		}
		if len(passed) > 0 {
			t.Fatalf("%v passed: 7 do not fit beside 6, and who comes later waits behind", passed)
		}
		g.leave(6)
		synctest.Wait()
		if len(passed) != 2 || passed[0]+passed[1] != 9 {
			t.Fatalf("%v passed, want 7 and 2", passed)
		}
		g.leave(7)
		synctest.Wait()
		if len(passed) != 2 {
			t.Fatalf("%v passed: a message larger than the gate goes alone", passed)
		}
		g.leave(2)
		synctest.Wait()
		if len(passed) != 3 || passed[2] != 10 || g.waited.Load() != 3 {
			t.Fatalf("%v passed, %d waited, want the large one as 10, and 3", passed, g.waited.Load())
		}
		go func() {
			if _, ok := g.enter(1, stop); ok {
				t.Error("passed after the end")
			}
		}()
		synctest.Wait()
		close(stop)
	})
}
