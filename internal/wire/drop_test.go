package wire

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"meshd/crdt"
)

func drawDrops(t *rapid.T) *Drops {
	m := new(Drops)
	for range rapid.IntRange(0, 5).Draw(t, "drops") {
		d := Drop{Metric: rapid.StringMatching(`[a-z*?.]{1,20}`).Draw(t, "metric"), Gen: rapid.Uint32Min(1).Draw(t, "gen")}
		for i := range rapid.IntRange(0, 3).Draw(t, "labels") {
			d.Labels = append(d.Labels, crdt.Label{Name: string(rune('a' + i)), Value: rapid.StringMatching(`[a-z*?]{0,9}`).Draw(t, "value")})
		}
		m.Drops = append(m.Drops, d)
	}
	return m
}

func TestDropsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { checkMessage(t, drawDrops(t)) })
}

func TestDropsRefused(t *testing.T) {
	for _, bad := range []Drop{
		{Metric: "m"},
		{Gen: 1},
		{Metric: strings.Repeat("m", 201), Gen: 1},
		{Metric: "m", Labels: []crdt.Label{{Name: "b"}, {Name: "a"}}, Gen: 1},
	} {
		_, err := AppendMessage(nil, &Drops{Drops: []Drop{bad}})
		wantError(t, err, ErrInvalid)
	}
	_, err := AppendMessage(nil, &Drops{Drops: make([]Drop, MaxDrops+1)})
	if err == nil {
		t.Error("1,025 drops were accepted")
	}
	_, err = ParseMessage([]byte{typeSeriesDrop, 0x91, 0x91, 0x93, 0xa1, 'm', 0x90, 0})
	wantError(t, err, ErrInvalid)
}
