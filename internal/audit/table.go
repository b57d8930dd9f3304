package audit

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"meshd/crdt"
	"meshd/reconcile"
)

// Side says who holds something.
type Side uint8

// The two that are compared: a node, and its log or another node.
const (
	Held  Side = iota // by the node
	Other             // in the log
	sides
)

// key names a cell. Lifetime cells are named by the origin's own number of the series, so that no definition has to come first;
// windows by this process' number of it, since each publication brings its own.
type key struct {
	class  crdt.Class
	inc    crdt.Incarnation // of region totals of windows: a hash of the region
	number uint32
	window crdt.Window // zero: a lifetime cell
}

func (k key) compare(o key) int {
	return cmp.Or(
		cmp.Compare(k.class, o.class), bytes.Compare(k.inc[:], o.inc[:]), cmp.Compare(k.number, o.number),
		cmp.Compare(k.window.Width, o.window.Width), cmp.Compare(k.window.Start, o.window.Start),
	)
}

// item is one cell as both sides hold it.
type item struct {
	series reconcile.SeriesID // unnamed: no definition came
	has    [sides]bool
	seq    [sides]uint64
	value  [sides]crdt.Value
	torn   bool // what one side holds does not join with itself
}

// unnamed is the number of no series.
const unnamed = ^reconcile.SeriesID(0)

// itemBytes is about what a counter takes in memory, with its key and its place in the map.
const itemBytes = 320

// table joins what comes of each cell. It holds at most about most bytes and writes what is more to files.
type table struct {
	items map[key]*item
	bytes int64
	most  int64
	spill spill
}

func (t *table) at(k key) (*item, error) {
	it := t.items[k]
	if it != nil {
		return it, nil
	}
	if t.bytes >= t.most {
		if err := t.flush(); err != nil {
			return nil, err
		}
	}
	if t.items == nil {
		t.items = map[key]*item{}
	}
	it = &item{series: unnamed}
	t.items[k] = it
	t.bytes += itemBytes
	return it, nil
}

// name says what a cell is of.
func (t *table) name(k key, id reconcile.SeriesID) error {
	it, err := t.at(k)
	if err == nil {
		it.series = id
	}
	return err
}

// add joins what a side holds of a cell. v becomes the table's.
func (t *table) add(s Side, k key, v crdt.Value, seq uint64) error {
	it, err := t.at(k)
	if err != nil {
		return err
	}
	t.bytes -= it.size(s)
	it.join(s, v, seq)
	t.bytes += it.size(s)
	return nil
}

func (it *item) size(s Side) int64 {
	if it.value[s].X == nil {
		return 0
	}
	return int64(it.value[s].X.Size())
}

func (it *item) join(s Side, v crdt.Value, seq uint64) {
	if !it.has[s] {
		it.has[s], it.value[s], it.seq[s] = true, v, seq
		return
	}
	if _, err := it.value[s].Join(&v, seq, nil, 0); err != nil {
		it.torn = true
	}
	it.seq[s] = max(it.seq[s], seq)
}

// relation says how the two copies of a cell are to each other.
type relation uint8

const (
	same relation = iota
	heldLacks
	otherLacks
	apart
)

func (it *item) relation() relation {
	h, l := &it.value[Held], &it.value[Other]
	switch {
	case it.torn:
		return apart
	case !it.has[Held] && !it.has[Other]:
		return same
	case !it.has[Held]:
		return heldLacks
	case !it.has[Other]:
		return otherLacks
	case h.Kind != l.Kind:
		return apart
	}
	a, b := h.AppendBinary(nil), l.AppendBinary(nil)
	if bytes.Equal(a, b) {
		return same
	}
	both := h.Clone()
	if _, err := both.Join(l, it.seq[Other], nil, 0); err != nil {
		return apart
	}
	switch joined := both.AppendBinary(nil); {
	case bytes.Equal(joined, a):
		return otherLacks
	case bytes.Equal(joined, b):
		return heldLacks
	}
	return apart
}

// each calls f for all cells, each once, in the order of their keys within each of the spilled parts, and empties the table.
func (t *table) each(f func(key, *item) error) error {
	if !t.spill.used() {
		return inOrder(t.items, f)
	}
	if err := t.flush(); err != nil {
		return err
	}
	for part := range spillParts {
		items, err := t.spill.read(part)
		if err != nil {
			return fmt.Errorf("audit: read what did not fit into memory: %w", err)
		}
		if err := inOrder(items, f); err != nil {
			return err
		}
	}
	return nil
}

func (t *table) flush() error {
	if err := t.spill.write(t.items); err != nil {
		return fmt.Errorf("audit: write what does not fit into memory: %w", err)
	}
	t.items, t.bytes = nil, 0
	return nil
}

func inOrder(items map[key]*item, f func(key, *item) error) error {
	keys := make([]key, 0, len(items))
	for k := range items { // in any order: they are sorted below
		keys = append(keys, k)
	}
	slices.SortFunc(keys, key.compare)
	for _, k := range keys {
		if err := f(k, items[k]); err != nil {
			return err
		}
	}
	return nil
}
