package replay

import (
	"bytes"
	"encoding/hex"
	"os"
	"strings"
	"testing"
)

func testCodec(t testing.TB) *codec {
	t.Helper()
	c, err := newCodec()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The bytes of a batch are a format: they never change within format 1.
func TestBatchGolden(t *testing.T) {
	c := testCodec(t)
	raw, _ := c.appendBatch(nil, nil, 7, 1_700_000_000_123, []Record{
		{Kind: KindFrame, Key: []byte("origin"), Value: []byte("cells")}, {Kind: KindSnapshotEnd, Value: []byte{1}},
	})
	const path = "testdata/batch.hex"
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(raw); got != strings.TrimSpace(string(want)) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func FuzzParseBatch(f *testing.F) {
	c := testCodec(f)
	plain, _ := c.appendBatch(nil, nil, 0, 1, []Record{{Kind: 1, Key: []byte("k"), Value: []byte("v")}})
	packed, _ := c.appendBatch(nil, nil, 1<<40, 1<<40, []Record{{Kind: 2, Value: bytes.Repeat([]byte("v"), 5000)}})
	f.Add(plain)
	f.Add(packed)
	f.Fuzz(func(t *testing.T, raw []byte) {
		var records []Record
		total := 0
		err := c.parseBatch(raw, 0, func(e *Entry) error {
			records = append(records, Record{Kind: e.Kind, Key: bytes.Clone(e.Key), Value: bytes.Clone(e.Value)})
			total += len(e.Key) + len(e.Value)
			return nil
		})
		if err != nil {
			return
		}
		h, err := parseHead(raw)
		if err != nil || h.length != int64(len(raw)) || int(h.count) != len(records) || total > int(h.body) {
			t.Fatalf("%d records of %d bytes from %+v: %v", len(records), total, h, err)
		}
		again, _ := c.appendBatch(nil, nil, h.first, h.time, records)
		n := 0
		if err := c.parseBatch(again, 0, func(e *Entry) error {
			r := records[n]
			n++
			if e.Kind != r.Kind || !bytes.Equal(e.Key, r.Key) || !bytes.Equal(e.Value, r.Value) {
				t.Fatalf("record %d differs after writing it again", n-1)
			}
			return nil
		}); err != nil || n != len(records) {
			t.Fatalf("%d of %d records after writing them again: %v", n, len(records), err)
		}
	})
}
