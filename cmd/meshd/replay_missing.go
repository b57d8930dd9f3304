package main

import (
	"errors"
	"fmt"
	"io"

	"meshd/replay"
)

// replayMissing is what of a log cannot be replayed.
type replayMissing struct {
	out            io.Writer
	places         int
	records, bytes int64
}

// add says one place and agrees to go on behind it. Records of others are no damage: the log is the wrong one, or the version.
func (m *replayMissing) add(d *replay.DamageError) error {
	if errors.Is(d, replay.ErrForeign) || errors.Is(d, replay.ErrNewer) {
		return d
	}
	m.places++
	m.records += d.Lost
	m.bytes += d.Bytes
	_, err := fmt.Fprintf(m.out, "passed over, from offset %d to %d: %v\n", d.From, d.Next, d)
	return err
}

// err is what the replay ends with.
func (m *replayMissing) err() error {
	if m.places == 0 {
		return nil
	}
	return &shortError{fmt.Errorf("replay: the rest is in place, and %d records (%d bytes) at %d places of the log could not be read: totals lack nothing if "+
		"a later snapshot is whole; restore the files that were named and call it again, or compare with another hub (meshd verify --with)", m.records, m.bytes, m.places)}
}
