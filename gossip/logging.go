package gossip

import (
	"bytes"
	"log/slog"
	"sync"
	"time"
)

// serfLog carries Serf's lines into the structured log, one level lower than Serf thinks of them: its warnings are about
// peers that are away, which membership reports anyway.
type serfLog struct{ log *slog.Logger }

// Write implements io.Writer for package log, which calls it once a line.
func (l *serfLog) Write(line []byte) (int, error) {
	text := string(bytes.TrimSpace(line))
	if bytes.Contains(line, []byte("[ERR]")) {
		l.log.Info(text)
	} else {
		l.log.Debug(text)
	}
	return len(line), nil
}

// quiet lets one warning a second through: peers must not be able to fill a disk with them. Each is counted elsewhere.
type quiet struct {
	mu   sync.Mutex
	last time.Time
}

func (q *quiet) warn(log *slog.Logger, msg string, args ...any) {
	q.mu.Lock()
	now := time.Now()
	ok := now.Sub(q.last) >= time.Second
	if ok {
		q.last = now
	}
	q.mu.Unlock()
	if ok {
		log.Warn(msg, args...)
	} else {
		log.Debug(msg, args...)
	}
}
