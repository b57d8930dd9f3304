package ingest

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"meshd/node"
)

// logTo returns a log without times.
func logTo(b *bytes.Buffer) *slog.Logger {
	return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == slog.LevelKey || a.Key == slog.MessageKey {
			return slog.Attr{}
		}
		return a
	}}))
}

func TestOneExampleOfAReasonAMinute(t *testing.T) {
	var logged bytes.Buffer
	e, now := &examples{protocol: "statsd", log: logTo(&logged)}, time.Unix(1_700_000_000, 0)
	long := strings.Repeat("a", maxExampleBytes)
	for _, step := range []struct {
		after time.Duration
		note  map[reason][]string
		want  string
	}{
		{0, map[reason][]string{reasonNumber: {"x:a|c", "x:b|c"}}, "protocol=statsd reason=number line=x:a|c\n"},
		{0, map[reason][]string{reasonNumber: {"x:c|c"}}, ""},
		{time.Second, map[reason][]string{reasonNumber: {"x:d|c"}, reasonSyntax: {"a \"b\"\n\x1b[2J\xff"}}, `protocol=statsd reason=syntax line="a \"b\"\n\x1b[2J\xff"` + "\n"},
		{58 * time.Second, map[reason][]string{reasonNumber: {"x:e|c"}}, ""},
		{time.Second, nil, ""},
		{0, map[reason][]string{reasonNumber: {"x:f|c"}, reasonSyntax: {"late"}}, "protocol=statsd reason=number line=x:f|c\n"},
		{time.Second, nil, ""},
		{0, map[reason][]string{reasonNumber: {"x:g|c"}, reasonSyntax: {long + "b"}}, "protocol=statsd reason=syntax line=" + long + "...\n"},
		{time.Hour, nil, ""},
		{0, map[reason][]string{reasonTag: {""}}, `protocol=statsd reason=tag line=""` + "\n"},
	} {
		now = now.Add(step.after)
		for r, lines := range step.note {
			for _, l := range lines {
				e.note(r, []byte(l))
			}
		}
		logged.Reset()
		if e.show(now); logged.String() != step.want {
			t.Errorf("at %s: %q, want %q", now.Sub(time.Unix(1_700_000_000, 0)), &logged, step.want)
		}
	}
}

func TestNoExamplesAreNotNoted(t *testing.T) {
	var none *examples
	none.note(reasonNumber, []byte("x:a|c"))
	none.noteText(reasonNumber, "x:a|c")
	none.noteSeries(reasonNumber, nil)
	none.show(time.Now())
}

