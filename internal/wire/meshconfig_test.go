package wire

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"meshd/crdt"
)

func drawMeshConfig(t *rapid.T) *MeshConfig {
	m := &MeshConfig{Full: rapid.Bool().Draw(t, "full")}
	if m.Full {
		m.Body = rapid.SliceOfN(rapid.Byte(), 0, 600).Draw(t, "body")
	} else if rapid.Bool().Draw(t, "none") {
		return m
	}
	m.ID = drawConfigID(t)
	m.ID.Sum = SumConfig(m.Body)
	return m
}

func drawConfigID(t *rapid.T) ConfigID {
	return ConfigID{
		Version: rapid.Uint64Range(1, 3).Draw(t, "version"), Stamp: crdt.HLC(rapid.Uint64Range(0, 3).Draw(t, "stamp")),
		Region: drawName(t, "region"), Node: drawName(t, "node"), Sum: rapid.Uint64Range(0, 3).Draw(t, "sum"),
	}
}

func TestMeshConfigRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { checkMessage(t, drawMeshConfig(t)) })
}

func TestMeshConfigRefused(t *testing.T) {
	body := []byte("{}")
	good := ConfigID{Version: 1, Region: "r", Node: "n", Sum: SumConfig(body)}
	with := func(change func(*ConfigID)) ConfigID {
		id := good
		change(&id)
		return id
	}
	for name, tc := range map[string]struct {
		m    MeshConfig
		want error
	}{
		"no version":     {MeshConfig{Full: true, Body: body}, ErrInvalid},
		"version 0":      {MeshConfig{ID: with(func(id *ConfigID) { id.Version = 0 }), Full: true, Body: body}, ErrInvalid},
		"last version":   {MeshConfig{ID: with(func(id *ConfigID) { id.Version = MaxConfigVersion + 1 }), Full: true, Body: body}, ErrInvalid},
		"nobody's":       {MeshConfig{ID: with(func(id *ConfigID) { id.Node = "" }), Full: true, Body: body}, ErrInvalid},
		"another body":   {MeshConfig{ID: good, Full: true, Body: []byte("[]")}, ErrInvalid},
		"body of a name": {MeshConfig{ID: good, Body: body}, ErrInvalid},
		"too long":       {MeshConfig{ID: good, Body: []byte(strings.Repeat("x", MaxConfigBytes+1))}, ErrLimit},
	} {
		_, err := AppendMessage(nil, &tc.m)
		t.Run(name, func(t *testing.T) { wantError(t, err, tc.want) })
	}
	b, err := AppendMessage(nil, &MeshConfig{ID: good, Full: true, Body: body})
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-1] ^= 1
	_, err = ParseMessage(b)
	wantError(t, err, ErrInvalid)
}

// TestConfigsAreInOneOrder: whichever two documents meet, all nodes keep the same one.
func TestConfigsAreInOneOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ids := rapid.SliceOfN(rapid.Custom(drawConfigID), 3, 3).Draw(t, "ids")
		a, b := ids[0], ids[1]
		if a.Compare(b) != -b.Compare(a) || (a.Compare(b) == 0) != (a == b) {
			t.Fatalf("%+v and %+v: %d and %d", a, b, a.Compare(b), b.Compare(a))
		}
		slices.SortFunc(ids, ConfigID.Compare)
		if ids[0].Compare(ids[2]) > 0 {
			t.Fatalf("no order: %+v", ids)
		}
	})
}
