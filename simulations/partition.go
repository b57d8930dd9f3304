package simulations

import "slices"

// strikeNetwork cuts links until end.
func (w *World) strikeNetwork(f *Fault, end int64) {
	in := make([]bool, len(w.machines))
	for _, i := range f.A {
		in[i] = true
	}
	to := make([]bool, len(w.machines))
	for _, i := range f.To {
		to[i] = true
	}
	if f.To == nil && f.B >= 0 {
		to[f.B] = true
	}
	switch f.Kind {
	case Cut:
		w.cutUntil(end, func(a, b int) bool { return in[a] && to[b] || in[b] && to[a] })
	case OneWay:
		w.cutUntil(end, func(a, b int) bool { return in[a] && to[b] })
	case Split:
		w.cutUntil(end, func(a, b int) bool { return in[a] != in[b] })
	case Bridge:
		w.cutUntil(end, func(a, b int) bool { return in[a] != in[b] && a != f.B && b != f.B })
	case Ring:
		n := len(w.machines)
		w.cutUntil(end, func(a, b int) bool { d := (a - b + n) % n; return d != 1 && d != n-1 })
	case Flap:
		for at := w.now; at < end; at += 2000 * f.X {
			w.call(at, func() {
				w.cutUntil(min(w.now+1000*f.X, end), func(a, b int) bool { return in[a] != in[b] })
			})
		}
	case Swizzle:
		w.swizzle(f, end)
	default: // not of the network
	}
}

// swizzle cuts machines off one by one and joins them again in another order.
func (w *World) swizzle(f *Fault, end int64) {
	back := slices.Clone(f.A)
	w.rng.life.Shuffle(len(back), func(i, j int) { back[i], back[j] = back[j], back[i] })
	half := (end - w.now) / 2
	for i, who := range f.A {
		from := w.now + half*int64(i)/int64(len(f.A))
		to := w.now + half + half*int64(slices.Index(back, who)+1)/int64(len(f.A))
		w.call(from, func() {
			w.cutUntil(to, func(a, b int) bool { return a == who || b == who })
		})
	}
}

// cutUntil cuts the ways that lost names, from one machine to another, and sessions over them die of silence.
func (w *World) cutUntil(end int64, lost func(from, to int) bool) {
	if w.healed {
		return
	}
	var ways [][2]int
	for a := range w.machines {
		for b := range w.machines {
			if a != b && lost(a, b) {
				if w.cuts[a] == nil {
					w.cuts[a] = make([]uint8, len(w.machines))
				}
				w.cuts[a][b]++
				ways = append(ways, [2]int{a, b})
			}
		}
	}
	over := false
	w.call(end, func() {
		over = true
		for _, c := range ways {
			w.cuts[c[0]][c[1]]--
		}
	})
	w.sweep()
	for _, s := range w.sessions {
		if s.dead || !w.cut(s.ends[0].m, s.ends[1].m) && !w.cut(s.ends[1].m, s.ends[0].m) {
			continue
		}
		w.saw(sawCutSession)
		w.call(w.now+1000*w.plan.Net.Idle+w.rng.life.Int64N(200_000), func() {
			if !over && !s.dead && (w.cut(s.ends[0].m, s.ends[1].m) || w.cut(s.ends[1].m, s.ends[0].m)) {
				w.kill(s, w.rng.life.Int64N(300_000), w.rng.life.Int64N(300_000))
			}
		})
	}
}

// sweep forgets sessions that are over.
func (w *World) sweep() {
	w.sessions = slices.DeleteFunc(w.sessions, func(s *session) bool { return s.dead })
}

// heal ends all faults and all writes, and brings everybody up: the liveness phase begins.
func (w *World) heal() {
	w.healed = true
	w.trace("everything heals")
	for _, m := range w.machines {
		m.disk.full, m.disk.slow, m.trap, m.doomed = false, 0, noTrap, false
		m.resume = min(m.resume, w.now)
		if m.proc == nil && !m.dormant {
			w.restartIn(m, w.rng.life.Int64N(300_000))
		}
	}
	w.probeSoon()
}
