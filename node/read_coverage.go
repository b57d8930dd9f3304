package node

import (
	"slices"
	"time"

	"meshd/crdt"
	"meshd/internal/wire"
)

// Coverage says, region by region, how complete and how old the totals are here.
func (c *Core) Coverage() []Coverage { return c.coverageOf(c.regions()) }

func (c *Core) coverageOf(regions []string) []Coverage {
	out := make([]Coverage, len(regions))
	for i, region := range regions {
		out[i] = c.coverage(region)
	}
	return out
}

func (c *Core) coverage(region string) Coverage {
	if c.hub != nil && region == c.cfg.Region {
		e := c.extent()
		if rc := c.best(region); rc != nil && c.better(rc, &e) { // what its author held at that time is held here, too
			return c.asCoverage(rc)
		}
		return c.asCoverage(&e)
	}
	if rc := c.best(region); rc != nil {
		return c.asCoverage(rc)
	}
	cov := Coverage{Region: region, NodesExpected: c.hubsHeldOf(region)}
	if region == c.cfg.Region {
		cov.NodesExpected, cov.NodesHeard, cov.Lost = 1, 1, c.lost(region)
	}
	return cov
}

// hubsHeldOf returns how many nodes a region has at least: those whose entries are here, from before a restart.
func (c *Core) hubsHeldOf(region string) int {
	if c.hub == nil {
		return 1
	}
	names := map[string]bool{}
	for _, o := range c.hub.entries.Origins() {
		if o.Region == region {
			names[o.Node] = true
		}
	}
	return max(len(names), 1)
}

func (c *Core) asCoverage(rc *wire.RegionCoverage) Coverage {
	out := Coverage{
		Region: rc.Region, NodesExpected: int(rc.Expected), NodesHeard: int(rc.Heard),
		Missing: slices.Clone(rc.Missing), Lost: rc.Lost, ClocksOff: int(rc.ClocksOff),
	}
	for _, o := range rc.Clocks {
		out.Clocks = append(out.Clocks, ClockOffset{Node: o.Node, Offset: time.Duration(o.OffsetMs) * time.Millisecond})
	}
	if rc.CompleteUntilMs != 0 {
		out.CompleteUntil = time.UnixMilli(c.toWall(rc.CompleteUntilMs))
		out.Age = time.Duration(c.now-rc.CompleteUntilMs) * time.Millisecond
	}
	if rc.OldestMissingMs != 0 {
		out.OldestMissing = time.UnixMilli(c.toWall(rc.OldestMissingMs))
	}
	if c.stale(rc) {
		if rc.OldestMissingMs == 0 {
			out.OldestMissing = time.UnixMilli(c.toWall(rc.AtMs))
		}
		out.NodesHeard = 0 // but this node
		if rc.Region == c.cfg.Region {
			out.NodesHeard = 1
		}
	}
	return out
}

// lost returns the samples that the nodes of a region lost before they could be counted.
func (c *Core) lost(region string) uint64 {
	id, ok := c.cat.Find(&crdt.Series{Name: LostMetric, Kind: crdt.KindCounter})
	if !ok {
		return 0
	}
	v, ok, err := c.answer(id, region)
	if !ok || err != nil {
		return 0
	}
	return uint64(v.P.Float64())
}
