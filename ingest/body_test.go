package ingest

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
)

func gzipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zstandard(t testing.TB, b []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(b, nil)
}

func postEncoded(e *Events, encoding string, body []byte) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/v1/events", bytes.NewReader(body))
	r.Header.Set("Content-Encoding", encoding)
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r)
	return w
}

func TestCompressedBodies(t *testing.T) {
	one := []byte(`{"event":"hits"}` + "\n")
	long := bytes.Repeat(one, 50_000)
	for _, tc := range []struct {
		name, encoding string
		body           []byte
		code           int
		want           string // of counter:hits
	}{
		{"gzip", "gzip", gzipped(t, one), 202, "1"},
		{"zstd", "zstd", zstandard(t, one), 202, "1"},
		{"snappy", "snappy", snappy.Encode(nil, one), 202, "1"},
		{"identity", "identity", one, 202, "1"},
		{"gzip, long", "gzip", gzipped(t, long), 202, "50000"},
		{"zstd, long", "zstd", zstandard(t, long), 202, "50000"},
		{"snappy, long", "snappy", snappy.Encode(nil, long), 202, "50000"},
		{"gzip, two members", "gzip", append(gzipped(t, one), gzipped(t, one)...), 202, "2"},
		{"gzip, cut short", "gzip", gzipped(t, long)[:500], 400, "0"},
		{"zstd, cut short", "zstd", zstandard(t, long)[:50], 400, "0"},
		{"snappy, cut short", "snappy", snappy.Encode(nil, long)[:500], 400, "0"},
		{"snappy, claims more than it can hold", "snappy", binary.AppendUvarint(nil, maxBodyBytes), 400, "0"},
		{"empty, not gzip", "gzip", nil, 400, "0"},
		{"gzip bomb", "gzip", gzipped(t, make([]byte, 20<<20)), 413, "0"},
		{"zstd bomb", "zstd", zstandard(t, make([]byte, 20<<20)), 413, "0"},
		{"zstd bomb of unknown size", "zstd", bytes.Join([][]byte{zstandard(t, make([]byte, 6<<20)), zstandard(t, make([]byte, 6<<20))}, nil), 413, "0"},
		{"snappy bomb", "snappy", snappy.Encode(nil, make([]byte, 20<<20)), 413, "0"},
		{"unknown", "br", one, 415, "0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e, n, _ := newTestEvents(t)
			if w := postEncoded(e, tc.encoding, tc.body); w.Code != tc.code {
				t.Fatalf("status %d, want %d: %.200s", w.Code, tc.code, w.Body)
			}
			if got := n.counter("counter:hits"); got != tc.want {
				t.Errorf("counted %s, want %s", got, tc.want)
			}
			if held := e.door.held.Load(); held != 0 {
				t.Errorf("%d bytes still charged, want 0", held)
			}
			if len(e.door.slots) != 0 {
				t.Errorf("%d decompressions still hold a slot", len(e.door.slots))
			}
		})
	}
}

// TestBodiesShareOneBound fills the bound up to a little: what fits is taken, what grows beyond it must wait.
func TestBodiesShareOneBound(t *testing.T) {
	e, n, _ := newTestEvents(t)
	e.door.held.Store(maxBodiesBytes - 100<<10)
	if w := postEncoded(e, "gzip", gzipped(t, []byte(`{"event":"hits"}`))); w.Code != 202 {
		t.Fatalf("a small body: status %d: %s", w.Code, w.Body)
	}
	for _, encoding := range []string{"gzip", "zstd"} {
		body := gzipped(t, bytes.Repeat([]byte(" "), 1<<20))
		if encoding == "zstd" {
			body = zstandard(t, bytes.Repeat([]byte(" "), 1<<20))
		}
		w := postEncoded(e, encoding, body)
		if w.Code != 503 || w.Header().Get("Retry-After") == "" {
			t.Errorf("%s: a body that grows beyond the bound: status %d, Retry-After %q, want 503 with one", encoding, w.Code, w.Header().Get("Retry-After"))
		}
	}
	if w := post(e, "", strings.NewReader(strings.Repeat(" ", 1<<20))); w.Code != 503 {
		t.Errorf("a plain body beyond the bound: status %d, want 503", w.Code)
	}
	if got := e.door.held.Load(); got != maxBodiesBytes-100<<10 {
		t.Errorf("charged %d, want what it was before", got)
	}
	if got := n.counter("counter:hits"); got != "1" {
		t.Errorf("counted %s, want 1", got)
	}
}

func FuzzDecompress(f *testing.F) {
	small := []byte(`{"event":"hits"}`)
	f.Add(uint8(0), gzipped(f, small))
	f.Add(uint8(1), zstandard(f, small))
	f.Add(uint8(2), snappy.Encode(nil, small))
	m, _ := newTestMetrics(f)
	d := newTestDoor(f, acceptAll{}, m)
	f.Fuzz(func(t *testing.T, encoding uint8, raw []byte) {
		decode, err := d.decoderOf([]string{"gzip", "zstd", "snappy"}[encoding%3])
		if err != nil {
			t.Fatal(err)
		}
		b := &body{door: d}
		if err := d.decompress(t.Context(), b, raw, decode); err == nil && len(b.bytes) > maxBodyBytes {
			t.Errorf("%d bytes out of %d", len(b.bytes), len(raw))
		}
		b.release()
		if d.held.Load() != 0 {
			t.Errorf("%d bytes still charged", d.held.Load())
		}
	})
}
