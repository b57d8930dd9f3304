package simulations

import (
	"fmt"
	"math/rand/v2"

	"meshd/crdt"
	"meshd/node"
)

// What every plan of Draw has at least, and of machines at most.
const (
	MinNodes  = 20
	MaxNodes  = 50
	MinSafety = 60_000 // milliseconds with writes and faults
	MinFaults = 5
)

// Draw makes the plan of a seed: MinNodes to MaxNodes machines that write and fail for MinSafety at least. Writes,
// flushes and comparisons are seldomer than those of DrawSmall, so that a run of a minute costs no more.
func Draw(seed uint64) *Plan {
	r := stream(seed, "plan")
	p := &Plan{
		Seed: seed, Safety: MinSafety + int64(r.IntN(10_000)),
		Core: node.CoreConfig{
			Flush: pick[int64](r, 300, 1000, 1000), AntiEntropy: pick[int64](r, 1000, 3000),
			Beat: pick[int64](r, 1000, 3000), Silence: pick[int64](r, 5000, 10_000),
			LogBytes: pick[int64](r, 1, 3000, 50_000, 8<<20), ColdAfter: pick[int64](r, 1000, 4000, 20_000, 300_000),
			FrameBytes: pick(r, 30, 400, 0), Inflight: pick(r, 1500, 10_000, 0), Retry: pick[int64](r, 2000, 10_000),
		},
		Net: drawNet(r), Disk: drawDisk(r), Clocks: drawClocks(r),
		Load: Load{
			Series: 2 + r.IntN(8), Pause: pick[int64](r, 1500, 4000, 8000), Items: pick(r, 1, 4), Tokens: pick(r, 0.2, 0.6), Again: pick(r, 0.1, 0.5),
			Reads: pick[int64](r, 50, 100), Uniques: pick(r, 3, 3, 40),
		},
	}
	p.Load.Kinds = drawKinds(r)
	size := MinNodes + r.IntN(MaxNodes-MinNodes-spares+1)
	regions := 2 + r.IntN(4)
	for i := range regions {
		share := size / regions
		if i < size%regions {
			share++
		}
		hubs := min(1+r.IntN(3), share)
		p.addRegion(i, hubs, share-hubs)
	}
	return finish(p, false)
}

// spares is how many machines at most faults add to a mesh.
const spares = 4

// DrawSmall makes the plan of a seed as a small mesh that does much in a short time: it meets more states in the same
// computing time than a large one. Every tenth has 20 to 50 nodes.
func DrawSmall(seed uint64) *Plan { return drawSmall(seed, Profile{}) }

func drawSmall(seed uint64, bias Profile) *Plan {
	r := stream(seed, "plan")
	p := &Plan{
		Seed: seed, Safety: int64(6000 + r.IntN(10_000)),
		Core: node.CoreConfig{
			Flush: pick[int64](r, 20, 100, 100, 300), AntiEntropy: pick[int64](r, 200, 500, 1000, 1000),
			Beat: pick[int64](r, 300, 1000), Silence: pick[int64](r, 2000, 5000),
			LogBytes: pick[int64](r, 1, 3000, 50_000, 8<<20), ColdAfter: pick[int64](r, 600, 3000, 300_000),
			FrameBytes: pick(r, 30, 100, 400, 0), Inflight: pick(r, 1500, 10_000, 0), Retry: pick[int64](r, 1000, 3000, 10_000),
		},
		Net: drawNet(r), Disk: drawDisk(r), Clocks: drawClocks(r),
		Load: Load{
			Series: 2 + r.IntN(12), Pause: pick[int64](r, 40, 100, 300), Items: pick(r, 1, 4), Tokens: pick(r, 0.2, 0.6), Again: pick(r, 0.1, 0.5),
			Reads: pick[int64](r, 20, 50), Uniques: pick(r, 3, 3, 40),
		},
	}
	p.Load.Kinds = drawKinds(r)
	drawSmallMesh(p, r, seed%10 == 9, bias.hubs)
	p.bias = bias
	finish(p, true)
	if bias.limits != nil {
		bias.limits(p, r)
		p.Bound = bound(p)
	}
	return p
}

