package short

import (
	"testing"

	"meshd/crdt"
)

// TestWhatIsClosedAfterHeal holds the judge to the one case in which less has to be answered than disks held when everything
// healed: hubs closed a process of which they could not know that more of it would come.
func TestWhatIsClosedAfterHeal(t *testing.T) {
	for name, c := range map[string]struct {
		older, closed bool
		want          uint32
	}{
		"nobody could know":        {older: true, closed: true, want: 3},
		"it is open, and may come": {older: true, want: 8},
		"its node ran on alone":    {closed: true, want: 8},
		"nothing was out of sight": {want: 8},
	} {
		t.Run(name, func(t *testing.T) {
			w := &World{truth: newTruth()}
			by := w.truth.begin(crdt.Origin{Class: crdt.ClassNode, Region: regionNames[0], Node: "edge0"}, 0)
			by.history = append(by.history, amounts{partP: 8})
			kept := []survivor{{by: by, all: amounts{partP: 8}, hubs: amounts{partP: 3}}}
			by.older = c.older
			if c.closed {
				by.forgotten = &amounts{partP: 3}
			}
			if left, lost := w.left(kept); left[0][partP] != c.want || lost[0] != (c.want < 8) {
				t.Errorf("%d has to be answered of 8, lost: %t; want %d", left[0][partP], lost[0], c.want)
			}
		})
	}
}
