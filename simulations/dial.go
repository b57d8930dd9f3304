package simulations

import (
	"cmp"
	"slices"

	"meshd/crdt"
	"meshd/node"
)

// dialing is what a machine remembers of another that it dials.
type dialing struct {
	failures int
	retry    int64 // not before
	busy     bool
}

// dialing returns what a machine remembers of dialing another.
func (m *machine) dialing(h *machine) *dialing {
	d := m.dials[h.index]
	if d == nil {
		d = &dialing{}
		m.dials[h.index] = d
	}
	return d
}

// peerInc returns the incarnation of the process at the other end, as it was when the session was opened.
func (e *end) peerInc() crdt.Incarnation { return e.other().m.incOf(e.other().gen) }

// rank orders the hubs of an edge's region by rendezvous hashing, as gossip does.
func (w *World) rank(m *machine) []*machine {
	score := func(h *machine) uint64 {
		return stream(uint64(m.index)<<32|uint64(h.index), "rank").Uint64()
	}
	var hubs []*machine
	for _, h := range w.machines {
		if h.spec.Role == node.RoleHub && h.region == m.region {
			hubs = append(hubs, h)
		}
	}
	slices.SortFunc(hubs, func(a, b *machine) int { return cmp.Compare(score(a), score(b)) })
	return hubs
}

const homes = 2

// targets returns the machines that m should be dialing: a hub all hubs after it, an edge its two homes and, for
// those that failed, the next in its ranking.
func (w *World) targets(m *machine) []*machine {
	if m.spec.Role == node.RoleHub {
		return w.hubs[m.place+1:]
	}
	if m.ranked == nil {
		m.ranked = w.rank(m)
	}
	var out []*machine
	counted := 0
	for _, h := range m.ranked {
		if counted >= homes {
			break
		}
		if h.dormant {
			continue
		}
		up := m.peers[h.index] != nil
		if !up {
			out = append(out, h)
		}
		if up || m.dialing(h).failures == 0 {
			counted++
		}
	}
	return out
}

func (w *World) dialSoon(m *machine, at int64) {
	w.push(event{at: at, kind: evDial, m: m, gen: m.gen})
}

// dial opens sessions that are wanted and not there.
func (w *World) dial(m *machine) {
	for _, h := range w.targets(m) {
		d := m.dialing(h)
		if m.peers[h.index] != nil || d.busy || h.dormant || h == m {
			continue
		}
		if w.now < d.retry {
			continue
		}
		d.busy = true
		gen, rtt, where := m.gen, w.delay(m, h)+w.delay(h, m), everywhere
		if m.region == h.region {
			where = m.region
		}
		w.callIn(where, w.now+rtt, func() {
			if m.gen != gen || m.proc == nil {
				return
			}
			if h.proc == nil || h.paused(w.now) || m.paused(w.now) || w.cut(m, h) || w.cut(h, m) {
				w.callIn(m.region, w.now+500_000, func() { w.dialFailed(m, h, gen) })
				return
			}
			d.busy, d.failures = false, 0
			w.connect(m, h)
			w.trim(m)
		})
	}
}

// dialFailed backs off with full jitter.
func (w *World) dialFailed(m, h *machine, gen uint32) {
	if m.gen != gen {
		return
	}
	d := m.dialing(h)
	d.busy = false
	d.failures++
	ceiling := min(1000*w.plan.Net.Redial, 200_000<<min(d.failures-1, 8))
	d.retry = w.now + w.rng.net.Int64N(ceiling+1)
	w.dialSoon(m, d.retry)
	if m.spec.Role == node.RoleEdge {
		w.dialSoon(m, w.now) // the next in the ranking
	}
}

// trim ends sessions of an edge beyond its homes, once those are up.
func (w *World) trim(m *machine) {
	if m.spec.Role != node.RoleEdge || m.ranked == nil {
		return
	}
	up := 0
	for _, h := range m.ranked {
		s := m.peers[h.index]
		if s == nil {
			continue
		}
		if up++; up > homes {
			w.saw(sawFailback)
			i := 0
			if s.ends[1].m == m {
				i = 1
			}
			after := [2]int64{}
			after[1-i] = w.delay(m, h)
			w.kill(s, after[0], after[1])
		}
	}
}
