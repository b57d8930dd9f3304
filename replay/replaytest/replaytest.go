// Package replaytest says what every engine of the durable log must do.
package replaytest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"meshd/replay"
)

// Engine makes logs to test.
type Engine struct {
	// Open opens the log of one test; a second call opens what the first left behind.
	Open func(t *testing.T) replay.Log
	// Advance lets the clock that stamps batches go on by more than the log's resolution of time.
	Advance func()
}

// Run runs the suite.
func Run(t *testing.T, e Engine) {
	for _, c := range []struct {
		name string
		test func(*testing.T, Engine)
	}{
		{"an empty log has no records", empty},
		{"what was appended is read in order of its key", order},
		{"reading goes on where it ended", resume},
		{"what was appended is there after opening again", reopen},
		{"values of any size and content", sizes},
		{"records that no log takes are refused and nothing else is lost", refuse},
		{"a position by time misses nothing", byTime},
		{"trimming keeps what is not given up", trim},
		{"calls after closing fail", closed},
		{"writers and readers at once", together},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, e) })
	}
}

func record(key, n int) replay.Record {
	return replay.Record{Kind: replay.KindFrame, Key: fmt.Appendf(nil, "key %d", key), Value: fmt.Appendf(nil, "value %d of key %d", n, key)}
}

func mustAppend(t *testing.T, l replay.Log, records ...replay.Record) replay.Position {
	t.Helper()
	pos, err := l.Append(t.Context(), records)
	if err != nil {
		t.Fatal(err)
	}
	return pos
}

