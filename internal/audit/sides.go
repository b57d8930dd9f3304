package audit

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"

	"meshd/crdt"
	"meshd/history"
	"meshd/internal/wire"
	"meshd/node"
	"meshd/reconcile"
	"meshd/replay"
)

// process names who writes: refs and numbers are its own.
type process struct {
	class crdt.Class
	inc   crdt.Incarnation
}

// reader takes in what both sides hold. What a side claims of an origin follows from its frames as at any receiver.
type reader struct {
	cfg     *Config
	cells   table
	cat     *reconcile.Catalog
	drops   map[string]bool
	origins map[process]crdt.Origin
	regions map[crdt.Incarnation]string

	heads  [sides]Head
	kept   [sides]func(metric string, w crdt.Window) bool
	claims [sides]map[process]*crdt.Progress
	gone   [sides]map[crdt.Incarnation]bool // forgotten: sums hold their cells
	least  [sides]map[process]uint64        // window streams, by how far a side claims to have them
	most   [sides]map[process]uint64        // and by how far what it told of windows may reach

	numbers map[process]*ranges // which publications the log has
	early   int64               // publications in the log that the node does not claim to have
}

func newReader(cfg *Config) *reader {
	r := &reader{
		cfg: cfg, cells: table{most: cfg.MemoryBytes, spill: spill{dir: cfg.TempDir}}, cat: reconcile.NewCatalog(), drops: map[string]bool{},
		origins: map[process]crdt.Origin{}, regions: map[crdt.Incarnation]string{}, numbers: map[process]*ranges{},
	}
	for s := range sides {
		r.kept[s] = func(string, crdt.Window) bool { return true }
		r.claims[s], r.gone[s] = map[process]*crdt.Progress{}, map[crdt.Incarnation]bool{}
		r.least[s], r.most[s] = map[process]uint64{}, map[process]uint64{}
	}
	return r
}

// state reads what a node holds.
func (r *reader) state(ctx context.Context, s Side, state State) error {
	return state.Parts(ctx, func(p Part) error {
		switch p.Kind {
		case partHead:
			return r.head(s, p.Data)
		case partLeast:
			return r.streams(r.least[s], p.Data)
		case partMost:
			return r.streams(r.most[s], p.Data)
		case partMessage:
			return r.message(s, p.Data)
		case partPieces:
			return r.pieces(s, p.Data)
		case partEnd:
			return nil
		}
		return fmt.Errorf("audit: a state has a part of an unknown kind %q: use the meshd version of the node", byte(p.Kind))
	})
}

func (r *reader) head(s Side, raw []byte) (err error) {
	h := &r.heads[s]
	if err := json.Unmarshal(raw, h); err != nil {
		return fmt.Errorf("audit: the head of a state: %w", err)
	}
	if first := r.heads[Held].Mesh; s == Other && first != "" && h.Mesh != "" && first != h.Mesh {
		return fmt.Errorf("audit: %s is of mesh %s, %s of mesh %s: they have nothing in common", r.heads[Held].Node, first, h.Node, h.Mesh)
	}
	r.kept[s], err = h.Kept.Compile(h.Time)
	return err
}

// streams notes how far streams of windows are held.
func (r *reader) streams(to map[process]uint64, raw []byte) error {
	msg, err := wire.ParseMessage(raw)
	if err != nil {
		return err
	}
	m, ok := msg.(*wire.WindowMarks)
	if !ok {
		return fmt.Errorf("audit: streams are told as %T", msg)
	}
	for _, mark := range m.Marks {
		p := process{mark.Origin.Class, mark.Origin.Inc}
		r.origins[p], to[p] = mark.Origin, mark.Cursor
	}
	return nil
}

// pieces reads windows of a history.
func (r *reader) pieces(s Side, b []byte) error {
	span, b, err := spanOf(b)
	if err != nil {
		return err
	}
	var pr history.PieceReader
	return pr.Read(b, span, func(p *history.Piece) error {
		id, err := r.cat.Intern(p.Series)
		if err != nil {
			return err
		}
		for i := range p.Points {
			k := r.windowKey(p.From, id, p.Points[i].Window)
			if err := r.cells.name(k, id); err != nil {
				return err
			}
			if err := r.cells.add(s, k, p.Points[i].Value.Clone(), 0); err != nil {
				return err
			}
		}
		return nil
	})
}

// log reads the log.
func (r *reader) log(ctx context.Context) error {
	records, events := 0, 0
	_, err := r.cfg.Log.Read(ctx, nil, func(e *replay.Entry) error {
		records++
		switch e.Kind {
		case replay.KindFrame, replay.KindPublication, replay.KindSnapshotPart:
		case replay.KindEvents:
			events++
			return nil
		default:
			return nil
		}
		if err := r.message(Other, e.Value); err != nil {
			return fmt.Errorf("record %d of partition %d: %w", e.Offset, e.Partition, err)
		}
		return nil
	})
	if err == nil && events > 0 && events == records {
		return replay.ErrEvents
	}
	return err
}

