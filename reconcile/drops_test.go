package reconcile

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"meshd/crdt"
	"meshd/internal/wire"
)

func TestGlobsMatchAsExpressionsDo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.StringMatching(`[ab*?]{0,8}`).Draw(t, "pattern")
		s := rapid.StringMatching(`[ab]{0,10}`).Draw(t, "s")
		expr := strings.NewReplacer("*", ".*", "?", ".").Replace(pattern)
		if want := regexp.MustCompile("^" + expr + "$").MatchString(s); glob(pattern, s) != want {
			t.Fatalf("%q matches %q: %t, want %t", pattern, s, !want, want)
		}
	})
}

func TestADropIsAboutLowerGenerationsOfWhatItMatches(t *testing.T) {
	cat := NewCatalog()
	intern := func(s crdt.Series) SeriesID {
		id, err := cat.Intern(&s)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	code := func(v string) []crdt.Label { return []crdt.Label{{Name: "code", Value: v}} }
	ok := intern(crdt.Series{Name: "http", Kind: crdt.KindCounter, Labels: code("200")})
	bad := intern(crdt.Series{Name: "http", Kind: crdt.KindCounter, Labels: code("503")})
	own := intern(crdt.Series{Name: "meshd.lost", Kind: crdt.KindCounter})
	if gone := cat.Drop(wire.Drop{Metric: "h*", Labels: code("5??"), Gen: 7}); len(gone) != 1 || gone[0] != bad {
		t.Errorf("dropped %v, want the 503s", gone)
	}
	if s := cat.Writable(cat.Series(bad)); s.Gen != 7 || cat.Gone(intern(*s)) {
		t.Errorf("the 503s are counted on generation %d, which is gone: %t", s.Gen, cat.Gone(intern(*s)))
	}
	if s := cat.Writable(cat.Series(ok)); s != cat.Series(ok) {
		t.Errorf("the 200s are counted on %s of generation %d", s, s.Gen)
	}
	cat.Drop(wire.Drop{Metric: "*", Gen: 5})
	if !cat.Gone(ok) || cat.Gone(own) {
		t.Errorf("a drop of all: the 200s are gone: %t, the node's own series: %t", cat.Gone(ok), cat.Gone(own))
	}
	if s := cat.Writable(cat.Series(bad)); s.Gen != 7 {
		t.Errorf("an earlier drop took the 503s back to generation %d", s.Gen)
	}
	if late := intern(crdt.Series{Name: "new", Kind: crdt.KindCounter, Gen: 4}); !cat.Gone(late) {
		t.Error("a series that is first heard of after its drop is not gone")
	}
}

// TestAListOfDropsSaysWhatIsGone: who has the drops, but no catalog, finds gone what the catalog finds gone.
func TestAListOfDropsSaysWhatIsGone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cat := NewCatalog()
		name, code := rapid.SampledFrom([]string{"a", "ab", "b", "meshd.lost"}), rapid.SampledFrom([]string{"1", "2", "22"})
		var all []crdt.Series
		for range rapid.IntRange(1, 6).Draw(t, "series") {
			all = append(all, crdt.Series{
				Name: name.Draw(t, "name"), Kind: crdt.KindCounter, Gen: rapid.Uint32Range(0, 4).Draw(t, "generation"),
				Labels: []crdt.Label{{Name: "code", Value: code.Draw(t, "code")}},
			})
		}
		for range rapid.IntRange(0, 4).Draw(t, "drops") {
			d := wire.Drop{Metric: rapid.SampledFrom([]string{"*", "a", "a*", "?"}).Draw(t, "metric"), Gen: rapid.Uint32Range(1, 5).Draw(t, "above")}
			if rapid.Bool().Draw(t, "by label") {
				d.Labels = []crdt.Label{{Name: "code", Value: rapid.SampledFrom([]string{"2*", "1"}).Draw(t, "pattern")}}
			}
			cat.Drop(d)
		}
		for i := range all {
			id, err := cat.Intern(&all[i])
			if err != nil {
				t.Fatal(err)
			}
			if got := Dropped(cat.Drops(), &all[i]); got != cat.Gone(id) {
				t.Fatalf("%s of generation %d is gone: %t by the list, %t by the catalog, of drops %+v", &all[i], all[i].Gen, got, cat.Gone(id), cat.Drops())
			}
		}
	})
}
