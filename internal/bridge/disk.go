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
