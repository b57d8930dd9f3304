package history

import (
	"fmt"

	"meshd/crdt"
	"meshd/internal/column"
)

// Span is the windows of one width in one span of time, which a chunk covers.
type Span struct{ Width, Start int64 } // ms

// End returns the time behind its last window, in ms.
func (sp Span) End() int64 { return sp.Start + spanMillis(sp.Width) }

// Check refuses a span that no window has.
func (sp Span) Check() error { return checkPlace(place{width: sp.Width, span: sp.Start}) }

// Piece is the windows of one series and owner in one span, or a part of them: what a hub's history is made of, as it is handed on to
// a hub that lacks it (ADR 32). They are as their owner published them, neither added to others' nor cut.
type Piece struct {
	Series *crdt.Series
	From   crdt.Origin // an incarnation of a node; of a region's totals the class and the region alone
	Points []Point     // ascending; there is one at least
}

// A piece travels as a record, or as some that follow one another:
//
//	bytes  key of the series (crdt.Series.AppendKey), behind its length
//	bytes  owner, as under h/o, behind its length
//	bytes  chunk, behind its length: chunk.go
//
// Width and span are those of the question. The chunk is the one that a fold would write of these windows.

// PieceWriter makes records of pieces. The zero PieceWriter is ready; it is not safe for concurrent use.
type PieceWriter struct {
	enc   encoder
	chunk []byte
}

// Append appends the records of a piece of a span, each of which is some MiB at most. Whenever dst has limit bytes, it calls part
// with it and goes on with what part returns.
func (w *PieceWriter) Append(dst []byte, sp Span, p *Piece, limit int, part func([]byte) ([]byte, error)) ([]byte, error) {
	key, owner := p.Series.AppendKey(nil), ownerBytes(p.From)
	for _, piece := range split(p.Points) {
		w.chunk = w.enc.appendChunk(w.chunk[:0], sp.Start, piece)
		dst = appendBytes(appendBytes(appendBytes(dst, key), owner), w.chunk)
		if len(dst) >= limit {
			var err error
			if dst, err = part(dst); err != nil {
				return nil, err
			}
		}
	}
	return dst, nil
}

// PieceReader reads what a PieceWriter wrote, whoever did. The zero PieceReader is ready; it is not safe for concurrent use.
type PieceReader struct {
	dec    decoder
	points []Point
}

// Read yields every piece in b, which is a whole number of records of a span. A piece is valid during the call. The error of yield comes
// back as it is; any other says that b is malformed.
func (r *PieceReader) Read(b []byte, sp Span, yield func(*Piece) error) error {
	if err := sp.Check(); err != nil {
		return err
	}
	in := column.Reader{B: b}
	for len(in.B) > 0 {
		key, owner, chunk := in.Bytes(in.Uvarint()), in.Bytes(in.Uvarint()), in.Bytes(in.Uvarint())
		if in.Err != nil {
			return fmt.Errorf("%w: record of a piece", errChunk)
		}
		series, err := parseSeries(string(key))
		if err != nil {
			return fmt.Errorf("%w: %w", errChunk, err)
		}
		from, err := parseOwner(owner)
		if err != nil {
			return fmt.Errorf("%w: %w", errChunk, err)
		}
		r.dec.reset()
		if r.points, err = r.dec.points(r.points[:0], chunk, sp.Start, sp.Width, sp.Start, sp.End()); err != nil {
			return err
		}
		for i := range r.points {
			if k := r.points[i].Value.Kind; k != series.Kind.WindowKind() || i > 0 && r.points[i].Window.Start <= r.points[i-1].Window.Start {
				return fmt.Errorf("%w: %s in a piece of a %s", errChunk, k, series.Kind)
			}
		}
		if len(r.points) == 0 {
			return fmt.Errorf("%w: a piece without windows", errChunk)
		}
		if err := yield(&Piece{Series: series, From: from, Points: r.points}); err != nil {
			return err
		}
	}
	return nil
}

// Place names a piece within a span, in the order in which Pieces yields them. The zero Place is before all.
type Place struct {
	Series string // crdt.Series.AppendKey
	Owner  string // as a record has it
}

// PlaceOf returns the place of a piece.
func PlaceOf(p *Piece) Place {
	return Place{Series: string(p.Series.AppendKey(nil)), Owner: string(ownerBytes(p.From))}
}

// Append appends a place; ParsePlace reads it, the whole of b. Nothing is the zero Place.
func (p Place) Append(dst []byte) []byte {
	if p == (Place{}) {
		return dst
	}
	return appendBytes(appendBytes(dst, []byte(p.Series)), []byte(p.Owner))
}

// ParsePlace is the inverse of Append.
func ParsePlace(b []byte) (Place, error) {
	if len(b) == 0 {
		return Place{}, nil
	}
	in := column.Reader{B: b}
	p := Place{Series: readString(&in), Owner: readString(&in)}
	if in.Err != nil || len(in.B) > 0 {
		return Place{}, fmt.Errorf("%w: place of a piece", errChunk)
	}
	return p, nil
}
