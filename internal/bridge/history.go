package bridge

import (
	"errors"

	"meshd/buffer"
	"meshd/history"
)

// Windows is a store as history sees it.
type Windows struct{ *buffer.Store }

var _ history.KV = Windows{}

// Get implements history.KV.
func (w Windows) Get(key []byte) ([]byte, error) {
	v, err := w.Store.Get(key)
	if errors.Is(err, buffer.ErrNotFound) {
		return nil, nil
	}
	return v, err
}

// Commit implements history.KV.
func (w Windows) Commit(ops []history.Op) error {
	converted := make([]buffer.Op, len(ops))
	for i, op := range ops {
		converted[i] = buffer.Op{Key: op.Key, Value: op.Value, Delete: op.Delete}
	}
	return w.Store.Commit(converted)
}
