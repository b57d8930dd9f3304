package bridge

import (
	"errors"
	"fmt"

	"meshd/buffer"
	"meshd/node"
)

// Disk is a store as the node sees it.
type Disk struct{ *buffer.Store }

var _ node.Store = Disk{}

// Commit implements node.Store.
func (d Disk) Commit(ops []node.Op) error {
	converted := make([]buffer.Op, len(ops))
	for i, op := range ops {
		converted[i] = buffer.Op(op)
	}
	err := d.Store.Commit(converted)
	if errors.Is(err, buffer.ErrFull) {
		return fmt.Errorf("%w (%w)", node.ErrFull, err)
	}
	return err
}

// Free implements node.Store.
func (d Disk) Free() (free, reserve, used uint64) {
	free, reserve = d.Store.Free()
	return free, reserve, d.Size()
}

// View calls f with a reader that shows one instant.
func (d Disk) View(f func(node.Reader) error) error {
	return d.Store.View(func(scan func([]byte, func(key, value []byte) error) error) error { return f(scanner(scan)) })
}

// scanner is a view of a store as a node.Reader.
type scanner func(prefix []byte, f func(key, value []byte) error) error

// Scan implements node.Reader.
func (s scanner) Scan(prefix []byte, f func(key, value []byte) error) error { return s(prefix, f) }
