package ingest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/cespare/xxhash/v2"

	"meshd/internal/mutant"
)

const (
	// maxLogLine is the longest line that is read; longer ones are refused.
	maxLogLine = 64 << 10
	// headBytes of the first line tell a file from another with the same inode.
	headBytes = 1024
)

// logFile is a file that is followed, by what it is and not by what it is called: it may be renamed meanwhile.
type logFile struct {
	f     *os.File
	info  os.FileInfo
	path  string // when last seen
	rules []*logRule

	key   string // what the file system knows it by: see fileKey
	pos   logPosition
	buf   []byte // read, not yet taken
	base  int64  // offset of buf
	skip  bool   // within a line that is too long
	start string // of that line
	gone  int    // rounds since a path that is followed led to it
}

// logPosition is how far a file was read.
type logPosition struct {
	Key    string `json:"key"`
	Head   uint64 `json:"head"`           // hash of the first line's beginning
	Life   int    `json:"life"`           // how often the file was emptied and begun again
	Offset int64  `json:"offset"`         // behind the last line that is on the node's disk
	Seen   int64  `json:"seen"`           // unix seconds
	Path   string `json:"path,omitempty"` // for people
}

// source is the name of the file's stream of tokens. It does not depend on the name of the file nor on the number of
// its device, both of which change in its life.
func (p *logPosition) source() string {
	if mutant.On("emptied log keeps its tokens") {
		return fmt.Sprintf("log:%s:%x", p.Key, p.Head)
	}
	return fmt.Sprintf("log:%s:%x:%d", p.Key, p.Head, p.Life)
}

// openLog opens a file to follow. It is not known by then what it is: see identify.
func openLog(path string) (*logFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", path)
	}
	var key string
	if err == nil {
		key, err = fileKey(f, info)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &logFile{f: f, info: info, path: path, key: key}, nil
}

// identify looks at the beginning of the file: is it what pos says, another life of it, or a file that is new? known
// finds the position that was kept. It reports whether there is a first line to tell by.
func (l *logFile) identify(known func(key string) (logPosition, bool)) (bool, error) {
	head := make([]byte, headBytes)
	n, err := l.f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	head = head[:n]
	if i := bytes.IndexByte(head, '\n'); i >= 0 {
		head = head[:i+1]
	} else if n < headBytes {
		return false, nil
	}
	info, err := l.f.Stat()
	if err != nil {
		return false, err
	}
	hash := xxhash.Sum64(head)
	if l.pos.Key == "" {
		if p, ok := known(l.key); ok {
			l.pos = p
		} else {
			l.pos = logPosition{Key: l.key, Head: hash}
		}
		l.base = l.pos.Offset
	}
	if l.pos.Head != hash || info.Size() < l.pos.Offset { // emptied, and begun again
		l.pos = logPosition{Key: l.key, Head: hash, Life: l.pos.Life + 1}
		l.buf, l.base, l.skip, l.start = l.buf[:0], 0, false, ""
	}
	return true, nil
}

// fill reads on, behind what is in buf, and reports whether there was more.
func (l *logFile) fill() (more bool, err error) {
	if cap(l.buf) == 0 {
		l.buf = make([]byte, 0, maxLogLine)
	}
	n, err := l.f.ReadAt(l.buf[len(l.buf):cap(l.buf)], l.base+int64(len(l.buf)))
	l.buf = l.buf[:len(l.buf)+n]
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return n > 0, err
}

// logLine is a complete line, and where it ends.
type logLine struct {
	text    string // of one that is too long the beginning
	end     int64  // offset
	tooLong bool
}

// lines takes the complete lines off buf. A line that does not fit is skipped to its end.
func (l *logFile) lines() (all []logLine) {
	rest := l.buf
	for {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			break
		}
		l.base += int64(i) + 1
		line := logLine{end: l.base, tooLong: l.skip, text: l.start}
		if !l.skip {
			line.text = string(bytes.TrimSuffix(rest[:i], []byte("\r")))
		}
		all = append(all, line)
		rest, l.skip, l.start = rest[i+1:], false, ""
	}
	if len(rest) == cap(l.buf) { // a line as long as the buffer
		if l.base += int64(len(rest)); !l.skip {
			l.start = string(rest[:min(len(rest), maxExampleBytes+1)])
		}
		rest, l.skip = nil, true
	}
	l.buf = append(l.buf[:0], rest...)
	return all
}

// glob returns the regular files that a rule's path leads to.
func (r *logRule) glob() []string {
	paths, _ := filepath.Glob(r.Path) // compile has tried the pattern
	return paths
}
