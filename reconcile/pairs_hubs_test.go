package reconcile

import (
	"testing"

	"meshd/crdt"
)

// TestAnEdgeAnswersByTheGreatestOfItsHubs: of each series another hub says more, whichever comes first or last.
func TestAnEdgeAnswersByTheGreatestOfItsHubs(t *testing.T) {
	cat := NewCatalog()
	slots := NewSlots(cat)
	for hub, says := range []map[string]uint64{{"a": 9, "b": 2, "c": 1}, {"a": 3, "b": 8, "c": 2}, {"a": 4, "b": 1, "c": 7}} {
		o := crdt.Origin{Class: crdt.ClassRegion, Region: "r", Node: "h", Inc: crdt.Incarnation{byte(hub + 1)}}
		theirs := NewCatalog()
		total := NewDerived(o, theirs)
		for _, name := range []string{"a", "b", "c"} {
			id, err := theirs.Intern(&crdt.Series{Name: name, Kind: crdt.KindCounter})
			if err != nil {
				t.Fatal(err)
			}
			v := crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(says[name])}
			if _, err := total.Raise(id, &v); err != nil {
				t.Fatal(err)
			}
		}
		total.Close()
		f, ok := total.Build(crdt.StreamLifetime, 0, 1<<20)
		if !ok {
			t.Fatal("no frame")
		}
		if err := slots.Apply(f, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]uint64{"a": 9, "b": 8, "c": 7} {
		id, err := cat.Intern(&crdt.Series{Name: name, Kind: crdt.KindCounter})
		if err != nil {
			t.Fatal(err)
		}
		if v, ok, err := slots.Answer(id, nil); err != nil || !ok || v.P != crdt.FixedFromUint(want) {
			t.Errorf("%s is %s, %v, %v; want %d", name, v.P, ok, err, want)
		}
	}
}
