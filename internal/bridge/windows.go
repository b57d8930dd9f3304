package bridge

import (
	"meshd/crdt"
	"meshd/history"
	"meshd/node"
)

// History is a store of windows as the node sees it.
type History struct{ *history.Store }

var _ node.History = History{}

// Apply implements node.History.
func (h History) Apply(tag uint64, owner crdt.Origin, cells []node.PublishedCell) error {
	converted := make([]history.Cell, len(cells))
	for i := range cells {
		converted[i] = history.Cell{Series: cells[i].Series, Window: cells[i].Window, Value: cells[i].Value}
	}
	return h.Store.Apply(tag, owner, converted)
}

// Cells implements node.History.
func (h History) Cells(from crdt.Origin, keys []node.WindowKey) ([]crdt.Value, error) {
	return h.Store.Cells(from, convert(keys))
}

// Sums implements node.History.
func (h History) Sums(keys []node.WindowKey) ([]crdt.Value, error) {
	return h.Store.Sums(convert(keys))
}

func convert(keys []node.WindowKey) []history.Key {
	out := make([]history.Key, len(keys))
	for i, k := range keys {
		out[i] = history.Key(k)
	}
	return out
}
