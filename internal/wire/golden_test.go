package wire

import (
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"meshd/crdt"
)

// update rewrites testdata and the worked example in docs/protocol.md. Golden bytes of a released version are only
// ever added to: a change of them is a change of the format.
var update = flag.Bool("update", false, "write golden files and the example in docs/protocol.md")

// golden is one value and what turns it into bytes and back.
type golden struct {
	name       string
	bytes      func() ([]byte, error)
	parse      func([]byte) (any, error)
	value      any
	compressed bool // the bytes depend on the version of the compressor; only reading them is promised
}

func goldenFrame(name string, f *Frame, compressed bool) golden {
	return golden{
		name: name, value: f, compressed: compressed,
		bytes: func() ([]byte, error) { return AppendFrame(nil, f) },
		parse: func(b []byte) (any, error) { return ParseFrame(b) },
	}
}

func goldenMessage(name string, m Message) golden {
	return golden{
		name: name, value: m,
		bytes: func() ([]byte, error) { return AppendMessage(nil, m) },
		parse: func(b []byte) (any, error) { return ParseMessage(b) },
	}
}

func goldenRecord[T any](name string, v *T, appendTo func([]byte, *T) ([]byte, error), parse func([]byte) (*T, error)) golden {
	return golden{
		name: name, value: v,
		bytes: func() ([]byte, error) { return appendTo(nil, v) },
		parse: func(b []byte) (any, error) { return parse(b) },
	}
}

// kindValues returns one value of every kind of a node's cells.
func kindValues(t *testing.T, seq uint64) []crdt.Value {
	d, u, o := new(crdt.Distribution), new(crdt.Unique), new(crdt.Observed)
	for _, v := range []float64{0, 0.25, 3, 3, -8} {
		if err := d.Observe(v, 1); err != nil {
			t.Fatal(err)
		}
	}
	for i := range uint64(4) {
		u.InsertHash(i * 0x9e3779b97f4a7c15)
	}
	if err := o.Put(crdt.Sample{Source: "host-1", Start: 1000, Time: 2000, Value: crdt.FixedFromUint(12)}); err != nil {
		t.Fatal(err)
	}
	incs := []crdt.Value{
		{Kind: crdt.KindCounter, P: crdt.FixedFromUint(1000)},
		{Kind: crdt.KindUpDown, P: crdt.FixedFromUint(70), N: crdt.Fixed{Lo: 1 << 47}},
		{Kind: crdt.KindGauge, X: &crdt.Gauge{Time: crdt.HLCFrom(1_800_000_000_000, 2), Value: -1.5}},
		{Kind: crdt.KindDistribution, X: d},
		{Kind: crdt.KindUnique, X: u},
		{Kind: crdt.KindSet, X: &crdt.Set{Inc: crdt.Incarnation{7}, Adds: []string{"a", "b"}}},
		{Kind: crdt.KindObserved, X: o},
	}
	for i := range incs {
		incs[i] = stored(t, incs[i], seq)
	}
	return incs
}

