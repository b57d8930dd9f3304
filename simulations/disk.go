package simulations

import (
	"bytes"
	"encoding/binary"
	"maps"
	"slices"
	"strings"

	"meshd/crdt"
	"meshd/internal/wire"
	"meshd/node"
)

// disk is what a machine has synced. A write takes effect whole or not at all.
type disk struct {
	kv    map[string][]byte
	heads map[crdt.Origin]uint64 // highest seq of any frame written, the log's and the checkpoints'
	epoch int                    // counts the disasters: what was known before one may be forgotten after it
	full  bool
	slow  int64            // writes take so much longer, in milliseconds
	inc   crdt.Incarnation // used by a mutant only
	index *index           // nil: nobody asked
	cells held             // what gather finds, nil: to be read anew
	past  *pastOf          // what readPast finds but for fresh, nil: to be read anew
	fresh [][]byte         // publications written since
}

func newDisk() *disk { return &disk{kv: map[string][]byte{}, heads: map[crdt.Origin]uint64{}} }

// copy returns the contents at this moment. Values are never modified, so they are shared.
func (d *disk) copy() *disk {
	return &disk{kv: maps.Clone(d.kv), heads: maps.Clone(d.heads), inc: d.inc}
}

// write makes operations durable, whose frames reach as far as reaches says.
func (d *disk) write(ops []node.Op, reaches []reach) {
	d.cells = nil
	for i, op := range ops {
		if d.past != nil && strings.HasPrefix(string(op.Key), prefixPublished) {
			d.publish(op)
		}
		if d.index != nil {
			d.index.drop(string(op.Key))
		}
		if op.Delete {
			delete(d.kv, string(op.Key))
		} else {
			d.kv[string(op.Key)] = op.Value
		}
		for ; len(reaches) > 0 && reaches[0].op == i; reaches = reaches[1:] {
			r := &reaches[0]
			d.heads[r.o] = max(d.heads[r.o], r.head)
			if d.index != nil {
				d.index.put(string(op.Key), r)
			}
		}
	}
}

// publish keeps what was read of the past as it is on disk.
func (d *disk) publish(op node.Op) {
	if _, was := d.kv[string(op.Key)]; was || op.Delete { // read all of it anew
		d.past, d.fresh = nil, nil
		return
	}
	d.fresh = append(d.fresh, op.Value)
}

// reachesOf reads how far the frames among operations take their origins.
func reachesOf(to []reach, ops []node.Op) []reach {
	for i, op := range ops {
		if !op.Delete {
			eachRaw(string(op.Key), op.Value, func(raw []byte) bool {
				f, err := wire.ParseHead(raw) // whoever looks at the cells finds out what is wrong with them
				if err == nil && f.Stream == crdt.StreamLifetime {
					to = append(to, reach{i, f.Origin, max(f.To, f.Head), raw})
				}
				return err == nil
			})
		}
	}
	return to
}

// Scan implements node.Reader.
func (d *disk) Scan(prefix []byte, f func(key, value []byte) error) error {
	var keys []string
	for k := range d.kv {
		if strings.HasPrefix(k, string(prefix)) {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for _, k := range keys {
		if err := f([]byte(k), bytes.Clone(d.kv[k])); err != nil {
			return err
		}
	}
	return nil
}

// eachFrame calls f for every frame in a record of the log or of a checkpoint, with its bytes there.
func eachFrame(key string, value []byte, f func(fr *wire.Frame, raw []byte)) {
	eachRaw(key, value, func(raw []byte) bool {
		fr, err := wire.ParseFrame(raw)
		if err == nil && fr.Stream == crdt.StreamLifetime { // windows are judged by what is published of them
			f(fr, raw)
		}
		return err == nil
	})
}

// eachRaw calls each for the bytes of every frame in a record, as long as it returns true.
func eachRaw(key string, value []byte, each func(raw []byte) bool) {
	switch {
	case strings.HasPrefix(key, "o/"):
		each(value)
	case strings.HasPrefix(key, "l/"):
		for len(value) > 0 {
			n, k := binary.Uvarint(value)
			if !each(value[k : k+int(n)]) {
				return
			}
			value = value[k+int(n):]
		}
	}
}

// held is what some disks hold of each process' cells.
type held map[crdt.Incarnation][]amounts

// keepCells gathers what is on a disk into its cells, anew only after a write.
func (t *truth) keepCells(d *disk) {
	if d.cells == nil {
		d.cells = held{}
		t.gather(d.cells, d)
	}
}

// gather joins into h the cells of node origins that a disk holds, in any order: the oracle's own recovery, which knows
// nothing of cursors, sums or cold origins.
func (t *truth) gather(h held, d *disk) {
	var frames []*wire.Frame
	names := map[crdt.Origin]map[uint32]int{}
	for k, v := range d.kv {
		eachFrame(k, v, func(f *wire.Frame, _ []byte) {
			if f.Origin.Class != crdt.ClassNode {
				return
			}
			frames = append(frames, f)
			m := names[f.Origin]
			if m == nil {
				m = map[uint32]int{}
				names[f.Origin] = m
			}
			for i := range f.Defs {
				if at, ok := t.index[f.Defs[i].Series.Name]; ok {
					m[f.Defs[i].Ref] = at
				}
			}
		})
	}
	for _, f := range frames {
		cells := h[f.Origin.Inc]
		if cells == nil {
			cells = make([]amounts, len(t.series))
			h[f.Origin.Inc] = cells
		}
		of := names[f.Origin]
		for i := range f.Cells {
			if at, ok := of[f.Cells[i].Ref]; ok {
				a, _ := amountsOf(&f.Cells[i].Value)
				cells[at].max(&a)
			}
		}
	}
	t.gatherForgotten(h, d)
}
