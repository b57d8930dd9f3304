package wire

import (
	"math/rand/v2"
	"testing"

	"meshd/crdt"
)

// counterFrame is a flush of 1,000 random ones of 10,000 counters with totals below 10^9.
func counterFrame(seed uint64) *Frame {
	rng := rand.New(rand.NewPCG(seed, 1))
	f := &Frame{
		Origin: crdt.Origin{Class: crdt.ClassNode, Region: "eu-west", Node: "edge-17", Inc: crdt.Incarnation{1, 2, 3}},
		From:   4711, To: 4712, Head: 4712,
	}
	for _, ref := range rng.Perm(10_000)[:1000] {
		value := crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(rng.Uint64N(1e9))}
		f.Cells = append(f.Cells, Cell{Ref: uint32(ref), Seq: 4712, Value: value})
	}
	return f
}

func TestCounterFrameSize(t *testing.T) {
	for seed := range uint64(20) {
		f := counterFrame(seed)
		b, err := AppendFrame(nil, f)
		if err != nil {
			t.Fatal(err)
		}
		if got := float64(len(b)) / float64(len(f.Cells)); got > 4.75 {
			t.Errorf("seed %d: %.2f bytes per changed counter, want at most 4.75", seed, got)
		}
	}
}

func BenchmarkParseCounters(b *testing.B) {
	f := counterFrame(1)
	raw, err := AppendFrame(nil, f)
	if err != nil {
		b.Fatal(err)
	}
	var p Parser
	var sum crdt.Fixed
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		g, err := p.Parse(raw)
		if err != nil {
			b.Fatal(err)
		}
		for i := range g.Cells {
			sum, _ = sum.Add(g.Cells[i].Value.P)
		}
	}
	cells := float64(len(f.Cells))
	b.ReportMetric(float64(len(raw))/cells, "bytes/cell")
	b.ReportMetric(cells*float64(b.N)/b.Elapsed().Seconds(), "cells/s")
}

func BenchmarkAppendCounters(b *testing.B) {
	f := counterFrame(1)
	var raw []byte
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if raw, err = AppendFrame(raw[:0], f); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(f.Cells))*float64(b.N)/b.Elapsed().Seconds(), "cells/s")
}

// edgeFrame returns what an edge sends of five series in one flush.
func edgeFrame() *Frame {
	f := &Frame{Origin: crdt.Origin{Class: crdt.ClassNode, Region: "eu", Node: "edge-1", Inc: crdt.Incarnation{1}}, From: 41, To: 42, Head: 42}
	for ref := range uint32(5) {
		v := crdt.Bottom(crdt.KindCounter)
		v.P = crdt.FixedFromUint(1000 + uint64(ref)<<20)
		f.Cells = append(f.Cells, Cell{Ref: ref, Seq: 42, Value: v})
	}
	return f
}

func BenchmarkAppendSmall(b *testing.B) {
	f := edgeFrame()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := AppendFrame(nil, f); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseSmall(b *testing.B) {
	raw, err := AppendFrame(nil, edgeFrame())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseFrame(raw); err != nil {
			b.Fatal(err)
		}
	}
}
