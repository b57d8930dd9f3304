package reconcile

import (
	"slices"

	"meshd/crdt"
	"meshd/internal/mutant"
	"meshd/internal/wire"
)

// MaxDropped bounds the entries of dead hub processes whose cells were dropped and whose progress is still known: three
// hubs of twenty regions that restart twice a week for a year, at 150 bytes each 1 MB. Of more, the first dropped is
// forgotten. Should a frame of it come once more, it is joined once more, and dropped: that changes no answer.
const MaxDropped = 6144

// dead is what Entries remembers of processes that are over.
type dead struct {
	dropped map[crdt.Origin][crdt.NumStreams]crdt.Progress
	order   []crdt.Origin // of dropped, the first one first
	lacking map[crdt.Origin]SeriesID
}

func newDead() dead {
	return dead{dropped: map[crdt.Origin][crdt.NumStreams]crdt.Progress{}, lacking: map[crdt.Origin]SeriesID{}}
}

// Superseded reports whether the process that writes the entry o wrote another one anew after it, as far as is known here.
func (e *Entries) Superseded(o crdt.Origin) bool {
	later := func(p crdt.Origin) bool {
		return p.Class == o.Class && p.Region == o.Region && p.Node == o.Node && p.Inc.Replaces(o.Inc)
	}
	if slices.ContainsFunc(e.Origins(), later) {
		return true
	}
	for p := range e.dead.dropped {
		if later(p) {
			return true
		}
	}
	return false
}

// Dominated reports whether, of every cell of the entry o, one living entry holds as much in every monotone part. Then
// the maximum over all entries is the same without o, and stays so: living entries only rise. Rollups are of the
// moment: those of a dead process are old. Series that passed holds for are not asked about: nothing is answered with them.
func (e *Entries) Dominated(o crdt.Origin, live func(crdt.Origin) bool, passed func(SeriesID) bool) (bool, error) {
	r := e.all[o]
	var by []*Replica
	for _, l := range e.Origins() {
		if l != o && l.Region == o.Region && live(l) {
			by = append(by, e.all[l])
		}
	}
	// What was lacking last time mostly still is: then nothing else is compared.
	if id, ok := e.dead.lacking[o]; ok && !passed(id) {
		if held, err := holdsAll(by, id, r); !held || err != nil {
			return false, err
		}
		delete(e.dead.lacking, o)
	}
	for ref := range r.cells {
		if !r.cells[ref].linked || passed(r.series[ref]) {
			continue
		}
		if held, err := holdsAll(by, r.series[ref], r); !held || err != nil {
			e.dead.lacking[o] = r.series[ref]
			return false, err
		}
	}
	return true, nil
}

// holdsAll reports whether one of some entries holds all that r does of series id.
func holdsAll(by []*Replica, id SeriesID, r *Replica) (bool, error) {
	v, _ := r.Cell(id)
	if v == nil || v.Kind == crdt.KindRollup {
		return true, nil
	}
	for _, l := range by {
		have, _ := l.Cell(id)
		if have == nil {
			continue
		}
		sum := have.Clone()
		if rose, err := sum.Join(v, 0, nil, 0); err != nil || !rose {
			return err == nil, err
		}
	}
	return mutant.On("dead entry dropped undominated"), nil
}

// Settled reports whether the copy of an entry is all that was promised of it: nothing is under way from somebody who
// holds more. Of what its process wrote anew since, the rest may never come: nobody waits for that.
func (e *Entries) Settled(o crdt.Origin) bool {
	if e.Superseded(o) {
		return true
	}
	r := e.all[o]
	p := r.Progress[crdt.StreamLifetime]
	return p.Covered == p.Cursor && r.Top() <= p.Cursor
}

// Drop lets go of the cells of an entry and keeps how far it was held. The views keep what they joined of it.
func (e *Entries) Drop(o crdt.Origin) {
	r := e.all[o]
	if r == nil {
		return
	}
	delete(e.all, o)
	e.order.forget()
	e.Restored(o, r.Progress)
}

// Restored enters an entry that was dropped by an earlier process, with how far it was held.
func (e *Entries) Restored(o crdt.Origin, p [crdt.NumStreams]crdt.Progress) {
	delete(e.dead.lacking, o)
	if _, ok := e.dead.dropped[o]; !ok {
		e.dead.order = append(e.dead.order, o)
	}
	e.dead.dropped[o] = p
}

// Dropped returns how far an entry was held whose cells were dropped.
func (e *Entries) Dropped(o crdt.Origin) ([crdt.NumStreams]crdt.Progress, bool) {
	p, ok := e.dead.dropped[o]
	return p, ok
}

// Excess returns the entries to forget before n more are dropped.
func (e *Entries) Excess(n int) []crdt.Origin {
	return e.dead.order[:max(0, min(len(e.dead.order), len(e.dead.order)+n-MaxDropped))]
}

// Forget removes the first of the dropped entries.
func (e *Entries) Forget(n int) {
	for _, o := range e.dead.order[:n] {
		delete(e.dead.dropped, o)
	}
	e.dead.order = append([]crdt.Origin(nil), e.dead.order[n:]...)
}

// Back takes an entry out of those that were dropped: its process runs after all, or all of it comes again. It is as one that
// was never heard of.
func (e *Entries) Back(o crdt.Origin) {
	if _, ok := e.dead.dropped[o]; !ok {
		return
	}
	delete(e.dead.dropped, o)
	e.dead.order = slices.DeleteFunc(slices.Clone(e.dead.order), func(d crdt.Origin) bool { return d == o })
}

// Runs takes what a process writes out of the entries that were dropped: it runs.
func (e *Entries) Runs(o crdt.Origin) {
	for _, d := range slices.Clone(e.dead.order) {
		if d.Region == o.Region && d.Node == o.Node && d.Inc.SameProcess(o.Inc) {
			e.Back(d)
		}
	}
}

// Late reports whether f is a late frame of a dropped entry: all of it was held. A frame that brings more than was held
// makes the entry a new one, which has to come from its beginning: what its later cells continue is gone. Not so if its
// process wrote all of it anew since: hubs that let go of it at different times would go on giving it to each other.
func (e *Entries) Late(f *wire.Frame) bool {
	if e.Whole(f) {
		return true
	}
	e.Back(f.Origin)
	return false
}

// Whole reports whether nothing that a frame brings is wanted: it is of an entry that was dropped, and all of it was held or
// is written anew.
func (e *Entries) Whole(f *wire.Frame) bool {
	p, ok := e.dead.dropped[f.Origin]
	return ok && (max(f.To, f.Head) <= p[f.Stream].Covered || e.Superseded(f.Origin))
}
