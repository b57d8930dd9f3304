package archive

import (
	"encoding/binary"
	"hash/crc32"

	"meshd/crdt"
	"meshd/internal/mutant"
	"meshd/node"
	"meshd/replay"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// tally is what the end of a snapshot says of its parts, so that a reader knows whether it has read all of them: a log that was trimmed,
// or is damaged, may hold the end without some.
type tally struct{ parts, sum uint64 }

func (t *tally) add(message []byte) {
	t.parts++
	t.sum += uint64(crc32.Checksum(message, castagnoli))
}

func (t tally) appendBinary(b []byte) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, t.parts), t.sum)
}

func parseTally(b []byte) (t tally, ok bool) {
	if len(b) != 16 {
		return t, false
	}
	return tally{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}, true
}

// has reports whether t counted all that whole says, once or several times: a log may hold records again.
func (t tally) has(whole tally) bool {
	if whole.parts == 0 || t.parts == 0 {
		return t == whole
	}
	return t.parts%whole.parts == 0 && t.sum == t.parts/whole.parts*whole.sum
}

// snapshots finds out which snapshots of a log are whole.
type snapshots struct {
	read  map[writer]tally
	ended map[writer]tally
	whole map[[8]byte]uint32 // by writer, the generation of its last whole one
}

func newSnapshots() *snapshots {
	return &snapshots{read: map[writer]tally{}, ended: map[writer]tally{}, whole: map[[8]byte]uint32{}}
}

// add counts a record of the log.
func (s *snapshots) add(e *replay.Entry) {
	w, ok := parseKey(e.Key)
	switch {
	case !ok:
	case e.Kind == replay.KindSnapshotPart:
		t := s.read[w]
		t.add(e.Value)
		s.read[w] = t
	case e.Kind == replay.KindSnapshotEnd:
		if t, ok := parseTally(e.Value); ok {
			s.ended[w] = t
		}
	}
}

// judge is called when all of the log was counted.
func (s *snapshots) judge() {
	for w, t := range s.ended {
		if s.read[w].has(t) || mutant.On("snapshots whole by their end") {
			s.whole[w.ID] = max(s.whole[w.ID], w.Generation)
		}
	}
}

// contains reports whether a whole snapshot, later than the record, has what is in it.
func (s *snapshots) contains(w writer) bool { return w.Generation < s.whole[w.ID] }

// vouches reports whether a part of a snapshot may say how far an origin is held: the cells that make it true are other parts.
func (s *snapshots) vouches(w writer, d *node.Decoded) bool {
	if t, ok := s.ended[w]; ok && s.read[w].has(t) || mutant.On("parts of a snapshot vouch for others") {
		return true
	}
	f := d.Frame
	return f == nil || f.Stream != crdt.StreamLifetime || len(f.Cells) > 0
}
