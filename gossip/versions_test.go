package gossip

import (
	"testing"
	"testing/synctest"
	"time"
)

// Both ends of a session work out the same version, the highest that both know.
func TestSessionsSpeakTheHighestCommonVersion(t *testing.T) {
	tests := []struct {
		hub, edge Versions
		want      uint8
	}{
		{Versions{1, 1}, Versions{1, 1}, 1},
		{Versions{1, 2}, Versions{1, 1}, 1},
		{Versions{1, 1}, Versions{1, 2}, 1},
		{Versions{1, 2}, Versions{1, 2}, 2},
		{Versions{2, 3}, Versions{1, 2}, 2},
		{Versions{2, 3}, Versions{3, 4}, 3},
		{Versions{3, 4}, Versions{1, 2}, 0},
		{Versions{1, 1}, Versions{2, 3}, 0},
	}
	for _, tt := range tests {
		synctest.Test(t, func(t *testing.T) {
			m := newMesh(t)
			defer m.stop()
			cfg := m.config("eu-h1")
			cfg.Versions = tt.hub
			h := m.start(cfg)
			cfg = m.config("eu-e1", h.addr)
			cfg.Versions = tt.edge
			e := m.start(cfg)
			time.Sleep(10 * time.Second)
			var spoken []uint8
			for _, n := range []*node{h, e} {
				for _, p := range n.Peers() {
					spoken = append(spoken, p.Version)
				}
			}
			if tt.want == 0 {
				if len(spoken) > 0 {
					t.Errorf("%v and %v: they speak %v", tt.hub, tt.edge, spoken)
				}
			} else if len(spoken) != 2 || spoken[0] != tt.want || spoken[1] != tt.want {
				t.Errorf("%v and %v: they speak %v, want %d", tt.hub, tt.edge, spoken, tt.want)
			}
		})
	}
}

func TestRefusalOfAVersionNamesTheNodeToUpgrade(t *testing.T) {
	peer := preface{Mesh: "m", Region: "r", Node: "old", Role: "hub", Version: 1, MinVersion: 1}
	g := &Gossip{cfg: Config{Mesh: "m", Node: "new", Nonce: [16]byte{1}, Versions: Versions{2, 3}}}
	want := "old speaks protocol versions 1 to 1, new 2 to 3: upgrade old, one version at a time"
	if no := g.judge(nil, &peer); no == nil || no.code != refuseVersion || no.text != want {
		t.Errorf("%v, want %q", no, want)
	}
}
