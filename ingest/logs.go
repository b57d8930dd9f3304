package ingest

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"time"

	"meshd/node"
)

// LogsConfig configures what is read from log files.
type LogsConfig struct {
	Rules     []LogRule
	Positions string        // file that says how far each log was read; written by Logs alone
	Interval  time.Duration // between two looks at the files; default 500 ms
	Submit    Submitter
	Metrics   *Metrics
	Logger    *slog.Logger
}

const (
	defaultLogInterval = 500 * time.Millisecond
	// maxLogFiles are followed at once, with 64 KiB of buffer each at most.
	maxLogFiles = 1000
	// logGrace is how many rounds a file is read on that was renamed to a name that no rule has, or deleted.
	logGrace = 120
	// logRetry is how long a batch waits that the node did not take.
	logRetry = time.Second
)

// Logs follows files and counts their lines as events, each line once.
//
// A line's token is the file and the offset behind the line, so a line that is read again after a crash is a duplicate
// at the node: the file of positions only saves reading, and may be lost. A file is told by its inode, the time it was
// made and its first line: it may be renamed, rotated away while it is written, or emptied and begun again (which is
// seen if it got shorter or its first line differs). A copy is another file and counts again.
//
// A line that matches no rule is counted as ignored. One that matches and is no good event is refused, as is one longer
// than 64 KiB, and not read again. A line without its end waits for it. While the node takes nothing, reading waits:
// nothing is lost but what is deleted meanwhile. What is written to a file after it got a name that no rule has is read
// for a minute, and not after a restart: let a rule's path match the names that files are rotated to.
type Logs struct {
	cfg       LogsConfig
	rules     []*logRule
	meter     *meter
	files     []*logFile
	positions *logPositions
	refused   map[string]bool // paths that could not be opened, logged once
	examples  *examples       // of what is refused
}

// NewLogs reads the positions. The files are looked for when Run begins.
func NewLogs(cfg LogsConfig) (*Logs, error) {
	if cfg.Interval == 0 {
		cfg.Interval = defaultLogInterval
	}
	rules, err := compileLogRules(cfg.Rules)
	if err != nil {
		return nil, err
	}
	return &Logs{
		cfg: cfg, rules: rules, meter: cfg.Metrics.meter("logs"), refused: map[string]bool{},
		examples:  &examples{protocol: "logs", log: cfg.Logger},
		positions: loadLogPositions(cfg.Positions, cfg.Logger),
	}, nil
}

// Run follows the files until ctx ends.
func (l *Logs) Run(ctx context.Context) error {
	tick := time.NewTicker(l.cfg.Interval)
	defer tick.Stop()
	for {
		l.round(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			for _, f := range l.files {
				f.f.Close()
			}
			return nil
		}
	}
}

// round looks for files and reads all that is new in them.
func (l *Logs) round(ctx context.Context) {
	l.find()
	for ctx.Err() == nil {
		more := false
		for _, f := range l.files {
			if ctx.Err() == nil && l.read(ctx, f) {
				more = true
			}
		}
		if !more {
			break
		}
	}
	l.drop()
	l.positions.save()
}

// find opens the files that the rules lead to, and notes which of the open ones they lead to no more.
func (l *Logs) find() {
	for _, f := range l.files {
		f.gone++
	}
	for _, r := range l.rules {
		for _, path := range r.glob() {
			f := l.at(path)
			if f == nil {
				continue
			}
			if f.gone > 0 || f.path != path { // the first rule of this round, or another name of the same file
				f.gone, f.path, f.rules = 0, path, nil
			}
			f.rules = append(f.rules, r)
		}
	}
}

// at returns the file that a path leads to, nil if it cannot be read.
func (l *Logs) at(path string) *logFile {
	info, err := os.Stat(path)
	if err == nil {
		for _, f := range l.files {
			if os.SameFile(f.info, info) {
				return f
			}
		}
	}
	var f *logFile
	if err == nil && len(l.files) >= maxLogFiles {
		err = errors.New("too many log files at once")
	}
	if err == nil {
		f, err = openLog(path)
	}
	if err != nil {
		if !l.refused[path] && !errors.Is(err, os.ErrNotExist) {
			l.refused[path] = true
			l.meter.rejected[reasonOther].Inc()
			l.cfg.Logger.Warn("cannot follow a log file", "path", path, "err", err)
		}
		return nil
	}
	delete(l.refused, path)
	l.files = append(l.files, f)
	return f
}

// drop closes files that no path has led to for a minute: until then what a writer adds to a file that was renamed, or
// deleted, is read.
func (l *Logs) drop() {
	l.files = slices.DeleteFunc(l.files, func(f *logFile) bool {
		if f.gone < logGrace {
			return false
		}
		f.f.Close()
		return true
	})
}

// read takes one buffer of lines and reports whether there may be more.
func (l *Logs) read(ctx context.Context, f *logFile) (more bool) {
	known, err := f.identify(l.positions.find)
	if err == nil && known {
		more, err = f.fill()
	}
	if err != nil {
		l.cfg.Logger.Warn("cannot read a log file: tried again", "path", f.path, "err", err)
		return false
	}
	if !more {
		return false
	}
	l.meter.packets.Inc()
	lines := f.lines()
	if len(lines) == 0 {
		return true
	}
	took := l.submit(ctx, l.items(f, lines))
	l.examples.show(time.Now())
	if !took {
		return false
	}
	f.pos.Offset, f.pos.Path = lines[len(lines)-1].end, f.path
	l.positions.put(f.pos)
	return true
}

// items returns the events of lines.
func (l *Logs) items(f *logFile, lines []logLine) []node.Item {
	var items []node.Item
	now := time.Now()
	for _, line := range lines {
		l.meter.lines.Inc()
		l.meter.bytes.Add(float64(len(line.text)))
		if line.tooLong {
			l.meter.rejected[reasonTooLong].Inc()
			l.examples.noteText(reasonTooLong, line.text)
			continue
		}
		found := false
		for _, r := range f.rules {
			it, clamped, matched, err := r.item(line.text, now, node.Token{Source: f.pos.source(), Seq: uint64(line.end), Kept: true})
			found = found || matched
			switch {
			case err != nil:
				l.meter.rejected[reasonOf(err)].Inc()
				l.examples.noteText(reasonOf(err), line.text)
			case matched:
				items = append(items, it)
				if clamped {
					l.meter.clamped.Inc()
				}
			}
		}
		if !found {
			l.meter.ignored.WithLabelValues("unmatched").Inc()
		}
	}
	return items
}

// submit hands items to the node, again and again until it takes them. It reports false if ctx ended before: then they
// are read again after the next start.
func (l *Logs) submit(ctx context.Context, items []node.Item) bool {
	l.meter.samples.Add(float64(len(items)))
	for len(items) > 0 {
		// The answer is waited for, also when ctx has ended: the node ends after its doors.
		res := l.cfg.Submit.Submit(context.WithoutCancel(ctx), &node.Batch{Items: items})
		if res.Err == nil {
			for _, r := range res.Rejected {
				l.meter.rejected[reasonOf(r.Err)].Inc()
				l.examples.noteSeries(reasonOf(r.Err), items[r.Index].Series)
			}
			l.meter.commits.Inc()
			l.meter.stored.Add(float64(res.Accepted))
			return true
		}
		l.meter.deferred.Inc()
		pause(ctx, logRetry)
		if ctx.Err() != nil {
			return false
		}
	}
	return true
}
