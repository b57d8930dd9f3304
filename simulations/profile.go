package simulations

import (
	"math/rand/v2"
	"slices"
)

// Profile is a bias of the fault generator: a kind of trouble that small meshes are drawn with more of, so that what only that
// shows is met often.
type Profile struct {
	Name   string
	kinds  []FaultKind // drawn as often as all others together
	hubs   int         // of each region, if not 0
	forget bool        // hubs forget what is over for a moment
	limits func(*Plan, *rand.Rand)
}

// Profiles are the biases, of which each brings rules to fall that other seeds seldom do.
var Profiles = []Profile{
	{Name: "churn", kinds: []FaultKind{Crash, Bounce, TrapBefore, TrapSynced, TrapAnswer, Redial, Drop}},
	{Name: "restores", kinds: []FaultKind{Wipe, WipeFlush, Rollback, Clone, Crash}},
	{Name: "failovers", kinds: []FaultKind{Cut, OneWay, Split, Swizzle, Pause, Drop}, hubs: 3},
	{Name: "oblivion", kinds: []FaultKind{Crash, Bounce, TrapSynced, TrapAnswer, Pause, Drop, Split}, hubs: 2, forget: true},
	{Name: "operators", kinds: []FaultKind{Remove, DropSeries}},
	{Name: "thrift", kinds: []FaultKind{Storm, Loss, Delay, SlowDisk, FullDisk, Split}, limits: func(p *Plan, r *rand.Rand) {
		p.Net.Queue, p.Core.CatchUp = pick(r, 2000, 5000), pick(r, 1, 3000)
		p.Load.Series, p.Load.Pause = p.Load.Series+10, min(p.Load.Pause, 100)
	}},
}

// ProfileOf returns a profile by its name; a name that there is none of is a profile without a bias.
func ProfileOf(name string) Profile {
	if i := slices.IndexFunc(Profiles, func(p Profile) bool { return p.Name == name }); i >= 0 {
		return Profiles[i]
	}
	return Profile{}
}

// DrawBiased makes the plan of a seed as a small mesh with much of one kind of trouble.
func DrawBiased(seed uint64, bias Profile) *Plan { return drawSmall(seed, bias) }

// biased returns the kinds of a run with those of a profile, which come as often as all others together.
func (b *Profile) biased(kinds []FaultKind) []FaultKind {
	if len(b.kinds) == 0 {
		return kinds
	}
	for n := len(kinds); n > 0; n -= len(b.kinds) {
		kinds = append(kinds, b.kinds...)
	}
	return kinds
}
