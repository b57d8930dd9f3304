package node

import (
	"encoding/binary"
	"testing"

	"meshd/crdt"
	"meshd/internal/wire"
)

// record runs a mesh and returns, for a hub and an edge, the bytes that their peers sent them.
func record(t testing.TB) (toHub, toEdge [][]byte) {
	w := newWorld(t, 9)
	mesh(w)
	w.tap = func(to string, raw []byte) {
		switch to {
		case "east-hub0":
			toHub = append(toHub, raw)
		case "east-edge0":
			toEdge = append(toEdge, raw)
		}
	}
	w.run(300)
	for i := range 5 {
		w.count("east-edge0", "clicks", uint64(i+1), Token{})
		w.count("west-edge1", "clicks", uint64(i+1), Token{})
		w.run(200)
	}
	return toHub, toEdge
}

// FuzzReceive feeds messages, each behind a length of two bytes, to a hub and an edge as if trusted peers had sent
// them: another hub of the region, an edge, a hub of another region. Nothing may panic, whatever they say, and the
// node goes on counting and answering.
func FuzzReceive(f *testing.F) {
	toHub, toEdge := record(f)
	for _, stream := range [][][]byte{toHub, toEdge} {
		var b []byte
		for _, m := range stream[:min(len(stream), 40)] {
			b = binary.BigEndian.AppendUint16(b, uint16(len(m)))
			b = append(b, m...)
		}
		f.Add(b, true)
		f.Add(b, false)
	}
	f.Fuzz(hostile)
}

func hostile(t *testing.T, data []byte, hub bool) {
	role := map[bool]Role{true: RoleHub, false: RoleEdge}[hub]
	w := newWorld(t, 1)
	p := w.start("victim", "east", role)
	peers := []PeerInfo{{"east", "east-hub0", RoleHub, crdt.Incarnation{1}, 0}, {"east", "east-edge0", RoleEdge, crdt.Incarnation{2}, 0}, {"west", "west-hub0", RoleHub, crdt.Incarnation{3}, 0}}
	for i, info := range peers {
		w.step(p, PeerUp{ID: uint64(i + 1), Peer: info})
	}
	for n := 0; len(data) >= 2 && n < 100; n++ {
		size := min(int(binary.BigEndian.Uint16(data)), len(data)-2)
		msg := data[2 : 2+size]
		data = data[2+size:]
		id := uint64(n%len(peers) + 1)
		if d, err := Decode(msg); err == nil {
			adopt(d, peers[id-1])
			w.step(p, Received{ID: id, Msg: d})
		} else {
			w.step(p, Received{ID: id})
		}
		w.run(5)
	}
	w.count("victim", "mine", 7, Token{})
	w.run(3000)
	if got := w.total("victim", "mine"); got != "7" {
		t.Errorf("answers %s after hostile messages, want its own 7", got)
	}
	if _, err := p.core.Explain(w.at(), Select{}); err != nil {
		t.Error(err)
	}
}

// adopt makes a decoded message pass the check of who may say it, so that what comes behind it is tested.
func adopt(d Decoded, peer PeerInfo) {
	if h, ok := d.Msg.(*wire.Hello); ok {
		h.Inc = peer.Inc
	}
	if d.Frame == nil {
		return
	}
	o := &d.Frame.Origin
	if o.Class == crdt.ClassNode || peer.Role == RoleHub {
		o.Node, o.Inc = peer.Node, peer.Inc
	}
}
