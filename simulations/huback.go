package simulations

import "meshd/node"

// answeredForHub judges the answer to a request that wanted the word of a hub (I2): with it, all that this process
// accepted in that way is on the disk of one hub of the region now. So the loss of the machine's own disk loses nothing of it.
func (w *World) answeredForHub(m *machine, rq *request, res *node.Result) {
	if w.hubsLost[m.region] >= rq.at {
		return
	}
	by := m.proc.by
	if res.Err != nil {
		w.saw(sawHubAckLate)
	} else if res.Accepted > 0 {
		w.saw(sawHubAck)
		if by.hub == nil {
			by.hub = make([]amounts, len(w.truth.series))
		}
		rejected := map[int]bool{}
		for _, rj := range res.Rejected {
			rejected[rj.Index] = true
		}
		for i, it := range rq.items {
			if !rejected[i] && res.Duplicates == 0 {
				by.hub[it.series].add(&it.sums)
			}
		}
	}
	if by.hub == nil || res.Err != nil || w.within(by.hub, w.truth.holds(m.disk, by.inc)) && w.onAHub(m, by) {
		return
	}
	w.fail("I2", "%s accepted a request with the word of a hub, and it is not on the disk of this node and of a hub", m.spec.Name)
}

// hubDiskLost: what a hub said was on its disk may not be any more.
func (w *World) hubDiskLost(m *machine) {
	w.hubsLost[m.region] = w.now
	for _, by := range w.truth.order {
		if by.m.region == m.region {
			by.hub = nil
		}
	}
}

// onAHub reports whether the disk of one hub of a machine's region has what a process accepted with the word of a hub.
func (w *World) onAHub(m *machine, by *written) bool {
	for _, h := range w.hubs {
		if h.region != m.region {
			continue
		}
		if w.within(by.hub, w.truth.holds(h.disk, by.inc)) {
			return true
		}
	}
	return false
}

// within reports whether all of want is in have, but for series that an operator dropped.
func (w *World) within(want, have []amounts) bool {
	for i := range want {
		if w.truth.drops[i].ordered {
			continue
		}
		var none amounts
		of := &none
		if have != nil {
			of = &have[i]
		}
		if !want[i].within(of) {
			return false
		}
	}
	return true
}