func (r *reader) message(s Side, raw []byte) error {
	d, err := node.Decode(slices.Clone(raw))
	if err != nil {
		return err
	}
	switch m := d.Msg.(type) {
	case *wire.Drops:
		for _, drop := range m.Drops {
			k := fmt.Sprintf("%d %s", drop.Gen, (&crdt.Series{Name: drop.Metric, Labels: drop.Labels}).AppendKey(nil))
			if !r.drops[k] {
				r.drops[k] = true
				r.cat.Drop(drop)
			}
		}
	case *wire.Forgotten:
		for _, inc := range m.Incs {
			r.gone[s][inc] = true
		}
	case *wire.FrameMsg:
		if d.Frame.Stream == crdt.StreamWindow {
			return r.publication(s, d.Frame)
		}
		return r.frame(s, d.Frame)
	}
	return nil
}

func (r *reader) frame(s Side, f *wire.Frame) error {
	p := process{f.Origin.Class, f.Origin.Inc}
	r.origins[p] = f.Origin
	if r.claims[s][p] == nil {
		r.claims[s][p] = &crdt.Progress{}
	}
	r.claims[s][p].Advance(f.From, f.To, f.Head)
	for i := range f.Defs {
		id, err := r.cat.Intern(&f.Defs[i].Series)
		if err != nil {
			return err
		}
		if err := r.cells.name(key{class: p.class, inc: p.inc, number: f.Defs[i].Ref}, id); err != nil {
			return err
		}
	}
	for i := range f.Cells {
		c := &f.Cells[i]
		if err := r.cells.add(s, key{class: p.class, inc: p.inc, number: c.Ref}, c.Value, c.Seq); err != nil {
			return err
		}
	}
	return nil
}

// publication takes one frame of windows. One in a log that the node does not claim to have is not looked at further.
func (r *reader) publication(s Side, f *wire.Frame) error {
	p := process{f.Origin.Class, f.Origin.Inc}
	if s == Other && r.cfg.Log != nil {
		if f.To > r.least[Held][p] {
			r.early++
			return nil
		}
		if r.numbers[p] == nil {
			r.numbers[p] = &ranges{}
		}
		r.numbers[p].add(f.To)
	}
	ids := make(map[uint32]reconcile.SeriesID, len(f.Defs))
	for i := range f.Defs {
		id, err := r.cat.Intern(&f.Defs[i].Series)
		if err != nil {
			return err
		}
		ids[f.Defs[i].Ref] = id
	}
	for i := range f.Cells {
		c := &f.Cells[i]
		id, ok := ids[c.Ref]
		if !ok {
			return fmt.Errorf("publication %d of %s: window of series %d without its definition", f.To, f.Origin, c.Ref)
		}
		k := r.windowKey(f.Owner(), id, c.Window)
		if err := r.cells.name(k, id); err != nil {
			return err
		}
		if err := r.cells.add(s, k, c.Value, 0); err != nil {
			return err
		}
	}
	return nil
}

// windowKey names a window as a history does: those of a region's totals belong to the region, whichever hub published them.
func (r *reader) windowKey(o crdt.Origin, id reconcile.SeriesID, w crdt.Window) key {
	k := key{class: o.Class, inc: o.Inc, number: uint32(id), window: w}
	if o.Class == crdt.ClassRegion {
		sum := sha256.Sum256([]byte(o.Region))
		k.inc = crdt.Incarnation(sum[:16])
		r.regions[k.inc] = o.Region
	} else {
		r.origins[process{o.Class, o.Inc}] = o
	}
	return k
}

// ranges is a set of numbers that come about in order.
type ranges [][2]uint64 // first and last, ascending, none touching the next

func (rs *ranges) add(n uint64) {
	i, _ := slices.BinarySearchFunc(*rs, n, func(r [2]uint64, n uint64) int {
		if r[1] < n {
			return -1
		}
		return 1
	}) // the first that ends at or behind n
	if i < len(*rs) && (*rs)[i][0] <= n {
		return
	}
	*rs = slices.Insert(*rs, i, [2]uint64{n, n})
	if i+1 < len(*rs) && (*rs)[i+1][0] == n+1 {
		(*rs)[i][1] = (*rs)[i+1][1]
		*rs = slices.Delete(*rs, i+1, i+2)
	}
	if i > 0 && (*rs)[i-1][1]+1 == n {
		(*rs)[i-1][1] = (*rs)[i][1]
		*rs = slices.Delete(*rs, i, i+1)
	}
}

// all reports whether 1 to n are in the set.
func (rs *ranges) all(n uint64) bool {
	return n == 0 || rs != nil && len(*rs) > 0 && (*rs)[0][0] <= 1 && (*rs)[0][1] >= n
}
