package bubble

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"
	"testing"
	"time"

	"meshd/gossip"
	"meshd/internal/bridge"
	"meshd/internal/wire"
)

// nextVersions are what a build speaks that is one protocol version ahead.
var nextVersions = gossip.Versions{Lowest: wire.Version, Highest: wire.Version + 1}

// nextBuild stands for the transport of such a build: it says all that docs/protocol.md lets a later build say within this
// version. Every array gets fields behind its last one, and records of reserved types go along.
type nextBuild struct{ *bridge.Bridge }

func (b nextBuild) Send(peer uint64, bulk bool, msg []byte) bool {
	b.Bridge.Send(peer, bulk, []byte{reserved(), 0x93, 1, 0xa1, 'x', 0x90})
	return b.Bridge.Send(peer, bulk, widened(msg))
}

// reserved is a type of records that this build knows by number only.
func reserved() byte {
	for typ := byte(22); typ >= 16; typ-- {
		if _, err := wire.ParseMessage([]byte{typ}); errors.Is(err, wire.ErrReserved) {
			return typ
		}
	}
	panic("no reserved type is left: reserve some")
}

// widened returns a message with unknown fields behind the last one of its outer array.
func widened(msg []byte) []byte {
	const frame, heartbeat, plain = 3, 5, 0
	extra := []byte{0xc3, 0xa5, 'l', 'a', 't', 'e', 'r'}
	switch {
	case len(msg) > 3 && msg[0] == frame:
		if msg[2] != plain || msg[3]&0xf0 != 0x90 || msg[3] > 0x9d {
			return msg // compressed, or no room in the shortest form of an array
		}
		body := slices.Clone(msg[1 : len(msg)-4])
		body[2] += 2
		body = append(body, extra...)
		sum := crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli))
		return append([]byte{frame}, binary.LittleEndian.AppendUint32(body, sum)...)
	case len(msg) > 1 && msg[0] != heartbeat && msg[1]&0xf0 == 0x90 && msg[1] < 0x9e:
		out := slices.Clone(msg)
		out[1] += 2
		return append(out, extra...)
	}
	return msg
}

// spoken returns how many sessions of a machine speak the version.
func (h *machine) spoken(version uint8) (n int) {
	for _, p := range h.proc.Load().gossip.Peers() {
		if p.Version == version {
			n++
		}
	}
	return n
}

// A rolling upgrade under load, hubs first, and back: versions n and n-1 side by side at every step (I11).
func TestAdjacentVersionsCountTogetherThroughAnUpgradeAndBack(t *testing.T) {
	bubble(t, func(t *testing.T, m *mesh) {
		sevenNodes(m)
		stop := m.load(100*time.Millisecond, m.all()...)
		defer stop()
		upgrade := func(next bool, names ...string) {
			for _, name := range names {
				m.machines[name].next = next
				m.machines[name].restart()
				m.until("all sessions", 15*time.Second, m.formed)
				time.Sleep(time.Second)
			}
		}
		upgrade(true, "eu-h1", "us-h1", "eu-e1")
		old, ahead := m.machines["eu-h2"], m.machines["eu-h1"]
		if old.spoken(wire.Version) != len(old.peers()) || ahead.spoken(wire.Version+1) != 2 {
			t.Errorf("versions spoken: %+v and %+v", old.proc.Load().gossip.Peers(), ahead.proc.Load().gossip.Peers())
		}
		if old.status().Counters["Unknown"] == 0 {
			t.Error("no record of a later build came: the test shows nothing")
		}
		for _, h := range m.all() {
			if c := h.status().Counters; c["Malformed"]+c["Quarantined"]+c["Refused"] > 0 {
				t.Errorf("%s: %v", h.name, c)
			}
		}
		upgrade(true, "eu-h2", "us-e1", "us-e2")
		if n := ahead.spoken(wire.Version + 1); n != len(ahead.peers()) {
			t.Errorf("%d of %d sessions speak the new version after the upgrade", n, len(ahead.peers()))
		}
		upgrade(false, "us-h1", "eu-e1")
		stop()
		t.Logf("exact %v after the last write", m.exact(3*time.Second))
		m.whole(t)
	})
}

// Versions that share none are kept apart, say whom to upgrade, and each part counts on.
func TestVersionsTooFarApartAreKeptApart(t *testing.T) {
	bubble(t, func(t *testing.T, m *mesh) {
		m.start("eu-h1", "eu-e1")
		far := m.newMachine("eu-e2")
		far.change = func(c *gossip.Config) {
			c.Versions = gossip.Versions{Lowest: wire.Version + 1, Highest: wire.Version + 2}
		}
		m.start("eu-e2")
		time.Sleep(15 * time.Second)
		if len(far.peers()) > 0 || far.metric("meshd_gossip_refusals_total") == 0 {
			t.Errorf("peers %v, %v refusals", far.peers(), far.metric("meshd_gossip_refusals_total"))
		}
		m.count()
		far.change = nil
		far.restart() // the operator does as told, the other way round
		m.until("all sessions", 15*time.Second, m.formed)
		t.Logf("exact %v later", m.exact(3*time.Second))
		m.whole(t)
	})
}
