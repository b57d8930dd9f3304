package short

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"

	"meshd/crdt"
	"meshd/node"
)

// disk is what a machine has synced: a write takes effect whole or not at all. Beside the bytes it keeps the oracle's own
// reading of them, which knows nothing of cursors, sums or cold origins.
type disk struct {
	kv   []record // in the order of keys
	held map[crdt.Incarnation]*copyOf
	past past // published windows
	open past // windows of own processes, published or not
}

type record struct {
	key   string
	value []byte
}

// copyOf is what a disk holds of the cells of one node origin.
type copyOf struct {
	cells amounts
	known uint8 // which series were defined: a cell before its definition is nobody's
}

func newDisk() *disk { return &disk{held: map[crdt.Incarnation]*copyOf{}, past: past{}, open: past{}} }

// clone returns the contents at this moment. Values are never modified, so they are shared.
func (d *disk) clone() *disk {
	c := &disk{kv: slices.Clone(d.kv), held: maps.Clone(d.held), past: maps.Clone(d.past), open: maps.Clone(d.open)}
	for inc, h := range c.held {
		own := *h
		c.held[inc] = &own
	}
	return c
}

func (d *disk) find(key string) (int, bool) {
	return slices.BinarySearchFunc(d.kv, key, func(r record, key string) int { return strings.Compare(r.key, key) })
}

// apply writes the operations of a persist.
func (w *World) apply(d *disk, ops []node.Op) {
	for _, op := range ops {
		at, found := d.find(string(op.Key))
		switch {
		case op.Delete && found:
			d.kv = slices.Delete(d.kv, at, at+1)
		case op.Delete:
		case found:
			d.kv[at].value = op.Value
		default:
			d.kv = slices.Insert(d.kv, at, record{string(op.Key), op.Value})
		}
		if !op.Delete {
			w.read(d, string(op.Key), op.Value)
		}
	}
}

// read joins the node cells of a record into the oracle's reading.
func (w *World) read(d *disk, key string, value []byte) {
	switch {
	case strings.HasPrefix(key, "o/"), strings.HasPrefix(key, "q/"):
		w.readFrame(d, value)
	case strings.HasPrefix(key, "w/"):
		w.readPublication(d, value)
	case strings.HasPrefix(key, "v/"):
		w.checkStream(d, value)
	case strings.HasPrefix(key, "l/"):
		for len(value) > 0 {
			n, k := binary.Uvarint(value)
			w.readFrame(d, value[k:k+int(n)])
			value = value[k+int(n):]
		}
	}
}

func (w *World) readFrame(d *disk, raw []byte) {
	f, err := w.parser.Parse(raw)
	if err != nil {
		w.fail("I2", "a frame on disk does not parse: %v", err)
		return
	}
	if f.Origin.Class != crdt.ClassNode {
		return
	}
	by := w.truth.writers[f.Origin.Inc]
	if by == nil {
		w.fail("I6", "cells on disk of %s, which never ran", f.Origin)
		return
	}
	h := d.held[f.Origin.Inc]
	if h == nil {
		h = &copyOf{}
		d.held[f.Origin.Inc] = h
	}
	for i := range f.Defs {
		at := indexOf(f.Defs[i].Series.Name)
		if at < 0 {
			w.fail("I3", "%s counts %s, which nobody writes", f.Origin, &f.Defs[i].Series)
			return
		}
		by.define(f.Defs[i].Ref, at)
		h.known |= 1 << at
	}
	if f.Stream == crdt.StreamWindow {
		w.readOpen(d, by, f)
		return
	}
	for i := range f.Cells {
		if at, ok := by.series(f.Cells[i].Ref); ok && h.known&(1<<at) != 0 {
			var a amounts
			if !a.set(at, &f.Cells[i].Value) {
				w.fail("I3", "%s has samples of %s that nobody observed", f.Origin, series[at])
			}
			h.cells.raise(&a)
		}
	}
}

// Scan implements node.Reader.
func (d *disk) Scan(prefix []byte, f func(key, value []byte) error) error {
	at, _ := d.find(string(prefix))
	for ; at < len(d.kv) && strings.HasPrefix(d.kv[at].key, string(prefix)); at++ {
		if err := f([]byte(d.kv[at].key), d.kv[at].value); err != nil {
			return err
		}
	}
	return nil
}

// own adds up what a disk holds of the processes of one node.
func (w *World) own(m *machine) (sum amounts) {
	for inc, h := range m.disk.held {
		if o := w.truth.writers[inc].origin; o.Node == m.name && o.Region == m.regionName() {
			sum.add(&h.cells)
		}
	}
	return sum
}

// persist completes the write that a machine's core asked for, if any, and tells it.
func (w *World) persist(m *machine, fails bool) {
	p := m.proc
	in := node.Persisted{Token: p.persist.Token}
	if fails {
		in.Err = fmt.Errorf("short: %w", node.ErrFull)
	} else {
		w.durable(m)
	}
	p.persist = nil
	w.step(m, in)
}

// durable puts the write that is under way on disk, and into the writer's history what it says of the live incarnation.
func (w *World) durable(m *machine) {
	known := m.disk.records()
	w.apply(m.disk, m.proc.persist.Ops)
	w.checkRecords(m, known)
	if by := m.proc.writer; m.disk.held[by.origin.Inc] != nil {
		w.record(m, by)
	}
}

// record takes the own frames of the log record that was just written into the history, seq by seq.
func (w *World) record(m *machine, by *writer) {
	for _, op := range m.proc.persist.Ops {
		value := op.Value
		if op.Delete || !strings.HasPrefix(string(op.Key), "l/") {
			continue
		}
		for len(value) > 0 {
			n, k := binary.Uvarint(value)
			if f, err := w.parser.Parse(value[k : k+int(n)]); err == nil && f.Origin == by.origin && f.Stream == crdt.StreamLifetime {
				by.commit(f)
			}
			value = value[k+int(n):]
		}
	}
	if top := by.top(); !top.within(&by.asked) {
		w.fail("I3", "%s wrote %v and was asked for %v", by.origin, &top, &by.asked)
	}
	w.truth.total(by.region)
}
