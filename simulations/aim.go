package simulations

import (
	"cmp"
	"math/rand/v2"
	"slices"

	"meshd/node"
)

// allFaults are the kinds that Draw and DrawSmall draw.
var allFaults = []FaultKind{
	Cut, OneWay, Split, Bridge, Ring, Flap, Swizzle, Drop, Redial, Crash, TrapBefore, TrapSynced, TrapAnswer,
	Pause, Wipe, WipeFlush, Rollback, Clone, FullDisk, SlowDisk, Jump, Loss, Delay, Storm, Bounce, Remove, DropSeries,
}

// pairsPerPlan is how many pairs of kinds every plan has on purpose. Plans of consecutive seeds have consecutive
// pairs, so that any len(allPairs)/pairsPerPlan of them have all.
const pairsPerPlan = 3

// drawFaults draws which kinds a run has at all and then the faults, some kinds more often than others: crashes and
// cuts meet all others. To these come pairs that meet, and what is missing to MinFaults.
func drawFaults(p *Plan, r *rand.Rand) []Fault {
	kinds := p.bias.biased(drawFaultKinds(r))
	own := len(p.Nodes)
	var out []Fault
	add := func(k FaultKind, at, last int64) {
		if k == Clone && len(p.Nodes) == own+spares {
			k = Crash
		}
		f := Fault{Kind: k, At: at, For: last, B: -1}
		f.aim(p, r, own)
		out = append(out, f)
	}
	length := func() int64 { return 50 + r.Int64N(pick[int64](r, 500, 3000, 8000)) }
	for i := range pairsPerPlan {
		pair := allPairs[(pairsPerPlan*int(p.Seed)+i)%len(allPairs)]
		first := r.IntN(2)
		at, last := 300+r.Int64N(p.Safety*3/4), length()
		add(pair[first], at, last)
		add(pair[1-first], at+r.Int64N(last), length())
	}
	gap := max(p.Safety/6, 1000)
	if p.bias.Name != "" {
		gap /= 2
	}
	for at := int64(300); ; {
		at += 100 + r.Int64N(gap)
		if at >= p.Safety-200 {
			break
		}
		add(pick(r, kinds...), at, length())
	}
	for len(out) < MinFaults {
		add(pick(r, kinds...), 300+r.Int64N(p.Safety-600), length())
	}
	slices.SortStableFunc(out, func(a, b Fault) int { return cmp.Compare(a.At, b.At) })
	return out
}

// drawFaultKinds returns the kinds of a run, as often as they are to be picked.
func drawFaultKinds(r *rand.Rand) (kinds []FaultKind) {
	for _, k := range allFaults {
		n := 0
		switch k {
		case Crash, Split, Cut:
			n = 2 * r.IntN(2)
		case Wipe, WipeFlush, Rollback, Clone:
			n = r.IntN(4) / 3
		default:
			n = r.IntN(3) / 2
		}
		for range n {
			kinds = append(kinds, k)
		}
	}
	if len(kinds) == 0 {
		return []FaultKind{Crash, Split}
	}
	return kinds
}

// aim draws whom the fault strikes.
func (f *Fault) aim(p *Plan, r *rand.Rand, own int) {
	one := r.IntN(own)
	f.A = []int{one}
	switch f.Kind {
	case Cut, OneWay:
		f.B = (one + 1 + r.IntN(own-1)) % own
	case Split, Flap, Swizzle:
		f.A = someOf(p, r, own)
		f.X = 100 + r.Int64N(700)
	case Bridge:
		f.A, f.B = someOf(p, r, own), one
	case Drop, Redial, Pause, FullDisk, SlowDisk:
		if r.IntN(3) == 0 {
			f.A = someOf(p, r, own)
		}
		f.X = pick[int64](r, 50, 500)
	case WipeFlush: // one of its hubs
		f.B = one
		for i, at := range r.Perm(own) {
			if n := p.Nodes[at]; at != one && n.Role == node.RoleHub && n.Region == p.Nodes[one].Region || i == own-1 && f.B == one {
				f.B = at
				break
			}
		}
	case Loss, Delay:
		f.A = someOf(p, r, own)
		f.X = pick[int64](r, 50, 300)
	case Crash:
		if r.IntN(4) == 0 { // a region's hubs, half the mesh, everything
			f.A = someOf(p, r, own)
		}
		f.For = r.Int64N(pick[int64](r, 100, 2000, 5000))
	case Clone:
		spec := p.Nodes[one]
		spec.Copy = one
		f.B = len(p.Nodes)
		p.Nodes = append(p.Nodes, spec)
		f.X = r.Int64N(2) // whether the copy stays
	case DropSeries:
		f.X = int64(r.IntN(p.Load.Series))
	case Remove:
		f.B = r.IntN(own)
		f.For += 500
	case Bounce:
		f.X = pick[int64](r, 300, 2000)
	case Jump:
		f.X = pick[int64](r, -3_600_000, -1000, -100, 100, 1000, 3_600_000)
	default: // strikes one, with nothing more to draw
	}
}

// someOf draws a set of machines: half of all, a region, a region's hubs, or all.
func someOf(p *Plan, r *rand.Rand, own int) []int {
	region := p.Nodes[r.IntN(own)].Region
	how := r.IntN(8)
	var out []int
	for i, n := range p.Nodes[:own] {
		in := false
		switch {
		case how < 3:
			in = r.IntN(2) == 0
		case how < 5:
			in = n.Region == region
		case how < 7:
			in = n.Region == region && n.Role == node.RoleHub
		default:
			in = true
		}
		if in {
			out = append(out, i)
		}
	}
	return out
}
