package reconcile

import (
	"maps"
	"slices"

	"meshd/crdt"
)

// order remembers the keys of a map in order. Who adds or deletes a key forgets it; a list that was handed out stays
// as it is.
type order struct{ keys []crdt.Origin }

func (o *order) forget() { o.keys = nil }

func inOrder[V any](o *order, m map[crdt.Origin]V) []crdt.Origin {
	if len(o.keys) != len(m) {
		o.keys = slices.SortedFunc(maps.Keys(m), crdt.Origin.Compare)
	}
	return o.keys
}
