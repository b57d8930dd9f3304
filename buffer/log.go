package buffer

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
)

// badgerLog passes Badger's log on and remembers its first error: Badger skips a damaged table with no more than a
// line in its log, and Open must not.
type badgerLog struct {
	to    *slog.Logger
	mu    sync.Mutex
	first string
}

func (l *badgerLog) firstError() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.first
}

func (l *badgerLog) Errorf(format string, args ...any) {
	l.mu.Lock()
	if l.first == "" {
		l.first = strings.TrimSpace(fmt.Sprintf(format, args...))
	}
	l.mu.Unlock()
	l.log(slog.LevelError, format, args)
}

func (l *badgerLog) Warningf(format string, args ...any) { l.log(slog.LevelWarn, format, args) }
func (l *badgerLog) Infof(format string, args ...any)    { l.log(slog.LevelDebug, format, args) }
func (l *badgerLog) Debugf(format string, args ...any)   { l.log(slog.LevelDebug-1, format, args) }

func (l *badgerLog) log(level slog.Level, format string, args []any) {
	ctx := context.Background()
	if l.to.Enabled(ctx, level) {
		l.to.Log(ctx, level, "badger: "+strings.TrimSpace(fmt.Sprintf(format, args...)))
	}
}
