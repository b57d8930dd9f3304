package reconcile

import (
	"maps"
	"slices"

	"meshd/crdt"
)

// ordered remembers the origins of a map, and what is held of them, in order. Who adds or deletes an origin forgets it; a
// list that was handed out stays as it is.
type ordered[V any] struct {
	keys []crdt.Origin
	vals []V
}

func (o *ordered[V]) forget() { o.keys, o.vals = nil, nil }

func (o *ordered[V]) of(m map[crdt.Origin]V) *ordered[V] {
	if len(o.keys) != len(m) {
		o.keys = slices.SortedFunc(maps.Keys(m), crdt.Origin.Compare)
		o.vals = make([]V, 0, len(o.keys))
		for _, k := range o.keys {
			o.vals = append(o.vals, m[k])
		}
	}
	return o
}
