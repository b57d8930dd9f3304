package ingest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"meshd/node"
)

// tokenNode is a fakeNode that remembers tokens as a node does: per source the highest seq and those shortly before.
type tokenNode struct {
	*fakeNode
	high map[string]uint64
	seen map[node.Token]bool
}

func newTokenNode() *tokenNode {
	return &tokenNode{fakeNode: newFakeNode(), high: map[string]uint64{}, seen: map[node.Token]bool{}}
}

func (n *tokenNode) Submit(ctx context.Context, b *node.Batch) node.Result {
	const window = 4096
	var fresh node.Batch
	duplicates := 0
	for _, it := range b.Items {
		if n.seen[it.Token] || it.Token.Seq+window <= n.high[it.Token.Source] {
			duplicates++
			continue
		}
		fresh.Items = append(fresh.Items, it)
	}
	res := n.fakeNode.Submit(ctx, &fresh)
	if res.Err != nil {
		return res
	}
	for _, it := range fresh.Items {
		n.seen[it.Token] = true
		n.high[it.Token.Source] = max(n.high[it.Token.Source], it.Token.Seq)
	}
	res.Duplicates = duplicates
	return res
}

const adClickLine = "[AdClickEvent] ad001, 2024-07-09 00:00:01, user-1, 207.148.22.22, USA\n"

// adClicks are the rules for the clicks on ads: how many by ad and country, and how many users.
func adClicks(path string) []LogRule {
	const pattern = `^\[AdClickEvent\] (?P<ad>\w+), (?P<time>[0-9: -]+), (?P<user>[\w-]+), (?P<ip>[0-9.]+), (?P<country>\w+)$`
	return []LogRule{
		{
			Path: path, Pattern: pattern, Event: "ad.clicks", Labels: map[string]string{"ad": "$ad", "country": "${country}"},
			Time: "$time", Layout: "2006-01-02 15:04:05",
		},
		{Path: path, Pattern: pattern, Event: "ad.users", Type: "unique", Value: "$user", Labels: map[string]string{"ad": "$ad"}},
	}
}

// logWorld is a directory of logs and a node.
type logWorld struct {
	t         *testing.T
	dir       string
	node      *tokenNode
	logs      *Logs
	reg       *prometheus.Registry
	positions string
}

func newLogWorld(t *testing.T) *logWorld {
	w := &logWorld{t: t, dir: t.TempDir(), node: newTokenNode()}
	w.positions = filepath.Join(w.dir, "positions.json")
	w.restart()
	return w
}

func (w *logWorld) path(name string) string { return filepath.Join(w.dir, name) }

func (w *logWorld) restart() {
	w.t.Helper()
	m, reg := newTestMetrics(w.t)
	l, err := NewLogs(LogsConfig{Rules: adClicks(w.path("*.log")), Positions: w.positions, Submit: w.node, Metrics: m, Logger: discard()})
	if err != nil {
		w.t.Fatal(err)
	}
	w.logs, w.reg = l, reg
}

