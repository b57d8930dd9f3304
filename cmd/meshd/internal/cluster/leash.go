package cluster

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
)

// order is what the supervisor tells a child, one JSON object a line; the child answers each with the line "ok" once it
// holds. Orders are complete: each replaces the one before.
type order struct {
	Block []netip.AddrPort `json:"block"`
}

const okLine = "ok"

// maxOrderBytes bounds one order: ten peers need 300 bytes.
const maxOrderBytes = 64 << 10

// errLeash ends a child: its supervisor is gone or wants it to end.
var errLeash = errors.New("the supervisor ended")

// Follow is a child's side of the pipe: it hands every order's peers to block and answers on out, until in ends, which
// is when the supervisor closes it or dies. The error is never nil and is errLeash's text for an orderly end.
func Follow(in io.Reader, out io.Writer, block func([]netip.AddrPort)) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxOrderBytes)
	for lines.Scan() {
		var o order
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			return fmt.Errorf("order of the supervisor: %w", err)
		}
		block(o.Block)
		if _, err := fmt.Fprintln(out, okLine); err != nil {
			return errLeash
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("orders of the supervisor: %w", err)
	}
	return errLeash
}

// Ended reports whether err is the orderly end that Follow returns.
func Ended(err error) bool { return errors.Is(err, errLeash) }