func readAll(t *testing.T, l replay.Log, from replay.Position) ([]replay.Record, replay.Position) {
	t.Helper()
	var got []replay.Record
	pos, err := l.Read(t.Context(), from, func(e *replay.Entry) error {
		got = append(got, replay.Record{Kind: e.Kind, Key: bytes.Clone(e.Key), Value: bytes.Clone(e.Value)})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got, pos
}

// values returns the values of one key.
func values(records []replay.Record, key string) (out []string) {
	for _, r := range records {
		if string(r.Key) == key {
			out = append(out, string(r.Value))
		}
	}
	return out
}

func empty(t *testing.T, e Engine) {
	l := e.Open(t)
	got, pos := readAll(t, l, nil)
	if len(got) != 0 {
		t.Errorf("%d records", len(got))
	}
	first, end, err := l.Bounds(t.Context())
	if err != nil || first.Before(end) || pos.Before(end) {
		t.Errorf("bounds %v to %v, read to %v: %v", first, end, pos, err)
	}
	if pos, err := l.Append(t.Context(), nil); err != nil || end.Before(pos) {
		t.Errorf("appending nothing: %v, %v", pos, err)
	}
}

func order(t *testing.T, e Engine) {
	l := e.Open(t)
	want := map[string][]string{}
	for batch := range 20 {
		var records []replay.Record
		for key := range 5 {
			r := record(key, batch)
			records = append(records, r)
			want[string(r.Key)] = append(want[string(r.Key)], string(r.Value))
		}
		mustAppend(t, l, records...)
	}
	got, pos := readAll(t, l, nil)
	for key, w := range want {
		if g := values(got, key); !slices.Equal(g, w) {
			t.Errorf("%s: %q, want %q", key, g, w)
		}
	}
	if _, end, err := l.Bounds(t.Context()); err != nil || pos.Before(end) {
		t.Errorf("read to %v of %v: %v", pos, end, err)
	}
}

var errEnough = errors.New("enough")

func resume(t *testing.T, e Engine) {
	l := e.Open(t)
	for batch := range 10 {
		mustAppend(t, l, record(0, 3*batch), record(0, 3*batch+1), record(0, 3*batch+2))
	}
	var got []string
	var pos replay.Position
	for {
		n := 0
		next, err := l.Read(t.Context(), pos, func(e *replay.Entry) error {
			if n++; n > 4 {
				return errEnough
			}
			got = append(got, string(e.Value))
			return nil
		})
		pos = next
		if err == nil {
			break
		}
		if !errors.Is(err, errEnough) {
			t.Fatal(err)
		}
	}
	var want []string
	for i := range 30 {
		want = append(want, string(record(0, i).Value))
	}
	if !slices.Equal(got, want) {
		t.Errorf("read %q", got)
	}
	mustAppend(t, l, record(0, 30))
	if more, _ := readAll(t, l, pos); len(more) != 1 || string(more[0].Value) != string(record(0, 30).Value) {
		t.Errorf("read on: %q", more)
	}
}

func reopen(t *testing.T, e Engine) {
	l := e.Open(t)
	mustAppend(t, l, record(0, 0), record(1, 0))
	before := mustAppend(t, l, record(0, 1))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = e.Open(t)
	if got, pos := readAll(t, l, nil); len(got) != 3 || pos.Before(before) {
		t.Errorf("%d records to %v, want 3 to %v", len(got), pos, before)
	}
	mustAppend(t, l, record(0, 2))
	if got, _ := readAll(t, l, nil); !slices.Equal(values(got, "key 0"), []string{"value 0 of key 0", "value 1 of key 0", "value 2 of key 0"}) {
		t.Errorf("after opening again: %q", values(got, "key 0"))
	}
}

func sizes(t *testing.T, e Engine) {
	l := e.Open(t)
	var want []replay.Record
	for _, n := range []int{0, 1, 100, 1000, 100_000, 900_000} {
		for _, fill := range []byte{0, 0xff} {
			r := replay.Record{Kind: replay.KindSnapshotPart, Key: bytes.Repeat([]byte{fill}, min(n, replay.MaxKeyBytes)), Value: bytes.Repeat([]byte{fill}, n)}
			for i := range r.Value { // hard to compress
				r.Value[i] ^= byte(i * i >> 3)
			}
			want = append(want, r)
		}
	}
	mustAppend(t, l, want...)
	got, _ := readAll(t, l, nil)
	for _, w := range want {
		if !slices.ContainsFunc(got, func(g replay.Record) bool {
			return g.Kind == w.Kind && bytes.Equal(g.Key, w.Key) && bytes.Equal(g.Value, w.Value)
		}) {
			t.Errorf("record with %d bytes is missing", len(w.Value))
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d records, want %d", len(got), len(want))
	}
}

func refuse(t *testing.T, e Engine) {
	l := e.Open(t)
	large := bytes.Repeat([]byte{1}, replay.MaxValueBytes)
	for name, records := range map[string][]replay.Record{
		"no kind":         {{Value: []byte("x")}},
		"key too long":    {{Kind: 1, Key: make([]byte, replay.MaxKeyBytes+1)}},
		"value too long":  {{Kind: 1, Value: make([]byte, replay.MaxValueBytes+1)}},
		"batch too large": {{Kind: 1, Value: large}, {Kind: 1, Value: large}, {Kind: 1, Value: large}, {Kind: 1, Value: large}},
	} {
		if _, err := l.Append(t.Context(), append([]replay.Record{record(0, 0)}, records...)); !errors.Is(err, replay.ErrRecord) {
			t.Errorf("%s: %v", name, err)
		}
	}
	mustAppend(t, l, record(0, 1))
	if got, _ := readAll(t, l, nil); len(got) != 1 {
		t.Errorf("%d records after refusals, want 1", len(got))
	}
}

func byTime(t *testing.T, e Engine) {
	l := e.Open(t)
	for i := range 10 {
		mustAppend(t, l, record(i%3, i))
		e.Advance()
	}
	times := map[string]int64{}
	if _, err := l.Read(t.Context(), nil, func(e *replay.Entry) error {
		times[string(e.Value)] = e.Time
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		at := times[string(record(i%3, i).Value)]
		pos, err := l.At(t.Context(), time.UnixMilli(at))
		if err != nil {
			t.Fatal(err)
		}
		got, _ := readAll(t, l, pos)
		for j := i; j < 10; j++ {
			r := record(j%3, j)
			if !slices.Contains(values(got, string(r.Key)), string(r.Value)) {
				t.Errorf("from the time of record %d: record %d is missing", i, j)
			}
		}
		if i == 9 && len(got) > 3 { // one a partition at most
			t.Errorf("from the time of the last record: %d records", len(got))
		}
	}
	end, err := l.At(t.Context(), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := readAll(t, l, end); len(got) != 0 {
		t.Errorf("from a time to come: %d records", len(got))
	}
}

func trim(t *testing.T, e Engine) {
	l := e.Open(t)
	for i := range 20 {
		mustAppend(t, l, record(0, i))
	}
	_, pos := readAll(t, l, nil)
	for i := range 20 {
		mustAppend(t, l, record(0, 20+i))
	}
	if err := l.Trim(t.Context(), pos); err != nil {
		t.Fatal(err)
	}
	got, _ := readAll(t, l, pos)
	for i := range 20 {
		if !slices.Contains(values(got, "key 0"), string(record(0, 20+i).Value)) {
			t.Errorf("record %d was not given up and is missing", 20+i)
		}
	}
	first, end, err := l.Bounds(t.Context())
	if err != nil || pos.Before(first) || !first.Before(end) {
		t.Errorf("bounds %v to %v, not given up from %v: %v", first, end, pos, err)
	}
}

func closed(t *testing.T, e Engine) {
	l := e.Open(t)
	mustAppend(t, l, record(0, 0))
	for range 2 {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	_, appended := l.Append(t.Context(), []replay.Record{record(0, 1)})
	_, read := l.Read(t.Context(), nil, func(*replay.Entry) error { return nil })
	_, _, bounds := l.Bounds(t.Context())
	for name, err := range map[string]error{"append": appended, "read": read, "bounds": bounds} {
		if !errors.Is(err, replay.ErrClosed) {
			t.Errorf("%s after closing: %v", name, err)
		}
	}
}

func together(t *testing.T, e Engine) {
	const writers, each = 4, 50
	l := e.Open(t)
	ctx, stop := context.WithCancel(t.Context())
	errs := make(chan error, writers+1)
	for key := range writers {
		go func() {
			var err error
			for n := range each {
				if _, e := l.Append(ctx, []replay.Record{record(key, n)}); e != nil {
					err = e
				}
			}
			errs <- err
		}()
	}
	readerDone := make(chan error, 1)
	go func() {
		var pos replay.Position
		var err error
		for ctx.Err() == nil && err == nil {
			pos, err = l.Read(ctx, pos, func(*replay.Entry) error { return nil })
		}
		if errors.Is(err, context.Canceled) {
			err = nil
		}
		readerDone <- err
	}()
	for range writers {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	stop()
	if err := <-readerDone; err != nil {
		t.Error(err)
	}
	got, _ := readAll(t, l, nil)
	for key := range writers {
		v := values(got, string(record(key, 0).Key))
		for n := range each {
			if n >= len(v) || v[n] != string(record(key, n).Value) {
				t.Fatalf("key %d: record %d of %d is wrong or missing", key, n, len(v))
			}
		}
	}
}
