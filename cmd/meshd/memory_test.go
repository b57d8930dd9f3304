package main

import (
	"runtime"
	"testing"
)

func TestTheHeapGrowsWhileTheCollectorHasMuchToDo(t *testing.T) {
	const limit = 192 << 20
	c := &collector{growth: leastGrowth}
	var at collections
	pass := func(share float64, live uint64) int {
		at.cycles++
		at.used++
		at.spent += share
		at.live = live
		return c.look(at, limit)
	}
	for i, want := range []int{100, 200, 400, 400} {
		if got := pass(0.4, 10<<20); got != want {
			t.Errorf("busy, look %d: %d, want %d", i, got, want)
		}
	}
	if got := pass(0.05, 10<<20); got != 400 {
		t.Errorf("in between: %d", got)
	}
	if got := pass(0.4, 40<<20); got != 140 {
		t.Errorf("40 MiB of half of 192 live: %d", got)
	}
	if got := pass(0.4, 300<<20); got != leastGrowth {
		t.Errorf("more lives than the limit: %d", got)
	}
	pass(0.4, 1<<20)
	pass(0.4, 1<<20)
	if got := pass(0.01, 1<<20); got != 100 {
		t.Errorf("little to do: %d", got)
	}
	for range idleLooks {
		c.look(at, limit)
	}
	if c.growth != leastGrowth {
		t.Errorf("idle: %d", c.growth)
	}
	runtime.GC() // what it says is as of the last one
	if now := readCollections(); now.cycles == 0 || now.used <= 0 || now.spent > now.used {
		t.Errorf("the runtime says %+v", now)
	}
}
