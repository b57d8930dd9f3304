package ask

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"meshd/history"
	"meshd/internal/wire"
)

// wholeness is how much of the past a hub holds. The numbers are part of the protocol.
type wholeness byte

const (
	isWhole   wholeness = 0
	isTaking  wholeness = 1 // it takes over from others
	isWaiting wholeness = 2 // it has all that there is to take, and none of those whom it asked was whole
)

// name is how a hub is remembered.
func name(h Hub) string { return h.Region + "/" + h.Node }

func regionOf(name string) string {
	region, _, _ := strings.Cut(name, "/")
	return region
}

// Pieces is a history as it is handed on; *history.Store is one.
type Pieces interface {
	Spans() []history.Span
	Pieces(ctx context.Context, sp history.Span, nodes bool, after history.Place, yield func(*history.Piece) error) error
}

// answerSpans says how whole the history is, and which spans it has.
func (a *Answerer) answerSpans(out *reply) {
	out.body = append(out.body, byte(a.cfg.Whole.status()))
	for _, sp := range a.cfg.Pieces.Spans() {
		out.body = binary.AppendUvarint(out.body, uint64(sp.Width/1000))
		out.body = binary.AppendUvarint(out.body, uint64(sp.Start/1000))
	}
}

// spanOf returns what a question for pieces is about.
func spanOf(q *wire.Query) (sp history.Span, after history.Place, err error) {
	sp = history.Span{Width: int64(q.Width), Start: q.From}
	if err = sp.Check(); err == nil {
		after, err = history.ParsePlace(q.After)
	}
	return sp, after, err
}

// errEnough ends an answer of pieces that has its size.
var errEnough = errors.New("enough")

// answerPieces tells the pieces of a span, in their order, whole ones until the answer has its size: one piece at least.
func (a *Answerer) answerPieces(ctx context.Context, q *wire.Query, out *reply) error {
	sp, after, err := spanOf(q)
	if err != nil {
		return err
	}
	var w history.PieceWriter
	sent := uint64(0)
	limit := min(q.MaxBytes, maxBytes)
	flush := func(body []byte) ([]byte, error) {
		sent += uint64(len(body))
		return out.flush(body)
	}
	err = a.cfg.Pieces.Pieces(ctx, sp, q.ByNode, after, func(p *history.Piece) error {
		var err error
		if out.body, err = w.Append(out.body, sp, p, partBytes, flush); err == nil && sent+uint64(len(out.body)) >= limit {
			return errEnough
		}
		return err
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// spans asks a hub how whole its history is, and which spans it has.
func (a *Asker) spans(ctx context.Context, h Hub) (is wholeness, spans []history.Span, err error) {
	var body []byte
	err = a.ask(ctx, h, &wire.Query{Ask: wire.AskSpans, MaxBytes: maxBytes, MaxFound: maxCurves}, func(part *wire.Answer) error {
		body = append(body, part.Body...)
		return nil
	})
	if err != nil {
		return 0, nil, err
	}
	if len(body) == 0 || body[0] > byte(isWaiting) {
		return 0, nil, fmt.Errorf("ask: hub %s does not say how whole its history is", h.Node)
	}
	is = wholeness(body[0])
	for rest := body[1:]; len(rest) > 0; {
		width, n := binary.Uvarint(rest)
		start, k := binary.Uvarint(rest[max(n, 0):])
		sp := history.Span{Width: int64(min(width, 1<<40)) * 1000, Start: int64(min(start, 1<<40)) * 1000}
		if n <= 0 || k <= 0 || sp.Check() != nil {
			return 0, nil, fmt.Errorf("ask: hub %s names a span that is none", h.Node)
		}
		rest = rest[n+k:]
		spans = append(spans, sp)
	}
	return is, spans, nil
}

// pieces asks a hub for the pieces of a span behind a place, about takeBytes of them, and returns how many bytes they were and the
// place of the last. None is the end.
func (a *Asker) pieces(ctx context.Context, h Hub, nodes bool, sp history.Span, after history.Place, take func(*history.Piece) error) (size int, last history.Place, err error) {
	q := &wire.Query{
		Ask: wire.AskPieces, ByNode: nodes, Width: uint64(sp.Width), From: sp.Start, To: sp.End(), After: after.Append(nil),
		MaxBytes: takeBytes, MaxFound: maxCurves,
	}
	var r history.PieceReader
	err = a.ask(ctx, h, q, func(part *wire.Answer) error {
		size += len(part.Body)
		return r.Read(part.Body, sp, func(p *history.Piece) error {
			last = history.PlaceOf(p)
			return take(p)
		})
	})
	return size, last, err
}
