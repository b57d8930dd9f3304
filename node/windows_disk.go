package node

import (
	"encoding/binary"
	"errors"
	"fmt"

	"meshd/crdt"
	"meshd/internal/wire"
)

// Windows are on disk by their own keys; see disk.go.
//
//	w/ tag (8)                 a published frame: wall clock when it was stored (8), the key of its index behind "n/", the frame
//	n/ class inc number (8)    where that frame is: tag (8)
//	v/ class inc               how long the stream of an origin is
//	q/ inc part (4)            open windows of a process at the last checkpoint, as frames of the log
const (
	prefixWindowFrame    = "w/"
	prefixWindowIndex    = "n/"
	prefixWindowProgress = "v/"
	prefixOpenWindows    = "q/"
)

const (
	indexBytes       = 1 + 16 + 8
	windowFrameBytes = 8 + indexBytes // before the frame itself
	// readFrameBytes and readFrames bound what one read of stored frames brings: an eighth of what may be unacknowledged.
	readFrameBytes = 256 << 10
	readFrames     = 64
)

func windowIndex(o crdt.Origin, number uint64) []byte {
	return binary.BigEndian.AppendUint64(originKey(prefixWindowIndex, o), number)
}

func windowFrameKey(tag uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte(prefixWindowFrame), tag)
}

func windowOps(tag uint64, wall int64, o crdt.Origin, number uint64, raw []byte) []Op {
	index := windowIndex(o, number)
	value := make([]byte, 0, windowFrameBytes+len(raw))
	value = binary.BigEndian.AppendUint64(value, uint64(wall))
	value = append(append(value, index[len(prefixWindowIndex):]...), raw...)
	return []Op{
		{Key: windowFrameKey(tag), Value: value},
		{Key: index, Value: binary.BigEndian.AppendUint64(nil, tag)},
	}
}

// op returns the write of how long a stream is. The tag stands where other streams have what is owed.
func (s *windowOrigin) op() Op {
	p := wire.StoredProgress{Origin: s.origin}
	p.Progress[crdt.StreamWindow] = crdt.Progress{Cursor: s.cursor, Owed: s.tag, Covered: s.totaled}
	rec, err := wire.AppendStoredProgress(nil, &p)
	if err != nil {
		panic(fmt.Sprintf("node: window progress of %s does not encode: %v", s.origin, err))
	}
	return Op{Key: originKey(prefixWindowProgress, s.origin), Value: rec}
}

// scanFrom calls f for the keys under prefix that end in 8 bytes, big endian, from one number on.
func scanFrom(r Reader, prefix []byte, from uint64, f func(key, value []byte) error) error {
	first := binary.BigEndian.AppendUint64(nil, from)
	for keep := len(first); keep >= 0; keep-- {
		p := append(append([]byte(nil), prefix...), first[:keep]...)
		if keep == len(first) { // the number itself
			if err := r.Scan(p, f); err != nil {
				return err
			}
			continue
		}
		for b := int(first[keep]) + 1; b < 256; b++ { // those that agree with it on keep bytes and are greater in the next
			if err := r.Scan(append(p, byte(b)), f); err != nil {
				return err
			}
		}
	}
	return nil
}

// ReadFrames reads stored frames of a window stream: what a FrameRead wants to know.
func ReadFrames(r Reader, want FrameRead) (out FramesRead) {
	out.FrameRead = want
	for size := 0; len(out.Frames) < readFrames && size < readFrameBytes && out.Err == nil; {
		raw, err := readFrame(r, want.Origin, want.After+1+uint64(len(out.Frames)))
		if out.Err = err; err != nil || raw == nil {
			break
		}
		out.Frames, size = append(out.Frames, raw), size+len(raw)
	}
	if len(out.Frames) == 0 && out.Err == nil {
		err := r.Scan(originKey(prefixWindowIndex, want.Origin), func(key, _ []byte) error {
			out.First = binary.BigEndian.Uint64(key[len(key)-8:])
			return errEnough
		})
		if !errors.Is(err, errEnough) {
			out.Err = err
		}
	}
	return out
}

// readFrame reads one stored frame, nil if it is not there.
func readFrame(r Reader, o crdt.Origin, number uint64) (raw []byte, err error) {
	var tag uint64
	err = r.Scan(windowIndex(o, number), func(_, value []byte) error {
		tag = binary.BigEndian.Uint64(value)
		return nil
	})
	if err != nil || tag == 0 {
		return nil, err
	}
	err = r.Scan(windowFrameKey(tag), func(_, value []byte) error {
		raw = append([]byte(nil), value[windowFrameBytes:]...)
		return nil
	})
	return raw, err
}

// ReadPublished reads the stored frames with a tag above after, in order: what a history needs to be told again.
func (c *Core) ReadPublished(r Reader, after uint64, f func(Published)) error {
	return scanFrom(r, []byte(prefixWindowFrame), after+1, func(key, value []byte) error {
		fr, err := wire.ParseFrame(value[windowFrameBytes:])
		if err != nil {
			return fmt.Errorf("node: published frame: %w", err)
		}
		f(c.publishedOf(storedFrame{frame: fr, tag: binary.BigEndian.Uint64(key[len(key)-8:])}))
		return nil
	})
}
