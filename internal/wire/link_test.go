package wire

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func drawLink(t *rapid.T) *Link {
	m := &Link{IntervalMs: rapid.Uint32().Draw(t, "interval"), Feed: Feed(rapid.IntRange(0, 2).Draw(t, "feed")), Deltas: rapid.Bool().Draw(t, "deltas")}
	if m.Feed == FeedSome {
		m.Patterns = rapid.SliceOfN(rapid.StringMatching(`[a-z.*?]{0,20}`), 1, 5).Draw(t, "patterns")
	}
	return m
}

func TestLinkRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { checkMessage(t, drawLink(t)) })
}

func TestLinkRefused(t *testing.T) {
	for _, bad := range []Link{{Feed: 3}, {Feed: FeedSome}, {Feed: FeedAll, Patterns: []string{"a"}}, {Feed: FeedNone, Patterns: []string{"a"}}} {
		_, err := AppendMessage(nil, &bad)
		wantError(t, err, ErrInvalid)
	}
	for _, bad := range []Link{
		{Feed: FeedSome, Patterns: make([]string, MaxPatterns+1)},
		{Feed: FeedSome, Patterns: []string{strings.Repeat("a", MaxPatternBytes+1)}},
	} {
		_, err := AppendMessage(nil, &bad)
		wantError(t, err, ErrLimit)
	}
	for _, body := range [][]byte{
		{0x94, 0, 3, 0x90, 0xc2}, {0x94, 0, 1, 0x90, 0xc2}, {0x94, 0, 0, 0x91, 0xa1, 'a', 0xc2}, {0x94, 0, 0xcd, 1, 0, 0x90, 0xc2},
	} {
		_, err := ParseMessage(append([]byte{typeLink}, body...))
		wantError(t, err, ErrInvalid)
	}
}
