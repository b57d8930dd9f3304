package reconcile

import "meshd/crdt"

// lose says that a cell of a view is not here any more. Its hub does not know, and sends it again only if it changes.
func (from *View) lose(id SeriesID) {
	if from.gone == nil {
		from.gone = map[SeriesID]bool{}
	}
	from.gone[id] = true
}

// Again lets the views of a region from which Prune took something that is wanted after all be sent anew, and returns them:
// of nothing in them it is said any more that it is held, but what is here stays.
func (v *Views) Again(region string, wanted func(SeriesID) bool) (again []crdt.Origin) {
	for _, from := range v.All() {
		if from.Origin.Region != region || !from.lacks(wanted) {
			continue
		}
		from.Progress, from.gone = [crdt.NumStreams]crdt.Progress{}, nil
		again = append(again, from.Origin)
	}
	return again
}

func (from *View) lacks(wanted func(SeriesID) bool) bool {
	for id := range from.gone { // in any order: one is enough
		if wanted(id) {
			return true
		}
	}
	return false
}
