package history

import "meshd/crdt"

// index finds series by name and by label. Lists hold ids, ascending; a series that went stays in them until the index is made
// anew. 4 bytes a label of a series, and the maps of what differs.
type index struct {
	names  map[string][]uint32
	labels map[crdt.Label][]uint32
}

func (x *index) add(e *seriesEntry) {
	if x.names == nil {
		x.names, x.labels = make(map[string][]uint32), make(map[crdt.Label][]uint32)
	}
	x.names[e.series.Name] = append(x.names[e.series.Name], e.id)
	for _, l := range e.series.Labels {
		x.labels[l] = append(x.labels[l], e.id)
	}
}

// candidates returns ids of series among which are all of the selection: those of the names, or of the rarest label if
// that is shorter. With all, they are those of all series.
func (x *index) candidates(sel *Selection) (ids []uint32, all bool) {
	var best []uint32
	looked := false
	for _, l := range sel.Equal {
		if l.Value == "" {
			continue // who does not have it is in no list
		}
		if ids := x.labels[l]; !looked || len(ids) < len(best) {
			best, looked = ids, true
		}
	}
	if !looked && sel.Names == nil {
		return nil, true
	}
	var lists [][]uint32
	total := 0
	for name, ids := range x.names {
		if sel.Names == nil || sel.Names(name) {
			lists, total = append(lists, ids), total+len(ids)
		}
	}
	switch {
	case looked && len(best) <= total:
		return best, false
	case len(lists) == 1:
		return lists[0], false
	}
	out := make([]uint32, 0, total)
	for _, ids := range lists {
		out = append(out, ids...)
	}
	return out, false
}
