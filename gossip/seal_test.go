package gossip

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/memberlist"
)

// sealPair returns two keyrings that share the keys of one connection.
func sealPair() (a, b *keyring) {
	secret := make([]byte, 64)
	_, _ = rand.Read(secret)
	a, b = newKeyring(), newKeyring()
	a.add("b", []string{"10.0.0.2:1"}, &pairKey{number: [8]byte{1}, seals: newGCM(secret[:32]), opens: newGCM(secret[32:])})
	b.add("a", []string{"10.0.0.1:1"}, &pairKey{number: [8]byte{1}, seals: newGCM(secret[32:]), opens: newGCM(secret[:32])})
	return a, b
}

func highest(p *pairKey) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.newest
}

func TestSealedPacketsOpenOnceAndOnlyWhole(t *testing.T) {
	a, b := sealPair()
	sealed := a.seal([]byte("ping"), "b", "")
	if sealed[0]&0xc0 != 0 {
		t.Fatalf("first byte %#x looks like QUIC", sealed[0])
	}
	for i := range sealed {
		broken := bytes.Clone(sealed)
		broken[i] ^= 1
		if _, err := b.open(broken); err == nil {
			t.Fatalf("opened with byte %d changed", i)
		}
	}
	for n := range sealed {
		if _, err := b.open(sealed[:n]); err == nil {
			t.Fatalf("opened the first %d bytes", n)
		}
	}
	if _, err := a.open(sealed); !errors.Is(err, errForged) {
		t.Errorf("reflected packet: %v", err)
	}
	if got, err := b.open(sealed); err != nil || string(got) != "ping" {
		t.Fatalf("open: %q, %v", got, err)
	}
	if _, err := b.open(sealed); !errors.Is(err, errReplayed) {
		t.Errorf("second time: %v", err)
	}
	if a.seal([]byte("x"), "stranger", "") != nil || a.seal([]byte("x"), "", "10.0.0.9:1") != nil {
		t.Error("sealed for a stranger")
	}
	if a.seal([]byte("x"), "", "10.0.0.2:1") == nil {
		t.Error("no key by address")
	}
}

func TestReplayWindow(t *testing.T) {
	var p pairKey
	for _, step := range []struct {
		n  uint64
		ok bool
	}{{1, true}, {1, false}, {3, true}, {2, true}, {2, false}, {100, true}, {37, true}, {36, false}, {37, false}, {99, true}, {1000, true}, {100, false}, {937, true}} {
		if got := p.first(step.n); got != step.ok {
			t.Errorf("counter %d: new is %v, want %v", step.n, got, step.ok)
		}
	}
}

func TestKeysAreBounded(t *testing.T) {
	k := newKeyring()
	for i := range maxKeyPeers + 50 {
		for j := range keysPerPeer + 2 {
			p := &pairKey{number: [8]byte{byte(i), byte(i >> 8), byte(i >> 16), byte(j)}}
			k.add(fmt.Sprint(i), []string{fmt.Sprint("addr", i)}, p)
		}
	}
	if len(k.byMember) != maxKeyPeers || len(k.byNumber) != keysPerPeer*maxKeyPeers || len(k.byAddr) != maxKeyPeers {
		t.Errorf("%d members, %d keys, %d addresses", len(k.byMember), len(k.byNumber), len(k.byAddr))
	}
}

// Packets between hubs must really travel sealed beside QUIC, not only fall back to streams; forged ones are dropped.
func TestSerfPacketsTravelSealedAndForgedOnesAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		defer m.stop()
		h1 := m.start(m.config("eu-h1"))
		h2 := m.start(m.config("eu-h2", h1.addr))
		m.until("membership", 20*time.Second, func() bool { return len(h1.alive()) == 2 && len(h2.alive()) == 2 })
		// Connections for other ends have no say in which key seals: only one end would have theirs.
		for _, pair := range [][2]*node{{h1, h2}, {h2, h1}} {
			if _, _, err := pair[0].ask(t.Context(), pair[1].addr); err != nil {
				t.Fatal(err)
			}
		}
		lost := h1.metric(t, "packets_dropped_total") + h2.metric(t, "packets_dropped_total")
		time.Sleep(time.Minute)
		if n := h1.metric(t, "packets_dropped_total") + h2.metric(t, "packets_dropped_total") - lost; n > 0 {
			t.Errorf("%v packets dropped in a quiet minute", n)
		}
		before := highest(h2.keys.to(h1.self.member(), ""))
		time.Sleep(10 * time.Second)
		if after := highest(h2.keys.to(h1.self.member(), "")); after < before+4 {
			t.Errorf("only %d packets opened in 10 s", after-before)
		}

		stranger, err := m.net.Listen("10.9.9.9:1")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = stranger.Close() }()
		for i := range 20 {
			if _, err := stranger.WriteTo(bytes.Repeat([]byte{byte(i)}, 100), h1.LocalAddr()); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		if n := h1.metric(t, "packets_dropped_total", "not_sealed") + h1.metric(t, "packets_dropped_total", "no_key_to_open"); n != 20 {
			t.Errorf("%v of 20 forged packets counted as dropped", n)
		}
		if _, err := h1.pool.transport.WriteToAddress([]byte("x"), memberlist.Address{Addr: "10.9.9.9:1", Name: "stranger"}); err != nil {
			t.Error(err)
		}
		if n := h1.metric(t, "packets_dropped_total", "no_key_to_seal"); n != 1 {
			t.Errorf("%v packets to a stranger counted", n)
		}
	})
}

func BenchmarkSealAndOpen(b *testing.B) {
	x, y := sealPair()
	packet := make([]byte, 500)
	b.SetBytes(int64(len(packet)))
	for b.Loop() {
		if _, err := y.open(x.seal(packet, "b", "")); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	a, b := sealPair()
	f.Add(a.seal([]byte("ping"), "b", ""))
	f.Add([]byte{sealByte})
	f.Fuzz(func(t *testing.T, data []byte) {
		if packet, err := b.open(data); err == nil && len(packet) != len(data)-sealHeader-sealTag {
			t.Fatalf("%d bytes out of %d", len(packet), len(data))
		}
	})
}
