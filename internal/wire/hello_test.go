package wire

import (
	"testing"

	"pgregory.net/rapid"
)

func drawHello(t *rapid.T) *Hello {
	m := &Hello{Nonce: drawID(t), WallMs: rapid.Int64().Draw(t, "wall"), Inc: drawID(t), Fingerprint: rapid.Uint64().Draw(t, "fingerprint")}
	for range rapid.IntRange(0, 40).Draw(t, "heads") {
		h := Head{Inc: drawID(t), Fingerprint: rapid.Uint64().Draw(t, "fingerprint")}
		for s := range h.Head {
			h.Head[s] = rapid.Uint64().Draw(t, "head")
		}
		m.Own = append(m.Own, h)
	}
	return m
}

func TestHelloRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { checkMessage(t, drawHello(t)) })
}

func TestHelloLimits(t *testing.T) {
	m := new(Hello)
	for i := range MaxHeads {
		m.Own = append(m.Own, Head{Inc: randomID(i)})
	}
	checkLongest(t, m)
	_, err := AppendMessage(nil, &Hello{Own: make([]Head, MaxHeads+1)})
	wantError(t, err, ErrLimit)
}
