package simulations

import (
	"meshd/crdt"
	"meshd/internal/wire"
	"meshd/node"
)

// index knows which frames on a disk are whose, so that what it holds of one process is found without reading the
// rest: a hub's log of ten minutes has the frames of all its nodes. It is the oracle's, and believes nothing but the
// bytes on the disk. A disk that nobody asked has none.
type index struct {
	of   map[crdt.Incarnation]*kept
	keys map[string][]crdt.Incarnation // whose frames are in a record
}

// kept is what a disk holds of one process.
type kept struct {
	raws  map[string][][]byte // its frames, by record
	fresh [][]byte            // those that are not in sums yet
	refs  map[uint32]int      // series, by what their definitions call them
	early map[uint32]amounts  // cells without a definition so far
	sums  []amounts           // nil: to be read anew, from all frames
}

// holds returns what a disk holds of the cells of a process, by series, nil if nothing: what gather finds there. It
// stays the index's own.
func (t *truth) holds(d *disk, inc crdt.Incarnation) []amounts {
	if d.index == nil {
		d.index = &index{of: map[crdt.Incarnation]*kept{}, keys: map[string][]crdt.Incarnation{}}
		for key, value := range d.kv { // in any order: all of it is joined
			for _, r := range reachesOf(nil, []node.Op{{Key: []byte(key), Value: value}}) {
				d.index.put(key, &r)
			}
		}
	}
	if k := d.index.of[inc]; k != nil {
		return k.read(t)
	}
	return nil
}

// put enters a frame of a record that was written.
func (x *index) put(key string, r *reach) {
	if r.o.Class != crdt.ClassNode {
		return
	}
	k := x.of[r.o.Inc]
	if k == nil {
		k = &kept{raws: map[string][][]byte{}}
		x.of[r.o.Inc] = k
	}
	k.raws[key] = append(k.raws[key], r.raw)
	k.fresh = append(k.fresh, r.raw)
	x.keys[key] = append(x.keys[key], r.o.Inc)
}

// drop forgets a record that is deleted or written over.
func (x *index) drop(key string) {
	for _, inc := range x.keys[key] {
		k := x.of[inc]
		delete(k.raws, key)
		k.sums = nil
	}
	delete(x.keys, key)
}

// read joins what was written since it was read last.
func (k *kept) read(t *truth) []amounts {
	if k.sums == nil {
		k.fresh = nil
		for _, raws := range k.raws {
			k.fresh = append(k.fresh, raws...)
		}
		k.refs, k.early, k.sums = map[uint32]int{}, map[uint32]amounts{}, make([]amounts, len(t.series))
	}
	for _, raw := range k.fresh {
		if f, err := wire.ParseFrame(raw); err == nil {
			k.join(t, f)
		}
	}
	k.fresh = nil
	for ref, a := range k.early {
		if at, ok := k.refs[ref]; ok {
			k.sums[at].max(&a)
			delete(k.early, ref)
		}
	}
	return k.sums
}

func (k *kept) join(t *truth, f *wire.Frame) {
	for i := range f.Defs {
		if at, ok := t.index[f.Defs[i].Series.Name]; ok {
			k.refs[f.Defs[i].Ref] = at
		}
	}
	for i := range f.Cells {
		c := &f.Cells[i]
		a, _ := amountsOf(&c.Value)
		if at, ok := k.refs[c.Ref]; ok {
			k.sums[at].max(&a)
			continue
		}
		e := k.early[c.Ref]
		e.max(&a)
		k.early[c.Ref] = e
	}
}