func (w *logWorld) append(name, text string) {
	w.t.Helper()
	f, err := os.OpenFile(w.path(name), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.WriteString(text)
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// must fails if err is not nil.
func (w *logWorld) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func click(ad, user string) string {
	return strings.NewReplacer("ad001", ad, "user-1", user).Replace(adClickLine)
}

// clicks looks at the files and returns how many clicks on an ad are counted then.
func (w *logWorld) clicks(ad string) string {
	w.logs.round(w.t.Context())
	return w.node.counter(`counter:ad.clicks{ad="` + ad + `",country="USA"}`)
}

func (w *logWorld) mustClicks(when, ad, want string) {
	w.t.Helper()
	if got := w.clicks(ad); got != want {
		w.t.Errorf("%s: %s clicks on %s, want %s", when, got, ad, want)
	}
}

func TestAdClicks(t *testing.T) {
	w := newLogWorld(t)
	w.append("ads.log", adClickLine+click("ad001", "user-2")+"something else\n"+click("ad002", "user-1")+"[AdClickEvent] ad001, 2024-13-09 00:00:01, user-9, 1.2.3.4, USA\n")
	w.logs.round(t.Context())
	want := map[string]string{
		`counter:ad.clicks{ad="ad001",country="USA"}`: "2", `counter:ad.clicks{ad="ad002",country="USA"}`: "1",
		`unique:ad.users{ad="ad001"}`: "about 3", `unique:ad.users{ad="ad002"}`: "about 1",
	}
	if diff := cmp.Diff(want, w.node.all()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for name, n := range map[string]float64{
		"lines_total": 5, "stored_total": 7,
	} {
		if got := metric(t, w.reg, name, "protocol", "logs"); got != n {
			t.Errorf("%s is %v, want %v", name, got, n)
		}
	}
	if got := metric(t, w.reg, "ignored_total", "type", "unmatched"); got != 1 {
		t.Errorf("%v lines unmatched, want 1", got)
	}
	if got := metric(t, w.reg, "rejected_total", "reason", "range"); got != 1 {
		t.Errorf("%v lines refused for their time, want 1", got)
	}
}

func TestLogsAreFollowed(t *testing.T) {
	w := newLogWorld(t)
	w.mustClicks("no file", "ad001", "0")
	w.append("a.log", adClickLine[:30])
	w.mustClicks("half a line", "ad001", "0")
	w.append("a.log", adClickLine[30:]+adClickLine[:5])
	w.mustClicks("the other half", "ad001", "1")
	w.append("a.log", adClickLine[5:len(adClickLine)-1]+"\r\n")
	w.mustClicks("a line of Windows", "ad001", "2")
	w.append("b.log", strings.Repeat(adClickLine, 5000))
	w.mustClicks("another file, of several buffers", "ad001", "5002")
}

// TestLogsCountOnceAcrossRestarts: with the positions, without them, and with old ones.
func TestLogsCountOnceAcrossRestarts(t *testing.T) {
	w := newLogWorld(t)
	w.append("a.log", strings.Repeat(adClickLine, 100))
	w.mustClicks("at first", "ad001", "100")
	old, err := os.ReadFile(w.positions)
	w.must(err)
	w.append("a.log", strings.Repeat(adClickLine, 200))
	w.mustClicks("more", "ad001", "300")

	w.restart()
	w.append("a.log", adClickLine)
	w.mustClicks("after a restart", "ad001", "301")
	if got := metric(t, w.reg, "lines_total"); got != 1 {
		t.Errorf("%v lines read after a restart, want 1", got)
	}
	for name, positions := range map[string][]byte{"old": old, "none": nil, "broken": []byte("{")} {
		w.must(os.WriteFile(w.positions, positions, 0o600))
		w.restart()
		w.mustClicks(name+" positions", "ad001", "301")
	}
}

func TestLogsAreRotated(t *testing.T) {
	w := newLogWorld(t)
	w.append("a.log", adClickLine)
	w.mustClicks("at first", "ad001", "1")

	w.must(os.Rename(w.path("a.log"), w.path("a.log.1"))) // no rule's path
	w.append("a.log.1", adClickLine)                      // by a writer that does not know yet
	w.append("a.log", adClickLine)
	w.mustClicks("renamed and begun again", "ad001", "3")
	w.append("a.log.1", adClickLine)
	w.mustClicks("late lines", "ad001", "4")

	w.must(os.Rename(w.path("a.log"), w.path("old.log"))) // a rule's path too
	w.mustClicks("renamed within the rule", "ad001", "4")
	w.restart()
	w.mustClicks("and restarted", "ad001", "4")

	w.must(os.Remove(w.path("old.log")))
	w.append("a.log", click("ad002", "user-1"))
	w.mustClicks("deleted, and a new one", "ad002", "1")
	w.mustClicks("deleted, and a new one", "ad001", "4")
	for range logGrace {
		w.logs.round(t.Context())
	}
	if len(w.logs.files) != 1 {
		t.Errorf("%d files open, want 1", len(w.logs.files))
	}
}

func TestLogsAreEmptied(t *testing.T) {
	w := newLogWorld(t)
	w.append("a.log", strings.Repeat(adClickLine, 3))
	w.mustClicks("at first", "ad001", "3")
	w.must(os.Truncate(w.path("a.log"), 0))
	w.mustClicks("empty", "ad001", "3")
	w.append("a.log", adClickLine)
	w.mustClicks("begun with the same line", "ad001", "4")
	w.must(os.Truncate(w.path("a.log"), 0))
	w.append("a.log", strings.Repeat(click("ad002", "user-1"), 10))
	w.mustClicks("begun with another, and longer than before", "ad002", "10")

	w.must(os.Truncate(w.path("a.log"), 0))
	w.append("a.log", strings.Repeat(adClickLine, 2))
	w.restart()
	w.mustClicks("emptied while nobody looked", "ad001", "6")
	w.restart()
	w.mustClicks("and restarted", "ad001", "6")
}

func TestLongLogLines(t *testing.T) {
	w := newLogWorld(t)
	long := strings.Repeat("x", 3*maxLogLine)
	w.append("a.log", adClickLine+long)
	w.mustClicks("a long line begins", "ad001", "1")
	w.append("a.log", long+"\n"+adClickLine+adClickLine)
	w.mustClicks("and ends", "ad001", "3")
	if got := metric(t, w.reg, "rejected_total", "reason", "too_long"); got != 1 {
		t.Errorf("%v lines too long, want 1", got)
	}
	w.restart()
	w.mustClicks("after a restart", "ad001", "3")
}

// TestLogsWaitForTheNode: what the node does not take is tried again, and nothing else is read meanwhile.
func TestLogsWaitForTheNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newLogWorld(t)
		failures := 3
		w.node.answer = func(b *node.Batch) node.Result {
			if failures--; failures >= 0 {
				return node.Result{Err: []error{node.ErrFull, node.ErrBusy, node.ErrTokens}[failures%3]}
			}
			return node.Result{Accepted: len(b.Items)}
		}
		w.append("a.log", adClickLine)
		w.mustClicks("a node that takes nothing at first", "ad001", "1")
		if got := metric(t, w.reg, "deferred_total"); got != 3 {
			t.Errorf("%v batches deferred, want 3", got)
		}

		failures = 1 << 30
		ctx, cancel := context.WithTimeout(t.Context(), 10*logRetry)
		defer cancel()
		w.append("a.log", adClickLine)
		w.logs.round(ctx) // the process ends while the node takes nothing
		failures = 0
		w.restart()
		w.mustClicks("after a restart", "ad001", "2")
	})
}