func drawNet(r *rand.Rand) Net {
	return Net{
		Local: pick[int64](r, 1, 5, 20), Far: pick[int64](r, 20, 80, 200), Jitter: pick[int64](r, 0, 2, 30),
		Loss: pick(r, 0, 0, 0.01, 0.1), Corrupt: pick(r, 0, 0, 0, 0.002), Idle: pick[int64](r, 600, 2100), Redial: pick[int64](r, 300, 2000),
	}
}

func drawDisk(r *rand.Rand) Disk {
	return Disk{Write: pick[int64](r, 1, 5, 5, 50), Read: pick[int64](r, 1, 50)}
}

func drawClocks(r *rand.Rand) Clocks {
	return Clocks{PPM: pick[int64](r, 0, 0, 200), Offset: pick[int64](r, 0, 0, 100, 5000)}
}

// finish draws the faults of a plan whose mesh is drawn.
func finish(p *Plan, small bool) *Plan {
	p.Core.Silence = max(p.Core.Silence, 4*p.Core.Beat)            // what is said of other regions comes two beats late
	p.Core.ColdAfter = max(p.Core.ColdAfter, 3*p.Core.AntiEntropy) // what was loaded to be relayed must stay that long
	p.Faults = drawFaults(p, stream(p.Seed, "faults"))
	drawThrift(p, stream(p.Seed, "thrift"))
	p.Load.Configs = stream(p.Seed, "configurations").IntN(6)
	drawWindows(p, stream(p.Seed, "windows"))
	p.Load.Rollups = stream(p.Seed, "rollups").IntN(2) == 0
	drawForgetting(p, stream(p.Seed, "forgetting"), small)
	p.Bound = bound(p)
	return p
}

// drawWindows lets every third mesh keep windows.
func drawWindows(p *Plan, r *rand.Rand) {
	p.Core.Window = pick[int64](r, 0, 0, 0, 0, 1000, 5000)
}

// drawThrift draws the limits that large meshes reach by themselves: queues that are smaller than what a peer lacks, and
// catch-ups that take several turns.
func drawThrift(p *Plan, r *rand.Rand) {
	p.Net.Queue = pick(r, 0, 0, 5000, 20_000)
	p.Core.CatchUp = pick(r, 0, 0, 1, 3000)
}

var allKinds = []crdt.Kind{crdt.KindCounter, crdt.KindUpDown, crdt.KindDistribution, crdt.KindUnique, crdt.KindGauge}

// drawKinds returns some kinds: rarely all, so that each is often tested alone and much.
func drawKinds(r *rand.Rand) []crdt.Kind {
	var out []crdt.Kind
	for _, k := range allKinds {
		if r.IntN(2) == 0 {
			out = append(out, k)
		}
	}
	if len(out) == 0 {
		return allKinds
	}
	return out
}

func drawSmallMesh(p *Plan, r *rand.Rand, large bool, wanted int) {
	regions, hubs, edges := 1+r.IntN(3), 1+r.IntN(3), r.IntN(4)
	if large {
		regions, hubs, edges = 2+r.IntN(4), 2+r.IntN(2), 6+r.IntN(4)
		p.Safety /= 2
		p.Load.Pause *= 4
	} else if regions*(hubs+edges) < 3 {
		hubs, edges = 2, 1
	}
	if wanted > 0 {
		hubs, edges = wanted, max(edges, 1)
	}
	for i := range regions {
		p.addRegion(i, hubs, edges)
	}
}

func (p *Plan) addRegion(i, hubs, edges int) {
	region := fmt.Sprintf("r%d", i)
	for j := range hubs {
		p.Nodes = append(p.Nodes, Spec{fmt.Sprintf("%s-h%d", region, j), region, node.RoleHub, -1})
	}
	for j := range edges {
		p.Nodes = append(p.Nodes, Spec{fmt.Sprintf("%s-e%d", region, j), region, node.RoleEdge, -1})
	}
}
