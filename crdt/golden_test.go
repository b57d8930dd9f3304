package crdt

import (
	"bufio"
	"encoding/hex"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// goldens are values whose canonical bytes are on somebody's disk: lines are only ever added.
func goldens(t testing.TB) map[string]*Value {
	t.Helper()
	half := Fixed{Lo: 1 << 47}
	d := new(Distribution)
	for i, v := range []float64{0, 1, 1.5, 1000, -2, 1e-9} {
		if err := d.Observe(v, uint64(i+1)); err != nil {
			t.Fatal(err)
		}
	}
	few := new(Unique)
	for i := range uint64(3) {
		few.InsertHash((i + 1) * 0x9e3779b97f4a7c15)
	}
	rollup := RollupOf([]*Gauge{{Time: HLCFrom(1_700_000_000_000, 3), Value: 20.5}, {Time: HLCFrom(1_700_000_000_001, 0), Value: -4}})
	rollup.Stamp, rollup.Expected = HLCFrom(1_700_000_000_500, 1), 300
	removed := joined(t, applied(t, KindSet, change(1, []string{"apple", "pear", ""}, nil), change(1, nil, []string{"pear"})),
		applied(t, KindSet, change(2, []string{"fig"}, nil)))
	return map[string]*Value{
		"counter/bottom":      {Kind: KindCounter},
		"counter/amount":      {Kind: KindCounter, P: fixedFromInteger(0x1234, 0x56789abcdef01234)},
		"updown/both":         {Kind: KindUpDown, P: FixedFromUint(7), N: half},
		"gauge/bottom":        {Kind: KindGauge},
		"gauge/written":       gaugeValue(Gauge{Time: HLCFrom(1_700_000_000_000, 3), Value: 21.5, stamp: 300}),
		"gauge/negative":      gaugeValue(Gauge{Time: 1, Value: -0.1, stamp: 1}),
		"rollup/bottom":       {Kind: KindRollup},
		"rollup/written":      {Kind: KindRollup, X: rollup},
		"distribution/bottom": {Kind: KindDistribution},
		"distribution/signs":  {Kind: KindDistribution, X: d},
		"unique/bottom":       {Kind: KindUnique},
		"unique/few":          {Kind: KindUnique, X: few},
		"set/bottom":          {Kind: KindSet},
		"set/removed":         removed,
		"histogram/bottom":    {Kind: KindHistogram},
		"histogram/runs":      unionOf(t, histogram(t, "till/1", 1_700_000_000_000, samplesOf(t, 0, 1, 1, 2.5, -3)), histogram(t, "", -5, samplesOf(t, 100))),
		"observed/bottom":     {Kind: KindObserved},
		"observed/runs": observation(t, Sample{"host:9100", 1_700_000_000_000, 1_700_000_060_000, FixedFromUint(1 << 40)},
			Sample{"host:9100", 0, 1, half}, Sample{"", -5, -1, Fixed{}}),
	}
}

func TestGoldenBytes(t *testing.T) {
	const path = "testdata/values.golden"
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	want := make(map[string]string)
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if name, digits, ok := strings.Cut(lines.Text(), " "); ok && name != "#" {
			want[name] = digits
		}
	}
	values := goldens(t)
	for _, name := range slices.Sorted(maps.Keys(values)) {
		v := values[name]
		got := hex.EncodeToString(v.AppendBinary(nil))
		if want[name] != got {
			t.Errorf("%s: bytes changed, or the line is missing in %s:\n%s %s", name, path, name, got)
		}
		delete(want, name)
	}
	for name := range want {
		t.Errorf("%s is in %s only: old bytes stay tested", name, path)
	}
}

// Old bytes must be read too, by every later version.
func TestGoldenBytesAreRead(t *testing.T) {
	for name, v := range goldens(t) {
		b := v.AppendBinary(nil)
		got, err := ParseValue(v.Kind, b, 1)
		if err != nil || bytesOf(&got) != string(b) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
