package audit

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"

	"meshd/crdt"
	"meshd/internal/mutant"
	"meshd/reconcile"
)

// spillParts files share the cells by a hash of their keys: one part is in memory at a time, so a comparison may be as many
// times larger than its memory.
const spillParts = 64

// spill is cells on disk, each as often as it was written: reading joins them.
//
//	bytes 0..40   key: class, incarnation, number, width, start of the window
//	bytes 41..44  number of the series
//	byte 45       bit s: side s holds it; bit 7: torn
//	per side      seq (8), kind (1), length (4), canonical value
type spill struct {
	dir   string // where the files are made
	files []*os.File
	out   []*bufio.Writer
	buf   []byte
}

const (
	spillKey  = 41
	spillHead = spillKey + 5
	tornBit   = 1 << 7
)

func (sp *spill) used() bool { return sp.files != nil }

// open makes the files. They have no name from the beginning: a crash leaves none behind.
func (sp *spill) open() error {
	for range spillParts {
		f, err := os.CreateTemp(sp.dir, "meshd-verify-*")
		if err != nil {
			return err
		}
		sp.files, sp.out = append(sp.files, f), append(sp.out, bufio.NewWriterSize(f, 64<<10))
		if err := os.Remove(f.Name()); err != nil {
			return err
		}
	}
	return nil
}

func (sp *spill) close() error {
	var errs []error
	for _, f := range sp.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

func (sp *spill) write(items map[key]*item) error {
	if !sp.used() {
		if err := sp.open(); err != nil {
			return err
		}
	}
	for k, it := range items { // in any order: reading joins
		sp.buf = appendItem(sp.buf[:0], k, it)
		h := fnv.New32a()
		h.Write(sp.buf[:spillKey])
		if _, err := sp.out[h.Sum32()%spillParts].Write(sp.buf); err != nil {
			return err
		}
	}
	return nil
}

func (sp *spill) read(part int) (map[key]*item, error) {
	if err := sp.out[part].Flush(); err != nil {
		return nil, err
	}
	if _, err := sp.files[part].Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	in := bufio.NewReaderSize(sp.files[part], 64<<10)
	items := map[key]*item{}
	for {
		k, it, err := readItem(in)
		if errors.Is(err, io.EOF) {
			return items, nil
		}
		if err != nil {
			return nil, err
		}
		was := items[k]
		if was == nil || mutant.On("what was spilled is replaced") {
			items[k] = it
			continue
		}
		was.torn = was.torn || it.torn
		was.series = min(was.series, it.series) // unnamed is the largest
		for s := range sides {
			if it.has[s] {
				was.join(s, it.value[s], it.seq[s])
			}
		}
	}
}

func appendItem(dst []byte, k key, it *item) []byte {
	dst = append(append(dst, byte(k.class)), k.inc[:]...)
	dst = binary.BigEndian.AppendUint64(dst, uint64(k.number))
	dst = binary.BigEndian.AppendUint64(dst, uint64(k.window.Width))
	dst = binary.BigEndian.AppendUint64(dst, uint64(k.window.Start))
	dst = binary.BigEndian.AppendUint32(dst, uint32(it.series))
	flags := byte(0)
	if it.torn {
		flags = tornBit
	}
	for s := range sides {
		if it.has[s] {
			flags |= 1 << s
		}
	}
	dst = append(dst, flags)
	for s := range sides {
		if !it.has[s] {
			continue
		}
		dst = binary.BigEndian.AppendUint64(dst, it.seq[s])
		dst = append(dst, byte(it.value[s].Kind), 0, 0, 0, 0)
		at := len(dst)
		dst = it.value[s].AppendBinary(dst)
		binary.BigEndian.PutUint32(dst[at-4:], uint32(len(dst)-at))
	}
	return dst
}

func readItem(in *bufio.Reader) (k key, it *item, err error) {
	var head [spillHead]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return k, nil, err
	}
	k.class = crdt.Class(head[0])
	copy(k.inc[:], head[1:])
	k.number = uint32(binary.BigEndian.Uint64(head[17:]))
	k.window = crdt.Window{Width: int64(binary.BigEndian.Uint64(head[25:])), Start: int64(binary.BigEndian.Uint64(head[33:]))}
	it = &item{series: reconcile.SeriesID(binary.BigEndian.Uint32(head[spillKey:])), torn: head[spillHead-1]&tornBit != 0}
	for s := range sides {
		if head[spillHead-1]&(1<<s) == 0 {
			continue
		}
		var about [13]byte
		if _, err := io.ReadFull(in, about[:]); err != nil {
			return k, nil, fmt.Errorf("cell cut short: %w", noEOF(err))
		}
		raw := make([]byte, binary.BigEndian.Uint32(about[9:]))
		if _, err := io.ReadFull(in, raw); err != nil {
			return k, nil, fmt.Errorf("value cut short: %w", noEOF(err))
		}
		it.has[s], it.seq[s] = true, binary.BigEndian.Uint64(about[:])
		if it.value[s], err = crdt.ParseValue(crdt.Kind(about[8]), raw, it.seq[s]); err != nil {
			return k, nil, err
		}
	}
	return k, it, nil
}

// noEOF keeps an end in the middle of a cell from being taken for the end.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
