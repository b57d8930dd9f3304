package wire

import (
	"testing"

	"pgregory.net/rapid"
)

func drawCoverage(t *rapid.T) *Coverage {
	m := new(Coverage)
	for range rapid.IntRange(0, 10).Draw(t, "regions") {
		m.Regions = append(m.Regions, RegionCoverage{
			Region: drawName(t, "region"), Hub: drawName(t, "hub"), Inc: drawID(t), Seq: rapid.Uint64().Draw(t, "seq"),
			Expected: rapid.Uint32().Draw(t, "expected"), Heard: rapid.Uint32().Draw(t, "heard"),
			CompleteUntilMs: rapid.Int64().Draw(t, "complete"), AtMs: rapid.Int64().Draw(t, "at"),
			OldestMissingMs: rapid.Int64().Draw(t, "oldest"), Lost: rapid.Uint64().Draw(t, "lost"),
			Missing:   rapid.SliceOfN(rapid.StringMatching(`[a-z]{1,9}`), 0, MaxMissing).Draw(t, "missing"),
			ClocksOff: rapid.Uint32().Draw(t, "off"), Anew: rapid.Uint32().Draw(t, "anew"), Rules: rapid.Uint64().Draw(t, "rules"),
		})
		if rapid.Bool().Draw(t, "clock") {
			m.Regions[len(m.Regions)-1].Clocks = []ClockOffset{{Node: drawName(t, "node"), OffsetMs: rapid.Int64().Draw(t, "offset")}}
		}
	}
	return m
}

func TestCoverageRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { checkMessage(t, drawCoverage(t)) })
}

func TestCoverageRefused(t *testing.T) {
	_, err := AppendMessage(nil, &Coverage{Regions: []RegionCoverage{{Region: "r", Hub: ""}}})
	wantError(t, err, ErrInvalid)
	_, err = AppendMessage(nil, &Coverage{Regions: []RegionCoverage{{Region: "r", Hub: "h", Missing: make([]string, MaxMissing+1)}}})
	if err == nil {
		t.Error("21 missing nodes were accepted")
	}
	many := make([]RegionCoverage, MaxRegions+1)
	for i := range many {
		many[i] = RegionCoverage{Region: "r", Hub: "h"}
	}
	_, err = AppendMessage(nil, &Coverage{Regions: many})
	wantError(t, err, ErrLimit)
}
