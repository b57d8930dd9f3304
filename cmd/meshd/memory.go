package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// leastGrowth is by how many percent the heap grows between two collections at the least: what lives is most of it, and an idle node
	// stays small.
	leastGrowth = 50
	// mostGrowth is the most, while the collector has much to do: at it a node that makes garbage only has a fifth of the collections.
	mostGrowth = 400
	// collectorEvery is how often it is looked at how much that is.
	collectorEvery = time.Second
	// busyShare and idleShare are parts of the processor time that the collector takes, from which on the heap may grow by more, and
	// below which by less.
	busyShare = 0.10
	idleShare = 0.03
	// idleLooks is after how many looks without a collection the heap is to be small again: the next one makes it so.
	idleLooks = 10
)

// limitMemory makes the garbage collector work for --memory. A quarter is left for what it does not manage: the
// store's mapped files, stacks and the program itself.
func limitMemory(bytes int64) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(bytes / 4 * 3)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(leastGrowth)
	}
}

// collector lets the heap grow by more between collections while these take much of the processor and there is memory for it: under load a
// node makes a lot of garbage and has little that lives.
type collector struct {
	growth int
	idle   int // looks without a collection
	last   collections
}

// collections is what the runtime says of them: since the process began, and of the heap now.
type collections struct {
	cycles      uint64
	spent, used float64 // seconds of processors, by the collector and by all
	live        uint64  // bytes that the last one left
}

// paceCollector works until ctx ends. GOGC, if it is set, stays as it is.
func paceCollector(ctx context.Context) error {
	limit := debug.SetMemoryLimit(-1)
	if os.Getenv("GOGC") != "" {
		<-ctx.Done()
		return nil
	}
	c := &collector{growth: leastGrowth, last: readCollections()}
	tick := time.NewTicker(collectorEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if was := c.growth; c.look(readCollections(), limit) != was {
				debug.SetGCPercent(c.growth)
			}
		}
	}
}

// look returns by how many percent the heap may grow from now on, below a limit in bytes.
func (c *collector) look(now collections, limit int64) int {
	if now.cycles == c.last.cycles {
		if c.idle++; c.idle >= idleLooks {
			c.growth = leastGrowth
		}
		return c.growth
	}
	share := (now.spent - c.last.spent) / max(now.used-c.last.used, 1e-9)
	c.last, c.idle = now, 0
	switch {
	case share > busyShare:
		c.growth = min(2*c.growth, mostGrowth)
	case share < idleShare:
		c.growth = max(c.growth/2, leastGrowth)
	}
	// Half of the limit is for bursts, and for what lives and was not there yet.
	room := int(min(float64(mostGrowth), 100*(float64(limit)/2/float64(max(now.live, 1))-1)))
	c.growth = max(min(c.growth, room), leastGrowth)
	return c.growth
}

func readCollections() collections {
	s := []metrics.Sample{
		{Name: "/gc/cycles/total:gc-cycles"},
		{Name: "/cpu/classes/gc/total:cpu-seconds"},
		{Name: "/cpu/classes/total:cpu-seconds"},
		{Name: "/cpu/classes/idle:cpu-seconds"},
		{Name: "/gc/heap/live:bytes"},
	}
	metrics.Read(s)
	return collections{
		cycles: s[0].Value.Uint64(), spent: s[1].Value.Float64(), used: s[2].Value.Float64() - s[3].Value.Float64(), live: s[4].Value.Uint64(),
	}
}
