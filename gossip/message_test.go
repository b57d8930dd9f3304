package gossip

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"testing"

	"pgregory.net/rapid"
)

func TestMessagesComeOutAsTheyWentIn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		msgs := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 300), 0, 20).Draw(t, "messages")
		var stream bytes.Buffer
		w := bufio.NewWriterSize(&stream, 16)
		for _, m := range msgs {
			if err := writeMessage(w, m); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReaderSize(&stream, 16)
		for i, m := range msgs {
			got, err := readMessage(r, 300)
			if err != nil || !bytes.Equal(got, m) {
				t.Fatalf("message %d: %x, %v, want %x", i, got, err, m)
			}
		}
		if _, err := readMessage(r, 300); !errors.Is(err, io.EOF) {
			t.Fatalf("after the last: %v, want EOF", err)
		}
	})
}

func TestSmallMessagesHaveSmallLengths(t *testing.T) {
	for size, want := range map[int]int{0: 1, 13: 1, 127: 1, 128: 2, 16383: 2, 16384: 3} {
		var stream bytes.Buffer
		w := bufio.NewWriter(&stream)
		if err := errors.Join(writeMessage(w, make([]byte, size)), w.Flush()); err != nil {
			t.Fatal(err)
		}
		if got := stream.Len() - size; got != want {
			t.Errorf("%d bytes have a length of %d bytes, want %d", size, got, want)
		}
	}
}

func TestLengthAloneAllocatesLittle(t *testing.T) {
	claim := binary.AppendUvarint(nil, MaxMessage)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 100 {
		if _, err := readMessage(bufio.NewReaderSize(bytes.NewReader(claim), 16), MaxMessage); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("error %v, want an unexpected end", err)
		}
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / 100; each > 4*allocStep {
		t.Errorf("%d bytes allocated for a length without a message", each)
	}
}

func FuzzReadMessage(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0})
	f.Add([]byte{3, 'a', 'b', 'c', 1, 'd'})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f})
	f.Add(binary.AppendUvarint(nil, MaxMessage+1))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bufio.NewReaderSize(bytes.NewReader(data), 16)
		total := 0
		for {
			msg, err := readMessage(r, 1<<20)
			if err != nil {
				return
			}
			if total += len(msg) + 1; total > len(data) || cap(msg) > 2*len(msg)+allocStep {
				t.Fatalf("%d bytes of messages, capacity %d, out of %d bytes", total, cap(msg), len(data))
			}
		}
	})
}