func goldens(t *testing.T) []golden {
	inc := crdt.Incarnation{0xde, 0xad, 0xbe, 0xef}
	node := crdt.Origin{Class: crdt.ClassNode, Region: "eu", Node: "n1", Inc: inc}
	kinds := &Frame{Origin: node, From: 40, To: 50, Head: 52}
	windows := &Frame{Origin: node, Stream: crdt.StreamWindow, From: 3, To: 4, Head: 4}
	for i, v := range kindValues(t, 50) {
		kinds.Cells = append(kinds.Cells, Cell{Ref: uint32(i), Seq: 50, Value: v})
	}
	for i, v := range kindValues(t, 4)[:2] {
		window := crdt.Window{Start: 1_800_000_000_000, Width: 10_000}
		windows.Cells = append(windows.Cells, Cell{Ref: uint32(i), Seq: 4, Value: v}, Cell{Ref: uint32(i), Seq: 4, Window: window, Value: v})
	}
	left := &Frame{Origin: node, Of: crdt.Incarnation{1, 2}, Stream: crdt.StreamWindow, From: 4, To: 5, Head: 5}
	left.Cells = []Cell{{Ref: 1, Seq: 5, Window: crdt.Window{Start: 1_799_996_400_000, Width: 3_600_000}, Value: kindValues(t, 5)[1]}}
	rollup := &crdt.Rollup{Stamp: crdt.HLCFrom(1_800_000_000_000, 0), Expected: 3}
	rollup.AddGauge(&crdt.Gauge{Time: crdt.HLCFrom(1_799_999_999_000, 1), Value: 20.5})
	region := &Frame{
		Origin: crdt.Origin{Class: crdt.ClassRegion, Region: "eu", Node: "hub-1", Inc: inc}, To: 9, Head: 9,
		Cells: []Cell{{Ref: 5, Seq: 9, Value: stored(t, crdt.Value{Kind: crdt.KindRollup, X: rollup}, 9)}},
	}
	many := &Frame{Origin: node, To: 1, Head: 1}
	for i := range uint32(40) {
		s := crdt.Series{Name: "http.requests", Kind: crdt.KindCounter, Labels: []crdt.Label{{Name: "path", Value: strings.Repeat("/x", int(i))}}}
		many.Defs = append(many.Defs, Def{Ref: i, Seq: 1, Series: s})
	}
	progress := [crdt.NumStreams]crdt.Progress{{Cursor: 9, Owed: 12, Covered: 8}, {Cursor: 300, Owed: 300, Covered: 300}}
	push := &Push{Frame: forge(region), Yours: []Yours{{Inc: inc, Whole: true}, {Inc: crdt.Incarnation{1}}}}
	for i, v := range []crdt.Value{kindValues(t, 1)[0], kindValues(t, 1)[1], kindValues(t, 1)[3]} {
		push.Yours[1].Cells = append(push.Yours[1].Cells, YoursCell{Index: uint32(2 * i), Value: v})
	}
	config := &MeshConfig{Full: true, Body: []byte(`{"series":9}`)}
	config.ID = ConfigID{Version: 3, Stamp: crdt.HLCFrom(1_800_000_000_000, 1), Region: "eu", Node: "hub-1", Sum: SumConfig(config.Body)}
	return []golden{
		goldenFrame("frame_small", smallFrame(), false),
		goldenFrame("frame_kinds", kinds, false),
		goldenFrame("frame_windows", windows, false),
		goldenFrame("frame_windows_left", left, false),
		goldenFrame("frame_region", region, false),
		goldenFrame("frame_compressed", many, true),
		goldenMessage("message_hello", &Hello{
			Nonce: [16]byte{1, 2}, WallMs: 1_800_000_000_000, Inc: inc, Fingerprint: 77,
			Own: []Head{{Inc: inc, Head: [crdt.NumStreams]uint64{5, 2}, Fingerprint: 99}, {Inc: crdt.Incarnation{1}}},
		}),
		goldenMessage("message_marks", &Marks{Full: true, Marks: []Mark{{Origin: node, Progress: progress}}}),
		goldenMessage("message_frame", &FrameMsg{Raw: forge(smallFrame())}),
		goldenMessage("message_push", push),
		goldenMessage("message_push_told", &Push{Frame: gainsOf(smallFrame()), Yours: push.Yours, Back: 20, Sum: 9}),
		goldenMessage("message_heartbeat", &Heartbeat{Head: [crdt.NumStreams]uint64{70_000, 300}, WallMs: 1_800_000_000_000}),
		goldenMessage("message_heartbeat_lag", &Heartbeat{WallMs: 1_800_000_000_000, LagMs: 1200}),
		goldenMessage("message_coverage", &Coverage{Regions: []RegionCoverage{{
			Region: "eu", Hub: "hub-1", Inc: inc, Seq: 9, Expected: 3, Heard: 2, CompleteUntilMs: 1_800_000_000_000,
			AtMs: 1_800_000_000_500, OldestMissingMs: 1_799_999_000_000, Missing: []string{"n3"}, Lost: 4,
			ClocksOff: 1, Clocks: []ClockOffset{{Node: "n2", OffsetMs: -4000}}, Anew: 2, Rules: 7,
		}}}),
		goldenMessage("message_heard", &Heard{
			WallMs: 1_800_000_000_000, Gone: []uint32{3},
			New: []HeardProcess{{Number: 7, Node: "n1", Inc: inc, Needs: []HeardNeed{{Inc: crdt.Incarnation{1}, Head: 90}}}},
			Claims: []HeardClaim{
				{Number: 5, Head: 70_000, AgeMs: 120, OffsetMs: -3}, {Number: 7, Head: 12, AgeMs: 900, OffsetMs: 2000},
			},
		}),
		goldenMessage("message_cold_marks", &ColdMarks{Buckets: []ColdBucket{
			{Bucket: 7, Sum: 99},
			{Bucket: 4095, Sum: 1 << 60, Listed: true, Marks: []ColdMark{{Node: "n1", Inc: inc, Covered: [crdt.NumStreams]uint64{300, 2}}}},
		}}),
		goldenMessage("message_window_marks", &WindowMarks{Full: true, Marks: []WindowMark{{Origin: node, Cursor: 300}}}),
		goldenRecord("query", &Query{
			Ask: AskCurves, ByNode: true, Regions: []string{"eu"}, From: 1_800_000_000_000, To: 1_800_003_600_000, Width: 60_000,
			MaxBytes: 64 << 20, MaxFound: 100_000, WithinMs: 10_000, Kinds: []crdt.Kind{crdt.KindCounter},
			Tests: []Test{{Label: "__name__", Value: "clicks"}, {Label: "shop", Op: TestMatchesNo, Value: "test.*"}}, After: []byte{4, 5}, Newest: true,
		}, AppendQuery, ParseQuery),
		goldenRecord("answer", &Answer{
			State: AnswerTooBig, Text: "more than 10 curves", Body: []byte{1, 2, 3}, Since: 1_700_000_000_000,
			Regions: []RegionCoverage{{Region: "eu", Hub: "hub-1", Expected: 3, Heard: 3, CompleteUntilMs: 1_800_000_000_000, AtMs: 1_800_000_000_500}},
		}, AppendAnswer, ParseAnswer),
		goldenMessage("message_config", config),
		goldenMessage("message_config_name", &MeshConfig{ID: config.ID}),
		goldenRecord("stored_config", config, AppendStoredConfig, ParseStoredConfig),
		goldenMessage("message_drops", &Drops{Drops: []Drop{
			{Metric: "http.*", Gen: 3}, {Metric: "queue", Labels: []crdt.Label{{Name: "code", Value: "5??"}}, Gen: 1_800_000_000},
		}}),
		goldenMessage("message_removals", &Removals{Nodes: []Removal{{Region: "eu", Node: "n1", Turn: 1}, {Region: "us", Node: "n2", Turn: 300}}}),
		goldenMessage("message_corrections", &Corrections{Records: []Correction{{
			ID: "0123456789abcdef", Number: 1_800_000_000_000, Metric: "ads.*", From: 1_799_990_000_000, To: 1_799_993_600_000, Events: 12_000,
			Regions:  []CorrectedRegion{{Totals: WindowMark{Origin: crdt.Origin{Class: crdt.ClassRegion, Region: "eu", Node: "hub-1", Inc: inc}, Cursor: 300}, Nodes: []string{"n1", "n2"}}},
			Replaces: []string{"fedcba9876543210"}, AgeMs: 70_000,
		}}}),
		goldenMessage("message_delta", &Delta{Back: 20, Gains: gainsOf(smallFrame()), Sum: 7}),
		goldenMessage("message_link", &Link{IntervalMs: 30_000, Feed: FeedSome, Patterns: []string{"http.*", "queue"}, Deltas: true}),
		goldenMessage("message_freeze", &Freeze{Hubs: []string{"hub-1", "hub-2"}, Nodes: []FrozenNode{
			{Node: "n1", Forgotten: 2, Sum: 1 << 60, Frozen: []crdt.Incarnation{{1}, {2}}, Print: 99}, {Node: "n2"},
		}}),
		goldenMessage("message_forgotten", &Forgotten{Node: "n1", Parts: 2, Incs: []crdt.Incarnation{{1}, {2}}, Frame: forge(smallFrame())}),
		goldenRecord("preface", &Preface{
			Version: 1, MinVersion: 1, Mesh: "default", Region: "eu", Node: "n1", Role: "edge", Inc: inc, Nonce: [16]byte{1, 2},
			Bulk: true, WallMs: 1_800_000_000_000, Advertise: "10.0.0.1:8946", HTTP: "10.0.0.1:8946",
		}, AppendPreface, ParsePreface),
		goldenRecord("refusal", &Refusal{Code: 3, Text: "mesh staging, want production: check --mesh"}, AppendRefusal, ParseRefusal),
		goldenRecord("hubs", &Hubs{Hubs: []Hub{{Region: "eu", Node: "hub-1", Addr: "10.0.0.9:8946", Inc: inc}}}, AppendHubs, ParseHubs),
		goldenRecord("revoked", &Revoked{Digest: [32]byte{1, 2, 3}, Lines: []string{"5f3a 2027-11-22T00:00:00Z ab MEUCIQ=="}}, AppendRevoked, ParseRevoked),
		goldenRecord("stored_progress", &StoredProgress{Origin: node, Progress: progress, Cold: true, AtMs: 1_800_000_000_000}, AppendStoredProgress, ParseStoredProgress),
	}
}

func TestGolden(t *testing.T) {
	for _, g := range goldens(t) {
		t.Run(g.name, func(t *testing.T) {
			b, err := g.bytes()
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", "v1", g.name+".hex")
			if *update {
				writeHex(t, path, b)
			}
			want := readHex(t, path)
			if !g.compressed && !slices.Equal(b, want) {
				t.Errorf("bytes changed:\n got %x\nwant %x", b, want)
			}
			v, err := g.parse(want)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(g.value, v, same); diff != "" {
				t.Errorf("%s reads as another value (-want +got):\n%s", path, diff)
			}
		})
	}
}

func writeHex(t *testing.T, path string, b []byte) {
	var out strings.Builder
	for line := range slices.Chunk(b, 32) {
		out.WriteString(hex.EncodeToString(line) + "\n")
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

func readHex(t *testing.T, path string) []byte {
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := hex.DecodeString(strings.ReplaceAll(string(text), "\n", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
