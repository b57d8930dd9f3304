package node

import (
	"encoding/binary"
	"fmt"
	"slices"

	"meshd/crdt"
	"meshd/internal/mutant"
	"meshd/internal/wire"
)

// ReadSnapshot calls f for all that a disk holds of cells, and of what operators decided: drops of series come first, because they
// decide what of the rest counts. r must show one instant. It returns the last record of the log that is contained, 0 if
// there is none. Publications are not contained.
func ReadSnapshot(r Reader, region string, f func(ArchiveRecord) error) (lsn uint64, err error) {
	s := &snapshotReader{r: r, region: region, f: f, heads: map[[17]byte]crdt.Progress{}}
	for _, step := range []func() error{
		func() error { return ReadDecisions(r, f) }, s.forgotten, s.progress, s.cells, s.log,
	} {
		if err := step(); err != nil {
			return 0, fmt.Errorf("node: read a snapshot: %w", err)
		}
	}
	return s.lsn, nil
}

// ReadDecisions calls f for what operators decided: drops of series, removals of nodes, corrections, the mesh's configuration. They are few.
func ReadDecisions(r Reader, f func(ArchiveRecord) error) error {
	s := &snapshotReader{r: r, f: f}
	for _, step := range []func() error{s.messages(prefixDrop), s.messages(prefixRemoval), s.messages(prefixCorrection), s.config} {
		if err := step(); err != nil {
			return fmt.Errorf("node: read what operators decided: %w", err)
		}
	}
	return nil
}

type snapshotReader struct {
	r      Reader
	region string
	f      func(ArchiveRecord) error
	heads  map[[17]byte]crdt.Progress // of the origins whose cells were not met yet; 60 bytes each, cold ones too
	lsn    uint64
}

// messages returns what passes on messages as they are on disk.
func (s *snapshotReader) messages(prefix string) func() error {
	return func() error {
		return s.r.Scan([]byte(prefix), func(_, value []byte) error { return s.f(ArchiveRecord{Message: slices.Clone(value)}) })
	}
}

func (s *snapshotReader) config() error {
	return s.r.Scan([]byte(prefixConfig), func(_, value []byte) error {
		m, err := wire.ParseStoredConfig(value)
		if err != nil {
			return err
		}
		m.Full = true
		return s.f(ArchiveRecord{Message: encodeMessage(m)})
	})
}

// forgotten passes on the records of what is forgotten with the sums of its cells, as one hub sends them to another.
func (s *snapshotReader) forgotten() error {
	var records []*wire.Forgotten
	err := s.r.Scan([]byte(prefixForgot), func(_, value []byte) error {
		parsed, err := wire.ParseMessage(slices.Clone(value))
		if m, ok := parsed.(*wire.Forgotten); ok && len(m.Incs) > 0 {
			records = append(records, m)
		}
		return err
	})
	if err != nil {
		return err
	}
	if mutant.On("snapshot without what is forgotten") {
		return nil
	}
	for _, m := range records {
		o := sumsOf(s.region, m.Node)
		var frames [][]byte
		if err := s.r.Scan(originKey(prefixCells, o), func(_, value []byte) error {
			frames = append(frames, slices.Clone(value))
			return nil
		}); err != nil {
			return err
		}
		m.Parts = uint32(max(1, len(frames)))
		for m.Part = 0; m.Part < m.Parts; m.Part++ {
			if len(frames) > 0 {
				m.Frame = frames[m.Part]
			}
			if err := s.f(ArchiveRecord{Of: archiveKey(o), Message: encodeMessage(m)}); err != nil {
				return err
			}
			m.Incs = nil
		}
	}
	return nil
}

// progress reads how far each origin was held when its cells were written.
func (s *snapshotReader) progress() error {
	return s.r.Scan([]byte(prefixProgress), func(key, value []byte) error {
		p, err := wire.ParseStoredProgress(value)
		if err == nil && !p.Dropped {
			s.heads[[17]byte(key[len(prefixProgress):])] = p.Progress[crdt.StreamLifetime]
		}
		return err
	})
}

// cells passes on what was written whole of each origin, and behind it a frame that says so: it moves the cursor over all of it.
// Sums of what is forgotten have no progress, and went with their record.
func (s *snapshotReader) cells() error {
	var of [17]byte
	var origin crdt.Origin
	end := func() error {
		p, ok := s.heads[of]
		if delete(s.heads, of); !ok || p.Cursor == 0 || mutant.On("snapshot without progress") {
			return nil
		}
		f := &wire.Frame{Origin: origin, To: p.Cursor, Head: max(p.Cursor, p.Owed)}
		return s.emit(of, encode(f).raw)
	}
	err := s.r.Scan([]byte(prefixCells), func(key, value []byte) error {
		next := [17]byte(key[len(prefixCells):])
		if _, ok := s.heads[next]; !ok {
			return nil
		}
		if next != of {
			if err := end(); err != nil {
				return err
			}
			head, err := wire.ParseHead(value)
			if err != nil {
				return err
			}
			of, origin = next, head.Origin
		}
		return s.emit(of, value)
	})
	if err != nil {
		return err
	}
	return end()
}

// log passes on what came behind that.
func (s *snapshotReader) log() error {
	a := &archiveReader{r: s.r, f: s.f}
	return s.r.Scan([]byte(prefixLog), func(key, value []byte) error {
		s.lsn = binary.BigEndian.Uint64(key[len(prefixLog):])
		return eachLogged(s.lsn, value, a.frame)
	})
}

func (s *snapshotReader) emit(of [17]byte, raw []byte) error {
	return s.f(ArchiveRecord{Of: of, Message: encodeMessage(&wire.FrameMsg{Raw: raw})})
}
