package history

import (
	"encoding/binary"
	"fmt"

	"meshd/crdt"
	"meshd/internal/column"
	"meshd/internal/mutant"
)

// Take joins a piece of another hub's history into this one, under its owner, and returns how many of its windows were news. It
// is the same however often, in whatever order and beside whatever publications it is done: windows are absolute. Unlike what Apply
// takes, news is durable only after the next Fold. The piece may be reused afterwards.
func (s *Store) Take(p *Piece) (news int, err error) {
	held, err := s.heldOf(p)
	if err != nil {
		return 0, err
	}
	s.mu.RLock()
	kept := s.keep.of(p.Series.Name).horizon(p.Points[0].Window.Width, s.cfg.Now())
	s.mu.RUnlock()
	var cells []Cell
	for i := range p.Points {
		q := &p.Points[i]
		for len(held) > 0 && held[0].Window.Start < q.Window.Start {
			held = held[1:]
		}
		if q.Window.End() <= kept {
			continue
		}
		v := q.Value.Clone()
		if len(held) > 0 && held[0].Window == q.Window {
			v = held[0].Value.Clone()
			rose, err := v.Join(&q.Value, 0, nil, 0)
			if err != nil {
				return 0, fmt.Errorf("history: take %s of %s: %w", p.Series, p.From, err)
			}
			if !rose {
				continue
			}
			if mutant.On("taken windows added") {
				v = held[0].Value.Clone()
				_ = v.Combine(&q.Value)
			}
		}
		cells = append(cells, Cell{Series: p.Series, Window: q.Window, Value: v})
	}
	if len(cells) == 0 {
		return 0, nil
	}
	return len(cells), s.Apply(0, p.From, cells)
}

// heldOf returns what is held of the windows of a piece.
func (s *Store) heldOf(p *Piece) ([]Point, error) {
	s.mu.RLock()
	var mine *pair
	if e, o := s.tables.find(p.Series), s.tables.owners[ownerOf(p.From)]; e != nil && o != nil {
		if i, is := e.pair(o); is {
			mine = e.pairs[i]
		}
	}
	s.mu.RUnlock()
	if mine == nil {
		return nil, nil
	}
	w := p.Points[0].Window
	r := reader{store: s}
	points, err := r.span(mine, Span{Width: w.Width, Start: floor(w.Start, spanMillis(w.Width))}, w.Start)
	if err != nil {
		return nil, fmt.Errorf("history: take %s of %s: %w", p.Series, p.From, err)
	}
	return points, nil
}

// Keeps reports whether some window of a span may be kept here.
func (s *Store) Keeps(sp Span) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return sp.End() > s.keep.longest(sp.Width, s.cfg.Now())
}

// Taking is how far a hub has taken over what others hold and its disk does not: what it goes on from after a crash.
type Taking struct {
	Since int64    // ms: windows before this may be missing; 0: nothing is
	Done  []string // hubs of which all was taken
	Hub   string   // of which some was taken: all before Span, and of it up to After
	Span  Span
	After Place
}

// Taking returns what SetTaking kept last, false if that was never.
func (s *Store) Taking() (t Taking, known bool, err error) {
	b, err := s.cfg.KV.Get(keyTaking)
	if err != nil || b == nil {
		return t, false, err
	}
	in := column.Reader{B: b}
	t.Since = int64(in.Uvarint())
	for range min(in.Uvarint(), uint64(len(b))) {
		t.Done = append(t.Done, readString(&in))
	}
	t.Hub = readString(&in)
	t.Span = Span{Width: int64(in.Uvarint()), Start: int64(in.Uvarint())}
	t.After = Place{Series: readString(&in), Owner: readString(&in)}
	if in.Err != nil || len(in.B) > 0 {
		return Taking{}, false, fmt.Errorf("%w: how far was taken over", errChunk)
	}
	return t, true, nil
}

// SetTaking keeps how far it is. The caller has folded what it took.
func (s *Store) SetTaking(t Taking) error {
	b := binary.AppendUvarint(binary.AppendUvarint(nil, uint64(t.Since)), uint64(len(t.Done)))
	for _, hub := range t.Done {
		b = appendBytes(b, []byte(hub))
	}
	b = appendBytes(b, []byte(t.Hub))
	b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(t.Span.Width)), uint64(t.Span.Start))
	b = appendBytes(appendBytes(b, []byte(t.After.Series)), []byte(t.After.Owner))
	return s.cfg.KV.Commit([]Op{{Key: keyTaking, Value: b}})
}

// OfNodes reports whether a piece is of a single node, of that region.
func (p *Piece) OfNodes(region string) bool {
	return p.From.Class == crdt.ClassNode && p.From.Region == region
}
