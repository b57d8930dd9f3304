package node

import (
	"encoding/binary"
	"errors"
	"fmt"

	"meshd/crdt"
	"meshd/internal/wire"
)

// ArchiveRecord is a message that a Replay takes, and whom it is about.
type ArchiveRecord struct {
	Of      [17]byte // class and incarnation; zero: the mesh
	Message []byte   // the caller's

	Publication bool // it is a frame of windows
}

// ErrUnarchived says that records were deleted before they were read: a snapshot has what they said.
var ErrUnarchived = errors.New("records of the log are gone that were not archived: take a snapshot")

// archiveReader collects what is read until it is enough.
type archiveReader struct {
	r    Reader
	f    func(ArchiveRecord) error
	most int
}

// ReadArchive calls f for what the log and the publications hold behind a position, some bytes of it, and returns the position
// behind that. It stays where it was when there is nothing. lost is how many publications were deleted unread.
func ReadArchive(r Reader, at ArchivePosition, most int, f func(ArchiveRecord) error) (next ArchivePosition, lost uint64, err error) {
	a := &archiveReader{r, f, most}
	next = at
	for next.LSN, err = a.log(at.LSN); err == nil && a.most > 0; {
		from := next.Tag
		var found bool
		if found, err = a.publication(from + 1); err != nil {
			break
		}
		if next.Tag++; found {
			continue
		}
		next.Tag = from
		first, ok, e := firstFrom(r, prefixWindowFrame)
		if err = e; !ok || first <= from+1 {
			break
		}
		lost += first - from - 1
		next.Tag = first - 1
	}
	if err != nil {
		return at, 0, fmt.Errorf("node: read what is to be archived: %w", err)
	}
	return next, lost, nil
}

// log reads records behind lsn and returns the last one that was read.
func (a *archiveReader) log(lsn uint64) (uint64, error) {
	for a.most > 0 {
		found := false
		err := a.r.Scan(logKey(lsn+1), func(_, value []byte) error {
			found = true
			a.most -= len(value)
			return eachLogged(lsn+1, value, a.frame)
		})
		if err != nil {
			return lsn, err
		}
		if found {
			lsn++
			continue
		}
		if first, ok, err := firstFrom(a.r, prefixLog); err != nil || !ok || first <= lsn+1 {
			return lsn, err
		}
		return lsn, ErrUnarchived
	}
	return lsn, nil
}

func (a *archiveReader) publication(tag uint64) (found bool, err error) {
	err = a.r.Scan(windowFrameKey(tag), func(_, value []byte) error {
		found = true
		a.most -= len(value)
		raw := value[windowFrameBytes:]
		head, err := wire.ParseHead(raw)
		if err != nil {
			return err
		}
		return a.f(ArchiveRecord{Of: archiveKey(head.Origin), Message: encodeMessage(&wire.FrameMsg{Raw: raw}), Publication: true})
	})
	return found, err
}

// frame takes a frame of the log. What is open of windows is published when it is over.
func (a *archiveReader) frame(raw []byte) error {
	head, err := wire.ParseHead(raw)
	if err != nil || head.Stream == crdt.StreamWindow {
		return err
	}
	return a.f(ArchiveRecord{Of: archiveKey(head.Origin), Message: encodeMessage(&wire.FrameMsg{Raw: raw})})
}

func archiveKey(o crdt.Origin) (k [17]byte) {
	copy(k[:], originKey("", o))
	return k
}

// firstFrom returns the lowest number behind a prefix.
func firstFrom(r Reader, prefix string) (n uint64, ok bool, err error) {
	err = r.Scan([]byte(prefix), func(key, _ []byte) error {
		n, ok = binary.BigEndian.Uint64(key[len(key)-8:]), true
		return errEnough
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return n, ok, err
}
