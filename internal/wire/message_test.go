package wire

import (
	"encoding/binary"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReservedTypes(t *testing.T) {
	for typ := byte(typeSeriesDrop); typ <= typeAnswer; typ++ {
		if !reserved(typ) {
			continue // it has a body by now
		}
		for _, b := range [][]byte{{typ}, {typ, 0x90}, {typ | typeCompressed, 1}} {
			_, err := ParseMessage(b)
			wantError(t, err, ErrReserved)
		}
	}
}

func TestMessageRefused(t *testing.T) {
	tests := []struct {
		name string
		b    []byte
		want error
	}{
		{"nothing", nil, ErrMalformed},
		{"type 0", []byte{0}, ErrMalformed},
		{"unknown type", []byte{99, 0x90}, ErrMalformed},
		{"compressed heartbeat", []byte{typeHeartbeat | typeCompressed, 0}, ErrMalformed},
		{"compressed without size", []byte{typeHello | typeCompressed}, ErrMalformed},
		{"unpacks beyond its ratio", []byte{typeHello | typeCompressed, 0xff, 0x7f, 1, 2, 3}, ErrLimit},
		{"not compressed", []byte{typeHello | typeCompressed, 3, 1, 2, 3}, ErrMalformed},
		{"too few fields", []byte{typeHello, 0x91, 0}, ErrMalformed},
		{"too many fields", []byte{typeCoverage, 0xdc, 0, 18, 0x90}, ErrMalformed},
		{"nested unknown field", []byte{typeCoverage, 0x92, 0x90, 0x91, 1}, ErrMalformed},
		{"trailing byte", []byte{typeCoverage, 0x91, 0x90, 0}, ErrMalformed},
		{"count without bytes", []byte{typeCoverage, 0x91, 0xdd, 0xff, 0xff, 0xff, 0xff}, ErrMalformed},
		{"nil for an array", []byte{typeCoverage, 0xc0}, ErrMalformed},
		{"nil for bytes", []byte{typePush, 0x92, 0xc0, 0x90}, ErrMalformed},
		{"length without bytes", []byte{typePush, 0x92, 0xc6, 0xff, 0xff, 0xff, 0xff}, ErrMalformed},
		{"string for a number", []byte{typeHello, 0x95, 0xa1, 'x'}, ErrMalformed},
		{"number for a bool", []byte{typeMarks, 0x93, 1, 1, 0x90}, ErrMalformed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := ParseMessage(test.b)
			wantError(t, err, test.want)
		})
	}
	_, err := ParseMessage(make([]byte, MaxMessageBytes+1))
	wantError(t, err, ErrLimit)
	_, err = ParseMessage(append([]byte{typeFrame}, make([]byte, MaxFrameBytes+1)...))
	wantError(t, err, ErrLimit)
	_, err = AppendMessage(nil, &FrameMsg{Raw: make([]byte, MaxFrameBytes+1)})
	wantError(t, err, ErrLimit)
	_, err = AppendMessage(nil, nil)
	wantError(t, err, ErrInvalid)
}

// TestUnknownFields holds the version rule: fields behind the last known one are passed over.
func TestUnknownFields(t *testing.T) {
	extra := []byte{0xc0, 0xc3, 7, 0xe0, 0xcb, 0, 0, 0, 0, 0, 0, 0, 0, 0xcf, 0, 0, 0, 0, 0, 0, 0, 1, 0xa2, 'a', 'b', 0xc4, 1, 9}
	const fields = 8 // in extra
	b := append([]byte{typeCoverage, 0x90 | 1 + fields, 0x90}, extra...)
	m, err := ParseMessage(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Message(&Coverage{}), m, same); diff != "" {
		t.Error(diff)
	}

	f := smallFrame()
	body, err := f.appendBody(nil)
	if err != nil {
		t.Fatal(err)
	}
	wide := binary.BigEndian.AppendUint16([]byte{0xdc}, frameFields+1+fields)
	extra = append(append([]byte{0xc4, 16}, make([]byte, 16)...), extra...) // of: nobody
	g, err := ParseFrame(seal(nil, append(append(wide, body[1:]...), extra...), 0))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(f, g, same); diff != "" {
		t.Error(diff)
	}
}

