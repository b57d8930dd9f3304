package audit

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"meshd/crdt"
	"meshd/history"
	"meshd/internal/wire"
	"meshd/node"
)

// State is what a node holds, one after the other in parts: a Head, how far each stream of windows is held, all cells, the windows,
// and how far the streams are held by then, since a node that runs goes on meanwhile.
type State interface {
	// Parts calls f for every part. It may keep what it gets. An error of f ends it and is returned as it is.
	Parts(ctx context.Context, f func(Part) error) error
}

// Part is a part of a state.
type Part struct {
	Kind PartKind
	Data []byte
}

// PartKind says what a part holds.
type PartKind byte

// The kinds. They are what nodes tell each other: never give one another meaning.
const (
	partHead    PartKind = 'h' // Head, in JSON
	partLeast   PartKind = 'l' // wire.WindowMarks: how far streams of windows are held at least
	partMessage PartKind = 'm' // a message of a snapshot or a log, as hubs archive them
	partPieces  PartKind = 'p' // width and start of a span as uvarints, and records as a history.PieceWriter makes them
	partMost    PartKind = 'u' // wire.WindowMarks: how far what was told of windows may reach
	partEnd     PartKind = 'e' // it is complete
)

// Head says whose state it is.
type Head struct {
	Mesh   string          `json:"mesh,omitempty"`
	Region string          `json:"region"`
	Node   string          `json:"node,omitempty"`
	Hub    bool            `json:"hub"`
	Time   time.Time       `json:"time"`
	Kept   history.Keeping `json:"kept"`
	Since  int64           `json:"windows_since,omitempty"` // windows that began before may be missing; ms, 0: none are
}

// Disk is the state on the disk of a node, which may run.
type Disk struct {
	Head  Head                                // but for Time, Kept and Since
	View  func(func(node.Reader) error) error // calls back with a reader that shows one instant
	Past  *history.Store                      // nil: no windows
	Since func() int64                        // tells Head.Since; nil: it is 0
}

// piecesBytes is how many bytes of windows are one part.
const piecesBytes = 1 << 20

// Parts implements State.
func (d *Disk) Parts(ctx context.Context, f func(Part) error) error {
	head := d.Head
	head.Time = time.Now()
	if d.Past != nil {
		head.Kept = d.Past.Keeping()
	}
	if d.Since != nil {
		head.Since = d.Since()
	}
	raw, err := json.Marshal(head)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	if err := f(Part{partHead, raw}); err != nil {
		return err
	}
	if err := d.View(func(r node.Reader) error { return d.cells(ctx, r, f) }); err != nil {
		return err
	}
	if d.Past == nil {
		return f(Part{partEnd, nil})
	}
	if err := d.windows(ctx, f); err != nil {
		return err
	}
	if err := d.View(func(r node.Reader) error { return streams(r, partMost, f) }); err != nil {
		return err
	}
	return f(Part{partEnd, nil})
}

// cells tells how far streams are held, the cells, and the publications that are on disk.
func (d *Disk) cells(ctx context.Context, r node.Reader, f func(Part) error) error {
	if err := streams(r, partLeast, f); err != nil {
		return err
	}
	take := func(rec node.ArchiveRecord) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return f(Part{partMessage, rec.Message})
	}
	if _, err := node.ReadSnapshot(r, d.Head.Region, take); err != nil {
		return err
	}
	for at := (node.ArchivePosition{LSN: math.MaxUint64 - 1}); ; {
		next, _, err := node.ReadArchive(r, at, 1<<20, take)
		if err != nil || next == at {
			return err
		}
		at = next
	}
}

func streams(r node.Reader, kind PartKind, f func(Part) error) error {
	m := &wire.WindowMarks{}
	flush := func() error {
		raw, err := wire.AppendMessage(nil, m)
		if err != nil {
			return fmt.Errorf("audit: %w", err)
		}
		m.Marks = nil
		return f(Part{kind, raw})
	}
	var failed error
	if err := node.ReadStreams(r, func(o crdt.Origin, cursor uint64) {
		if m.Marks = append(m.Marks, wire.WindowMark{Origin: o, Cursor: cursor}); len(m.Marks) == wire.MaxMarks && failed == nil {
			failed = flush()
		}
	}); err != nil {
		return err
	}
	if failed != nil {
		return failed
	}
	return flush()
}

// windows tells the windows of the history.
func (d *Disk) windows(ctx context.Context, f func(Part) error) error {
	var w history.PieceWriter
	for _, span := range d.Past.Spans() {
		begin := appendSpan(nil, span)
		part := func(b []byte) ([]byte, error) {
			if len(b) == len(begin) {
				return b, nil
			}
			return append([]byte(nil), begin...), f(Part{partPieces, b})
		}
		out := append([]byte(nil), begin...)
		err := d.Past.Pieces(ctx, span, true, history.Place{}, func(p *history.Piece) (err error) {
			out, err = w.Append(out, span, p, piecesBytes, part)
			return err
		})
		if err == nil {
			_, err = part(out)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// appendSpan and spanOf write and read what stands before windows.
func appendSpan(dst []byte, sp history.Span) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(dst, uint64(sp.Width)), uint64(sp.Start))
}

func spanOf(b []byte) (history.Span, []byte, error) {
	width, n := binary.Uvarint(b)
	start, m := binary.Uvarint(b[max(n, 0):])
	if n <= 0 || m <= 0 {
		return history.Span{}, nil, errors.New("audit: windows without their span")
	}
	return history.Span{Width: int64(width), Start: int64(start)}, b[n+m:], nil
}
