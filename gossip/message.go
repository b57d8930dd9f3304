package gossip

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// On a stream each message stands behind its length as an unsigned varint: one byte below 128, two below 16,384. Length
// zero is no message: it asks the side that dialed the session to open the bulk connection.

var errTooLong = errors.New("message longer than the limit")

// allocStep is how much a reader allocates ahead of what has arrived, so that a length alone costs a peer nothing.
const allocStep = 64 << 10

// readMessage reads one message of at most limit bytes into memory of its own. It returns io.EOF only between messages.
func readMessage(r *bufio.Reader, limit int) ([]byte, error) {
	n, err := binary.ReadUvarint(r)
	if err != nil {
		return nil, err
	}
	if n > uint64(limit) {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", errTooLong, n, limit)
	}
	size := int(n)
	msg := make([]byte, 0, min(size, allocStep))
	for len(msg) < size {
		msg = slices.Grow(msg, min(size-len(msg), max(allocStep, len(msg))))
		at := len(msg)
		msg = msg[:min(size, cap(msg))]
		if _, err := io.ReadFull(r, msg[at:]); err != nil {
			return nil, noEOF(err)
		}
	}
	return msg, nil
}

// writeMessage is readMessage's other end.
func writeMessage(w *bufio.Writer, msg []byte) error {
	var length [binary.MaxVarintLen64]byte
	if _, err := w.Write(length[:binary.PutUvarint(length[:], uint64(len(msg)))]); err != nil {
		return err
	}
	_, err := w.Write(msg)
	return err
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