// TestDoorsShowWhatTheyRefuse: each door without answers shows a line that it refused, once, and what the node refused.
func TestDoorsShowWhatTheyRefuse(t *testing.T) {
	refuse := func(b *node.Batch) (res node.Result) {
		for i := range b.Items {
			res.Rejected = append(res.Rejected, node.Rejection{Index: i, Err: node.ErrSeries})
		}
		return res
	}
	n := newFakeNode()
	n.answer = refuse
	for _, tc := range []struct {
		door string
		run  func(t *testing.T, m *Metrics, log *slog.Logger)
		want string
	}{
		{
			"statsd", func(t *testing.T, m *Metrics, log *slog.Logger) {
				s, err := NewStatsD(StatsDConfig{Addr: "off", Submit: n, Metrics: m, Logger: log})
				if err != nil {
					t.Fatal(err)
				}
				s.single(nil)([]byte("hits:1|c|#a:1\nhits:x|c\nhits:y|c\n"))
				s.flush.flush(t.Context())
			},
			`reason=number line=hits:x|c` + "\n" + `reason=series_limit line="counter:hits{a=\"1\"}"` + "\n",
		}, {
			"statsd", func(t *testing.T, m *Metrics, log *slog.Logger) {
				s, err := NewStatsD(StatsDConfig{Addr: "off", TCP: "127.0.0.1:0", Submit: n, Metrics: m, Logger: log})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = s.Close() })
				s.streams[0].read(strings.NewReader("hits:1|"), s.single(nil))
				s.flush.flush(t.Context())
			},
			`reason=cut line=hits:1|` + "\n",
		}, {
			"graphite", func(t *testing.T, m *Metrics, log *slog.Logger) {
				g, err := NewGraphite(GraphiteConfig{Submit: n, Metrics: m, Logger: log})
				if err != nil {
					t.Fatal(err)
				}
				g.single(nil)([]byte("a.b x 1\na.b y 1\n"))
				g.flush.flush(t.Context())
			},
			`reason=number line="a.b x 1"` + "\n",
		}, {
			"kafka", func(t *testing.T, m *Metrics, log *slog.Logger) {
				rules := KafkaRules{Brokers: []string{"127.0.0.1:1"}, Topics: []string{"events"}}
				if err := rules.complete(); err != nil {
					t.Fatal(err)
				}
				k, err := NewKafka(KafkaConfig{Rules: &rules, Submit: n, Metrics: m, Logger: log})
				if err != nil {
					t.Fatal(err)
				}
				if err := k.take(t.Context(), fetched("{\n", "[1", `{"event":"hits","value":-1}`, `{"event":"hits","value":-2}`, `{"event":"hits"}`)); err != nil {
					t.Fatal(err)
				}
			},
			`reason=syntax line={` + "\n" + `reason=negative line="{\"event\":\"hits\",\"value\":-1}"` + "\n" +
				`reason=series_limit line=counter:hits` + "\n",
		}, {
			"logs", func(t *testing.T, m *Metrics, log *slog.Logger) {
				w := newLogWorld(t)
				w.append("a.log", "[AdClickEvent] ad001, 2024-13-09, user-1, 207.148.22.22, USA\nother\n"+strings.Repeat("a", maxLogLine)+"\n")
				l, err := NewLogs(LogsConfig{Rules: adClicks(w.path("*.log")), Positions: w.path("p"), Submit: n, Metrics: m, Logger: log})
				if err != nil {
					t.Fatal(err)
				}
				l.round(t.Context())
			},
			`reason=range line="[AdClickEvent] ad001, 2024-13-09, user-1, 207.148.22.22, USA"` + "\n" +
				`reason=series_limit line="unique:ad.users{ad=\"ad001\"}"` + "\n" +
				`reason=too_long line=` + strings.Repeat("a", maxExampleBytes) + "...\n",
		},
	} {
		t.Run(tc.door, func(t *testing.T) {
			var logged bytes.Buffer
			m, _ := newTestMetrics(t)
			tc.run(t, m, logTo(&logged))
			var want string
			for line := range strings.Lines(tc.want) {
				want += "protocol=" + tc.door + " " + line
			}
			if got := logged.String(); got != want {
				t.Errorf("%s\nwant\n%s", got, want)
			}
		})
	}
}

// fetched are records of one partition.
func fetched(values ...string) kgo.Fetches {
	var p kgo.FetchPartition
	for i, v := range values {
		p.Records = append(p.Records, &kgo.Record{Offset: int64(i), Value: []byte(v)})
	}
	return kgo.Fetches{{Topics: []kgo.FetchTopic{{Topic: "events", Partitions: []kgo.FetchPartition{p}}}}}
}

// TestNoSenderFillsTheLog sends nothing but faults for a minute's flushes.
func TestNoSenderFillsTheLog(t *testing.T) {
	var logged bytes.Buffer
	d := newDoor(t, 10)
	d.flush.examples = &examples{protocol: "statsd", log: logTo(&logged)}
	d.parser.examples = d.flush.examples
	inputs := malformedInputs(t, "statsd")
	for i := range 50 {
		d.parser.packet(fmt.Appendf(nil, "%s\nx%d:1|c", strings.Join(inputs, "\n"), i), 1)
		d.flush.examples.show(time.Unix(1_700_000_000+int64(i), 0))
	}
	seen := map[string]bool{}
	for line := range strings.Lines(logged.String()) {
		_, reason, _ := strings.Cut(line, "reason=")
		reason, _, _ = strings.Cut(reason, " ")
		if seen[reason] || len(line) > 10*maxExampleBytes {
			t.Errorf("%q again, or too long: %q", reason, line)
		}
		seen[reason] = true
	}
	if len(seen) < 5 {
		t.Errorf("examples of %v only", seen)
	}
}
