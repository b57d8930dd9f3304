package client

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"

	"meshd/internal/mutant"
	"meshd/internal/report"
)

// spool is Config.BufferDir: reports on disk, each bound to the session under which it will be sent before it is written. So a
// file that is sent again, by this process or a later one or from a copy of the directory, is a duplicate at the node that
// has it, and no other node gets it.
//
// A session on disk is a chain of files, SESSION-NUMBER with the suffix .report: not acknowledged, or .done: the last one that
// is. They say which number comes next, so a .done goes only when there is a later one, or with its whole chain. The file is
//
//	8 bytes  xxhash of all that follows
//	8 bytes  when it was taken, ms since 1970
//	2 bytes  length of the node's address
//	         the address; then the report's bytes, none of number 0: a session that was opened
type spool struct {
	dir    string
	limit  int64 // bytes
	used   int64
	lock   *os.File
	chains []*chain
	fault  func() // of tests: the process may end before any change of the disk
}

// chain is a session that is on disk.
type chain struct {
	url     string
	session [16]byte
	done    uint64   // number of the last report that is acknowledged
	pending []stored // in order of their numbers
	born    time.Time
	fails   int
	until   time.Time
	bad     []string // files that cannot be read: the number that comes next is not known, so nothing is added
}

type stored struct {
	seq  uint64
	size int64
}

const (
	pendingSuffix, doneSuffix = ".report", ".done"
	headerBytes               = 8 + 8 + 2
	// blockBytes is what a small file takes on disk, so that a buffer full of small reports is bounded too.
	blockBytes = 4 << 10
)

// errBufferFull says that what is counted stays in memory.
var errBufferFull = errors.New("the buffer is full: what is counted adds up in memory, and is lost if the process dies")

// openSpool locks a directory and reads what it has. bad are files that cannot be read: their contents may lack in totals.
func openSpool(dir string, limit int64) (s *spool, bad []error, err error) {
	s = &spool{dir: dir, limit: limit, fault: func() {}}
	if s.lock, err = lockDir(dir); err != nil {
		return nil, nil, fmt.Errorf("client: buffer %s: %w", dir, err)
	}
	entries, err := os.ReadDir(dir) // sorted by name: by session, then by number
	if err != nil {
		_ = unlockDir(s.lock)
		return nil, nil, fmt.Errorf("client: buffer: %w", err)
	}
	for _, e := range entries {
		if err := s.load(e); err != nil {
			bad = append(bad, err)
		}
	}
	return s, bad, nil
}

func (s *spool) close() {
	if s != nil {
		_ = unlockDir(s.lock) // the end of the process does the same
	}
}

// load takes one file into its chain.
func (s *spool) load(e fs.DirEntry) error {
	name, pending := strings.CutSuffix(e.Name(), pendingSuffix)
	if !pending {
		var done bool
		if name, done = strings.CutSuffix(e.Name(), doneSuffix); !done {
			return os.Remove(filepath.Join(s.dir, e.Name())) // half a file: it never got its name
		}
	}
	var c chain
	id, number, _ := strings.Cut(name, "-")
	raw, err := hex.DecodeString(id)
	seq, numErr := hex.DecodeString(number)
	if err != nil || numErr != nil || len(raw) != len(c.session) || len(seq) != 8 {
		return fmt.Errorf("buffer: %s is no file of a client: remove it", e.Name())
	}
	c.session = [16]byte(raw)
	n := binary.BigEndian.Uint64(seq)
	at := slices.IndexFunc(s.chains, func(o *chain) bool { return o.session == c.session })
	if at < 0 {
		s.chains = append(s.chains, &c)
		at = len(s.chains) - 1
	}
	got := s.chains[at]
	f, err := s.read(e.Name())
	if err != nil {
		got.bad = append(got.bad, e.Name())
		return err
	}
	got.url = f.url
	if !pending {
		if got.done < n { // the one before was about to go
			_ = os.Remove(filepath.Join(s.dir, got.name(got.done, doneSuffix)))
		}
		if !mutant.On("buffer forgets its number") {
			got.done = max(got.done, n)
		}
		return nil
	}
	got.pending = append(got.pending, stored{n, f.size})
	s.used += f.size
	return nil
}

// file is the contents of one.
type file struct {
	url  string
	at   time.Time
	body []byte
	size int64 // as it counts for the limit
}

func (s *spool) read(name string) (*file, error) {
	b, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		return nil, fmt.Errorf("buffer: %w", err)
	}
	f := &file{size: max(int64(len(b)), blockBytes)}
	if len(b) < headerBytes || binary.BigEndian.Uint64(b) != xxhash.Sum64(b[8:]) {
		return nil, fmt.Errorf("buffer: %s is damaged: totals may lack what it has", name)
	}
	f.at = time.UnixMilli(int64(binary.BigEndian.Uint64(b[8:])))
	n := int(binary.BigEndian.Uint16(b[16:]))
	if n > len(b)-headerBytes {
		return nil, fmt.Errorf("buffer: %s is damaged: totals may lack what it has", name)
	}
	f.url, f.body = string(b[headerBytes:headerBytes+n]), b[headerBytes+n:]
	return f, nil
}

