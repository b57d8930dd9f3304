package wire

import (
	"testing"

	"pgregory.net/rapid"
)

func drawHeard(t *rapid.T) *Heard {
	m := &Heard{WallMs: rapid.Int64().Draw(t, "wall"), Gone: rapid.SliceOfN(rapid.Uint32(), 0, 20).Draw(t, "gone")}
	for range rapid.IntRange(0, 5).Draw(t, "new") {
		p := HeardProcess{Number: rapid.Uint32().Draw(t, "number"), Node: drawName(t, "node"), Inc: drawID(t)}
		for range rapid.IntRange(0, 3).Draw(t, "needs") {
			p.Needs = append(p.Needs, HeardNeed{Inc: drawID(t), Head: rapid.Uint64().Draw(t, "head")})
		}
		m.New = append(m.New, p)
	}
	next := uint64(0)
	for range rapid.IntRange(0, 300).Draw(t, "claims") {
		if next += rapid.Uint64Range(0, 3).Draw(t, "gap"); rapid.IntRange(0, 200).Draw(t, "far") == 0 {
			next += 1 << 31
		}
		if next > 1<<32-1 {
			break
		}
		m.Claims = append(m.Claims, HeardClaim{
			Number: uint32(next), Head: rapid.Uint64().Draw(t, "head"), AgeMs: rapid.Uint32().Draw(t, "age"), OffsetMs: rapid.Int32().Draw(t, "offset"),
		})
		next++
	}
	return m
}

func TestHeardRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { checkMessage(t, drawHeard(t)) })
}

func TestHeardRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		m    *Heard
		want error
	}{
		"claims out of order":  {&Heard{Claims: []HeardClaim{{Number: 2}, {Number: 2}}}, ErrInvalid},
		"too many claims":      {&Heard{Claims: manyClaims(MaxHeardClaims + 1)}, ErrLimit},
		"too many processes":   {&Heard{New: make([]HeardProcess, MaxHeardProcesses+1)}, ErrLimit},
		"too many numbers":     {&Heard{Gone: make([]uint32, MaxHeardProcesses+1)}, ErrLimit},
		"too many for one":     {&Heard{New: []HeardProcess{{Node: "n", Needs: make([]HeardNeed, MaxHeardNeeds+1)}}}, ErrLimit},
		"a node without names": {&Heard{New: []HeardProcess{{Node: ""}}}, ErrInvalid},
	} {
		_, err := AppendMessage(nil, tc.m)
		t.Run(name, func(t *testing.T) { wantError(t, err, tc.want) })
	}
	for name, claims := range map[string][]byte{
		"no claims":         {0},
		"more than limit":   {0xff, 0xff, 3, 0, 0, 0, 0},
		"columns end early": {1, 0, 0, 0},
		"bytes at the end":  {1, 0, 0, 0, 0, 0},
		"number too large":  {1, 64, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0},
	} {
		b := append([]byte{typeHeard, 0x94, 0, 0x90, 0x90, 0xc4, byte(len(claims))}, claims...)
		if m, err := ParseMessage(b); err == nil {
			t.Errorf("%s: read as %+v", name, m)
		}
	}
}

// TestTheLargestHeardFits: what a hub says of 16,384 processes takes a few bytes each.
func TestTheLargestHeardFits(t *testing.T) {
	m := &Heard{WallMs: 1, Claims: manyClaims(MaxHeardClaims)}
	checkMessage(t, m)
	b, err := AppendMessage(nil, m)
	if err != nil || len(b) > 7*MaxHeardClaims {
		t.Errorf("%d claims take %d bytes (%v), want at most 7 each", MaxHeardClaims, len(b), err)
	}
	t.Logf("%d claims take %d bytes: %.2f each", MaxHeardClaims, len(b), float64(len(b))/MaxHeardClaims)
}

// manyClaims returns claims as of busy edges: heads in the hundred thousands, ages up to 2 s.
func manyClaims(n int) []HeardClaim {
	out := make([]HeardClaim, n)
	for i := range out {
		out[i] = HeardClaim{Number: uint32(i + i/3), Head: uint64(i*7919) % 1_000_000, AgeMs: uint32(i*31) % 2000, OffsetMs: int32(i%100) - 50}
	}
	return out
}