// TestUnknownFieldsOfEveryRecord adds fields behind the last one of each record's golden bytes: the value read is the same.
func TestUnknownFieldsOfEveryRecord(t *testing.T) {
	for _, g := range goldens(t) {
		b, err := g.bytes()
		if err != nil {
			t.Fatal(err)
		}
		at := slices.IndexFunc(b[:min(2, len(b))], func(c byte) bool { return c&0xf0 == 0x90 }) // behind a tag or a type
		if at < 0 || g.compressed {
			continue // a frame, which has a test of its own, or a heartbeat, which has no array
		}
		wide := slices.Clone(b)
		wide[at] += 2
		got, err := g.parse(append(wide, 7, 0xa1, 'x'))
		if err != nil {
			t.Errorf("%s: %v", g.name, err)
			continue
		}
		if diff := cmp.Diff(g.value, got, same); diff != "" {
			t.Errorf("%s changed:\n%s", g.name, diff)
		}
		if _, err := g.parse(append(wide, 7, 0x91, 7)); err == nil {
			t.Errorf("%s: a nested unknown field was accepted", g.name)
		}
	}
}

func TestFrameMsg(t *testing.T) {
	checkMessage(t, &FrameMsg{Raw: []byte{1, 2, 3}})
	b := []byte{typeFrame, 1, 2}
	m, err := ParseMessage(b)
	if err != nil || &m.(*FrameMsg).Raw[0] != &b[1] {
		t.Errorf("the frame was copied (%v)", err)
	}
}

// TestAllocationIsBounded holds that short inputs that declare much take little memory.
func TestAllocationIsBounded(t *testing.T) {
	const perByte = MaxCellsPerByte * 128 // a cell, with its share of columns, is below 128 bytes
	f := smallFrame()
	f.Defs, f.Cells = nil, nil
	for ref := range uint32(3000) {
		f.Cells = append(f.Cells, Cell{Ref: ref, Seq: 7})
		f.Cells[ref].Value.Kind = 1
	}
	dense := forge(f)
	claims := binary.AppendUvarint([]byte{typeHello | typeCompressed}, MaxMessageBytes)
	tests := map[string][]byte{
		"dense cells":      dense,
		"compressed claim": append(claims, make([]byte, 1000)...),
		"heads":            append([]byte{typeHello, 0x95, 0xc4, 16}, []byte(strings.Repeat("\xdd\x00\xff\xff\xff", 40))...),
		"long bytes":       {typePush, 0x92, 0xc6, 0x7f, 0xff, 0xff, 0xff, 1},
		"marks":            {typeMarks, 0x93, 0xc2, 0xc2, 0xdc, 0x0f, 0xff, 1},
	}
	for name, b := range tests {
		t.Run(name, func(t *testing.T) {
			got := allocated(func() {
				_, frameErr := ParseFrame(b)
				_, messageErr := ParseMessage(b)
				if messageErr == nil || (frameErr == nil) != (name == "dense cells") {
					t.Errorf("frame: %v, message: %v", frameErr, messageErr)
				}
			})
			if limit := uint64(perByte*len(b) + 64<<10); got > limit {
				t.Errorf("%d bytes of input took %d of memory, want at most %d", len(b), got, limit)
			}
		})
	}
}

func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestNoAllocationPerCell holds that a Parser that has grown costs the same few allocations for any number of counters.
func TestNoAllocationPerCell(t *testing.T) {
	var p Parser
	counts := map[int]float64{}
	for _, n := range []int{1000, 100} {
		f := counterFrame(1)
		f.Cells = f.Cells[:n]
		b, err := AppendFrame(nil, f)
		if err != nil {
			t.Fatal(err)
		}
		counts[n] = testing.AllocsPerRun(100, func() {
			if _, err := p.Parse(b); err != nil {
				t.Error(err)
			}
		})
	}
	if counts[1000] > counts[100] {
		t.Errorf("allocations by cells: %v, want the same", counts)
	}
}