func (c *chain) name(seq uint64, suffix string) string {
	return fmt.Sprintf("%x-%016x%s", c.session, seq, suffix)
}

// last is the number of the last report of a chain, sent or not.
func (c *chain) last() uint64 {
	if n := len(c.pending); n > 0 {
		return c.pending[n-1].seq
	}
	return c.done
}

// begin makes a chain of a session that a node has just opened.
func (s *spool) begin(url string, session [16]byte, now time.Time) (*chain, error) {
	c := &chain{url: url, session: session, born: now}
	if err := s.write(c, c.name(0, doneSuffix), now, nil); err != nil {
		return nil, err
	}
	s.chains = append(s.chains, c)
	return c, nil
}

// put appends a report to a chain. It is on disk then, and belongs to the chain's node.
func (s *spool) put(c *chain, b *batch) error {
	seq := c.last() + 1
	body, err := report.Append(nil, &report.Report{Session: c.session, Prev: c.last(), Seq: seq, Items: b.items})
	if err != nil {
		return fmt.Errorf("%w: %w", errNever, err)
	}
	size := max(int64(headerBytes+len(c.url)+len(body)), blockBytes)
	if s.used+size > s.limit && !mutant.On("buffer without a bound") {
		return errBufferFull
	}
	if err := s.write(c, c.name(seq, pendingSuffix), b.at, body); err != nil {
		return err
	}
	c.pending = append(c.pending, stored{seq, size})
	s.used += size
	return nil
}

// hold writes down a report that was sent under a session of this process and may have arrived.
func (s *spool) hold(n *home, b *batch) error {
	body, err := report.Append(nil, &report.Report{Session: n.session, Prev: n.last, Seq: n.last + 1, Items: b.items})
	if err != nil {
		return err
	}
	c := &chain{url: n.url, session: n.session}
	return s.write(c, c.name(n.last+1, pendingSuffix), b.at, body)
}

// release is the end of hold: nobody needs to know any more.
func (s *spool) release(n *home, seq uint64) error {
	c := &chain{session: n.session}
	return s.remove(c.name(seq, pendingSuffix))
}

// acknowledged notes that the node has the first pending report of a chain.
func (s *spool) acknowledged(c *chain) error {
	first := c.pending[0]
	before := c.done
	s.fault()
	if err := os.Rename(filepath.Join(s.dir, c.name(first.seq, pendingSuffix)), filepath.Join(s.dir, c.name(first.seq, doneSuffix))); err != nil {
		return fmt.Errorf("buffer: %w", err)
	}
	if err := s.sync(); err != nil {
		return err
	}
	c.pending, c.done = c.pending[1:], first.seq
	s.used -= first.size
	if err := s.remove(c.name(before, doneSuffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// drop forgets a chain and the reports that it still has.
func (s *spool) drop(c *chain) (err error) {
	s.chains = slices.DeleteFunc(s.chains, func(o *chain) bool { return o == c })
	for _, p := range slices.Backward(c.pending) { // the first one last: what is left after a crash is refused by the node
		s.used -= p.size
		err = cmp.Or(s.remove(c.name(p.seq, pendingSuffix)), err)
	}
	c.pending = nil
	for _, name := range append(c.bad, c.name(c.done, doneSuffix)) {
		if e := s.remove(name); !errors.Is(e, fs.ErrNotExist) {
			err = cmp.Or(err, e)
		}
	}
	return err
}

// write makes a file under a name, whole or not at all.
func (s *spool) write(c *chain, name string, at time.Time, body []byte) error {
	b := make([]byte, 8, headerBytes+len(c.url)+len(body))
	b = binary.BigEndian.AppendUint64(b, uint64(at.UnixMilli()))
	b = binary.BigEndian.AppendUint16(b, uint16(len(c.url)))
	b = append(append(b, c.url...), body...)
	binary.BigEndian.PutUint64(b, xxhash.Sum64(b[8:]))
	s.fault()
	part := filepath.Join(s.dir, name+".part")
	f, err := os.OpenFile(part, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("buffer: %w", err)
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("buffer: %w", errors.Join(err, os.Remove(part)))
	}
	s.fault()
	if err := os.Rename(part, filepath.Join(s.dir, name)); err != nil {
		return fmt.Errorf("buffer: %w", err)
	}
	return s.sync()
}

func (s *spool) remove(name string) error {
	s.fault()
	if err := os.Remove(filepath.Join(s.dir, name)); err != nil {
		return fmt.Errorf("buffer: %w", err)
	}
	return s.sync()
}

// sync makes the names in the directory durable.
func (s *spool) sync() error {
	if err := s.lock.Sync(); err != nil {
		return fmt.Errorf("buffer: %w", err)
	}
	return nil
}
