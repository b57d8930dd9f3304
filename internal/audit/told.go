package audit

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"meshd/internal/wire"
)

// maxPartBytes bounds a part that is read: a message, or the windows of one series in one span.
const maxPartBytes = 2 * wire.MaxMessageBytes

// errCut says that a state ends before its end.
var errCut = errors.New("the state ends early: the node or the connection went away, ask again")

// Tell writes a state: of each part its kind (a byte), its length (a uvarint) and its bytes.
func Tell(ctx context.Context, out io.Writer, s State) error {
	var head []byte
	return s.Parts(ctx, func(p Part) error {
		head = binary.AppendUvarint(append(head[:0], byte(p.Kind)), uint64(len(p.Data)))
		if _, err := out.Write(head); err != nil {
			return err
		}
		_, err := out.Write(p.Data)
		return err
	})
}

// Told is a state as Tell writes it. It can be read once.
type Told struct{ From io.Reader }

// Parts implements State.
func (t Told) Parts(ctx context.Context, f func(Part) error) error {
	in := bufio.NewReaderSize(t.From, 64<<10)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		kind, err := in.ReadByte()
		if err != nil {
			return cut(err)
		}
		n, err := binary.ReadUvarint(in)
		if err != nil {
			return cut(err)
		}
		if n > maxPartBytes {
			return fmt.Errorf("audit: a part of %d bytes, want at most %d: is another program there?", n, maxPartBytes)
		}
		p := Part{Kind: PartKind(kind), Data: make([]byte, n)}
		if _, err := io.ReadFull(in, p.Data); err != nil {
			return cut(err)
		}
		if err := f(p); err != nil || p.Kind == partEnd {
			return err
		}
	}
}

func cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("audit: %w", errCut)
	}
	return fmt.Errorf("audit: read a state: %w", err)
}
