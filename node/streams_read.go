package node

import (
	"fmt"

	"meshd/crdt"
	"meshd/internal/wire"
)

// ReadStreams calls f for every window stream that a disk knows, with the number up to which all its publications were here.
func ReadStreams(r Reader, f func(o crdt.Origin, cursor uint64)) error {
	err := r.Scan([]byte(prefixWindowProgress), func(_, value []byte) error {
		p, err := wire.ParseStoredProgress(value)
		if err == nil {
			f(p.Origin, p.Progress[crdt.StreamWindow].Cursor)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("node: read window streams: %w", err)
	}
	return nil
}