func TestLogRules(t *testing.T) {
	const good = "- path: /var/log/*.log\n  pattern: 'took (?P<ms>[0-9.]+) in (\\w+)'\n  event: took\n  type: length\n  value: $ms\n  labels: {place: $2}\n"
	for _, tc := range []struct{ name, yaml, wantErr string }{
		{"good", good, ""},
		{"none", "", ""},
		{"unknown key", "- path: a\n  pattern: b\n  event: c\n  lables: {}\n", "field lables not found"},
		{"not a list", "path: a\n", "cannot unmarshal"},
		{"bad pattern", "- {path: a, pattern: '(', event: c}\n", "pattern: error parsing regexp"},
		{"no pattern", "- {path: a, event: c}\n", "pattern and event are required"},
		{"no event", "- {path: a, pattern: b}\n", "pattern and event are required"},
		{"no path", "- {pattern: b, event: c}\n", "want a path"},
		{"bad path", "- {path: '[', pattern: b, event: c}\n", "want a path"},
		{"unknown type", "- {path: a, pattern: b, event: c, type: sum}\n", "unknown type"},
		{"unknown group", "- {path: a, pattern: '(?P<x>.)', event: '$y'}\n", `the group "y", which the pattern does not have`},
		{"unknown number", "- {path: a, pattern: '(.)', event: '${2}'}\n", `the group "2"`},
		{"half a time", "- {path: a, pattern: '(.)', event: c, time: $1}\n", "time and layout go together"},
		{"twice", good + good, "rule 2 repeats another"},
		{"too many", strings.Repeat("- {path: a, pattern: b, event: c}\n", maxLogRules+1), "at most 100"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "rules.yaml")
			if err := os.WriteFile(file, []byte(tc.yaml), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := LoadLogRules(file)
			if (err == nil) != (tc.wantErr == "") || err != nil && !strings.Contains(err.Error(), tc.wantErr) {
				t.Errorf("error %v, want one with %q", err, tc.wantErr)
			}
		})
	}
}

// FuzzLogLines cuts a file at any place: the lines must not depend on it.
func FuzzLogLines(f *testing.F) {
	f.Add([]byte("a\nbb\r\nccc"), 2, 3)
	f.Fuzz(func(t *testing.T, text []byte, first, room int) {
		room = min(max(room, 2), 64)
		first = min(max(first, 0), len(text))
		l := &logFile{buf: make([]byte, 0, room)}
		var got []string
		for _, part := range [][]byte{text[:first], text[first:]} {
			for len(part) > 0 {
				n := min(len(part), cap(l.buf)-len(l.buf))
				l.buf = append(l.buf, part[:n]...)
				part = part[n:]
				for _, line := range l.lines() {
					got = append(got, fmt.Sprint(line.end, line.tooLong, line.text))
				}
			}
		}
		var want []string
		end := 0
		for line := range bytes.Lines(text) {
			end += len(line)
			line, complete := bytes.CutSuffix(line, []byte("\n"))
			if !complete {
				break
			}
			if len(line) >= room {
				want = append(want, fmt.Sprint(end, true, string(line[:room])))
				continue
			}
			want = append(want, fmt.Sprint(end, false, string(bytes.TrimSuffix(line, []byte("\r")))))
		}
		for i := range max(len(got), len(want)) {
			if i >= len(got) || i >= len(want) || got[i] != want[i] {
				t.Fatalf("room %d, cut at %d: lines %q, want %q", room, first, got, want)
			}
		}
	})
}

// FuzzLogRule matches any line with any pattern: what comes out is an event that a node takes.
func FuzzLogRule(f *testing.F) {
	f.Add(adClicks("x")[0].Pattern, "$ad", "$user", strings.TrimSpace(adClickLine))
	for _, input := range malformedInputs(f, "logs") {
		f.Add(adClicks("x")[0].Pattern, "$ad", "$user", input)
	}
	f.Fuzz(func(t *testing.T, pattern, label, value, line string) {
		for _, kind := range []string{"count", "updown", "gauge", "length", "unique"} {
			r, err := LogRule{Path: "x", Pattern: pattern, Event: "e", Type: kind, Value: value, Labels: map[string]string{"l": label}}.compile()
			if err != nil {
				return
			}
			it, _, matched, err := r.item(line, testNow, node.Token{Source: "s", Seq: 1})
			if err == nil && matched && (it.Series.Check() != nil || it.Inc.Kind != it.Series.Kind) {
				t.Errorf("%s made %s of %s", line, it.Inc.Kind, it.Series)
			}
		}
	})
}
