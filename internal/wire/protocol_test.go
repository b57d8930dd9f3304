package wire

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"meshd/crdt"
)

const (
	protocolDoc  = "../../docs/protocol.md"
	exampleBegin = "<!-- example: written by go test ./internal/wire -update -->\n```\n"
	exampleEnd   = "```\n<!-- end of example -->"
)

// frameNotes says, field by field, what is in the body of smallFrame.
var frameNotes = []string{
	"class: node",
	"region: eu",
	"node: n1",
	"incarnation",
	"stream: lifetime",
	"from: 6",
	"to - from: 1",
	"head - to: 0",
	"2 definitions: refs 0 and +1, seqs head - 0, keys of 25 and 8 bytes",
	"2 runs: kinds 1 and 2, of 2 and 1 cells",
	"windows: none",
	"refs: 0, 0+1+0; 2",
	"seqs: highest is head - 0, all equal",
	"values: 1500 and 1.25; 9 and 4",
}

// example draws the bytes of smallFrame and of a heartbeat.
func example(t *testing.T) string {
	var out strings.Builder
	b, err := AppendFrame(nil, smallFrame())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&out, "a frame of %d bytes\n", len(b))
	dump(&out, b, 0, 1, "version")
	dump(&out, b, 1, 2, "encoding: plain")
	dump(&out, b, 2, 3, fmt.Sprintf("array of %d", frameFields))
	at := 3
	for _, note := range frameNotes {
		r := newReader(b[at : len(b)-checksumBytes])
		if c := b[at]; c < 0x80 {
			r.uint()
		} else {
			r.raw()
		}
		if r.err != nil {
			t.Fatal(r.err)
		}
		next := len(b) - checksumBytes - r.src.Len()
		dump(&out, b, at, next, note)
		at = next
	}
	dump(&out, b, at, len(b), "CRC-32C of all before, little endian")

	m := &Heartbeat{Head: [crdt.NumStreams]uint64{70_000, 300}, WallMs: 1_800_000_000_000}
	if b, err = AppendMessage(nil, m); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&out, "\na heartbeat of %d bytes\n", len(b))
	dump(&out, b, 0, 1, "type")
	dump(&out, b, 1, 7, "time 1800000000000 ms | 3-1 << 42 | 2-1 << 45")
	dump(&out, b, 7, 10, "lifetime head: 70000")
	dump(&out, b, 10, 12, "window head: 300")
	return out.String()
}

// dump writes b[from:to], 16 bytes a line, with a note behind the first ones.
func dump(out *strings.Builder, b []byte, from, to int, note string) {
	for at := from; at < to; at += 16 {
		line := fmt.Sprintf("%04x  %-47s  %s", at, fmt.Sprintf("% x", b[at:min(at+16, to)]), note)
		out.WriteString(strings.TrimRight(line, " ") + "\n")
		note = ""
	}
}

// TestProtocolExample holds the worked example in the protocol's documentation to the real bytes.
func TestProtocolExample(t *testing.T) {
	text, err := os.ReadFile(protocolDoc)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(text), exampleBegin)
	got, after, ok2 := strings.Cut(rest, exampleEnd)
	if !ok1 || !ok2 {
		t.Fatalf("%s has no example between %q and %q", protocolDoc, exampleBegin, exampleEnd)
	}
	want := example(t)
	if *update {
		if err := os.WriteFile(protocolDoc, []byte(before+exampleBegin+want+exampleEnd+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got != want {
		t.Errorf("the example in %s is not what is sent (go test ./internal/wire -update rewrites it):\n%s", protocolDoc, want)
	}
}
