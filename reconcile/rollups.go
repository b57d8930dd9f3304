package reconcile

import (
	"bytes"

	"meshd/crdt"
	"meshd/internal/mutant"
)

// rollupAge is how much older than the newest a rollup of a hub that is not heard may be and still be chosen for having
// counted more nodes, in milliseconds.
const rollupAge = 5000

// Said is what one hub said last of a gauge in one region.
type Said struct {
	Rollup *crdt.Rollup
	// Heard tells that there is a session with the very process that said it: then it holds still, however long ago it
	// was, because a hub says at once when it changes (ADR 19).
	Heard bool
}

// PickRollup returns the rollup that counts. Of the hubs that are heard it is the one that counted most nodes, of those
// the newest. If none is heard, it is the same of the rollups that are at most 5 s older than the newest. It returns nil
// for none.
func PickRollup(said []Said) *crdt.Rollup {
	heard, newest := false, int64(0)
	for _, s := range said {
		heard = heard || s.Heard
		newest = max(newest, s.Rollup.Stamp.Millis())
	}
	var best *crdt.Rollup
	for _, s := range said {
		r := s.Rollup
		if heard && !s.Heard || !heard && r.Stamp.Millis() < newest-rollupAge {
			continue
		}
		if best == nil || r.Count > best.Count && !mutant.On("newest rollup counts") || r.Count == best.Count && r.Stamp > best.Stamp {
			best = r
		}
	}
	return best
}

// Gauges reports whether the copy holds a gauge.
func (r *Replica) Gauges() bool {
	for ref := range r.cells {
		if c := &r.cells[ref]; c.linked && c.v.Kind == crdt.KindGauge {
			return true
		}
	}
	return false
}

// Said appends what hubs said of a gauge of a region to dst, in the order of their entries.
func (e *Entries) Said(dst []Said, region string, id SeriesID) []Said {
	for _, r := range e.Replicas() {
		if r.Origin.Region != region {
			continue
		}
		if v, _ := r.Cell(id); v != nil {
			dst = append(dst, Said{v.X.(*crdt.Rollup), e.heard(r.Origin)})
		}
	}
	return dst
}

func (e *Entries) heard(o crdt.Origin) bool { return e.Heard != nil && e.Heard(o) }

// pick chooses the rollup of one gauge anew.
func (e *Entries) pick(region string, id SeriesID) error {
	best := PickRollup(e.Said(nil, region, id))
	if best == nil {
		return nil
	}
	return e.view(region).setRollup(id, best)
}

// Repick chooses the rollups of a region anew, because other hubs of it are heard now.
func (e *Entries) Repick(region string) error {
	view := e.views[region]
	if view == nil {
		return nil
	}
	for ref := range view.cells {
		if c := &view.cells[ref]; c.linked && c.v.Kind == crdt.KindRollup {
			if err := e.pick(region, view.series[ref]); err != nil {
				return err
			}
		}
	}
	return nil
}

// setRollup writes a chosen rollup, which may be older than the one before it, with a stamp that replaces it.
func (d *Derived) setRollup(id SeriesID, best *crdt.Rollup) error {
	out := *best
	if old, _ := d.Cell(id); old != nil {
		was := old.X.(*crdt.Rollup)
		if was.Stamp >= out.Stamp {
			same := out
			same.Stamp = was.Stamp
			if bytes.Equal(same.AppendBinary(nil), was.AppendBinary(nil)) {
				return nil
			}
			out.Stamp = was.Stamp + 1
		}
	}
	_, err := d.Raise(id, &crdt.Value{Kind: crdt.KindRollup, X: &out})
	return err
}

// said keeps a hub's rollup of the gauge numbered at in the joined cells: the newest that its view said.
func (from *View) said(at uint32, r *crdt.Rollup) {
	if old := from.rollups[at]; old != nil && (r.Stamp <= old.Stamp ||
		mutant.On("a hub's rollups are picked from") && PickRollup([]Said{{old, true}, {r, true}}) == old) {
		return
	}
	if from.rollups == nil {
		from.rollups = map[uint32]*crdt.Rollup{}
	}
	from.rollups[at] = r.Clone().(*crdt.Rollup)
}

// Rollup returns the rollup of a gauge of a region that counts now, nil if no hub said one.
func (v *Views) Rollup(region string, id SeriesID) *crdt.Rollup {
	d := v.joined[region]
	if d == nil {
		return nil
	}
	at, ok := d.refs.get(id)
	if !ok {
		return nil
	}
	var all []Said
	for _, from := range v.All() {
		if r := from.rollups[at]; r != nil && from.Origin.Region == region {
			all = append(all, Said{r, v.Heard != nil && v.Heard(from.Origin)})
		}
	}
	return PickRollup(all)
}
