package ask

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"meshd/crdt"
	"meshd/history"
	"meshd/history/historytest"
	"meshd/internal/wire"
	"meshd/node"
)

var self = history.Owner{Region: "eu", Node: "e1"}

// uncorrected is the history of hubs that know of no correction.
func uncorrected(_ context.Context, src history.Source) (history.Source, error) { return src, nil }

func metricsOf(t *testing.T) *Metrics {
	m, err := NewMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// counted returns how often an outcome was counted.
func counted(t *testing.T, of *prometheus.CounterVec, outcome string) (sum float64) {
	t.Helper()
	r := prometheus.NewRegistry()
	r.MustRegister(of)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if m.GetLabel()[0].GetValue() == outcome {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

func counter(n uint64) crdt.Value {
	return crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(n)}
}

func series(name string) *crdt.Series {
	return &crdt.Series{Name: name, Kind: crdt.KindCounter, Labels: []crdt.Label{{Name: "shop", Value: name[len(name)-1:]}}}
}

func fine(start int64, n uint64) history.Point {
	return history.Point{Window: crdt.Window{Start: start, Width: 10_000}, Value: counter(n)}
}

// wires are peers in the same process: hubs that answer, late if they are told to, or not at all.
type wires struct {
	hubs  []Hub
	ends  map[uint64]*Answerer
	delay map[uint64]time.Duration
	after map[uint64]int // messages after which a hub's stream breaks
	clean bool           // it does not break then but ends

	mu    sync.Mutex
	asked []uint64
}

func (w *wires) Hubs(string) []Hub { return append([]Hub{}, w.hubs...) }

func (w *wires) Ask(ctx context.Context, session uint64, question []byte, take func([]byte) error) error {
	w.mu.Lock()
	w.asked = append(w.asked, session)
	w.mu.Unlock()
	select {
	case <-time.After(w.delay[session]):
	case <-ctx.Done():
		return ctx.Err()
	}
	end, sent := w.ends[session], 0
	if end == nil {
		return errors.New("no such peer")
	}
	var failed error
	err := end.Answer(ctx, self.Region+"/"+self.Node, question, func(b []byte) error {
		if limit, ok := w.after[session]; ok && sent == limit {
			failed = errors.New("stream is gone")
			return failed
		}
		sent++
		failed = take(b)
		return failed
	})
	if limit, ok := w.after[session]; ok && w.clean && sent == limit {
		return nil
	}
	return errors.Join(failed, err)
}

// world is a hub or two with two series in one curve each, and this edge.
func world(t *testing.T, hubs int) (*wires, *Asker, *historytest.Source, *Metrics) {
	past, m := new(historytest.Source), metricsOf(t)
	for i := range int64(6) {
		past.Add(history.Owner{Region: "eu"}, series("clicks1"), fine(i*10_000, 10))
		past.Add(history.Owner{Region: "us"}, series("views2"), fine(i*10_000, 1))
	}
	w := &wires{ends: map[uint64]*Answerer{}, delay: map[uint64]time.Duration{}, after: map[uint64]int{}}
	for i := range hubs {
		id := uint64(i + 1)
		w.hubs = append(w.hubs, Hub{Session: id, Node: fmt.Sprint("h", id)})
		w.ends[id] = NewAnswerer(AnswererConfig{Node: fmt.Sprint("h", id), Correct: uncorrected, History: past, Metrics: m, Coverage: func(context.Context) ([]node.Coverage, error) {
			return []node.Coverage{{Region: "eu", NodesExpected: 3, NodesHeard: 3, CompleteUntil: time.UnixMilli(10_000_000), Missing: nil}}, nil
		}})
	}
	return w, NewAsker(AskerConfig{Self: self, Peers: w, Metrics: m}), past, m
}

// read returns the sums of the curves by series and owner.
func read(ctx context.Context, p *Past, sel history.Selection) (map[string]string, error) {
	got := map[string]string{}
	err := p.Curves(ctx, sel, func(c *history.Curve) error {
		sum := crdt.Fixed{}
		for _, x := range c.Points {
			sum, _ = sum.Add(x.Value.P)
		}
		got[c.Series.Name+" of "+c.Owner.Region+"/"+c.Owner.Node] = sum.String()
		return nil
	})
	return got, err
}

func wantRead(t *testing.T, p *Past, sel history.Selection, want map[string]string) {
	t.Helper()
	got, err := read(t.Context(), p, sel)
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("read %v, %v, want %v", got, err, want)
	}
}

var hour = history.Selection{To: 3_600_000}

func TestWhatAHubTellsIsWhatItHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, _, m := world(t, 2)
		p := a.Open(new(historytest.Source))
		of, alone, err := p.Coverage(t.Context())
		if err != nil || alone != "" || len(of) != 1 || of[0].NodesHeard != 3 || of[0].CompleteUntil.UnixMilli() != 10_000_000 {
			t.Errorf("%+v, %q, %v", of, alone, err)
		}
		wantRead(t, p, hour, map[string]string{"clicks1 of eu/": "60", "views2 of us/": "6"})
		some := hour
		some.Regions = []string{"us"}
		wantRead(t, p, some, map[string]string{"views2 of us/": "6"})
		some = hour
		some.From, some.To = 10_000, 30_000
		some.Tests = []history.Test{{Label: history.NameLabel, Op: history.Matches, Value: "cl.*"}, {Label: "shop", Op: history.EqualsNot, Value: "7"}}
		wantRead(t, p, some, map[string]string{"clicks1 of eu/": "20"})
		some.Tests = []history.Test{{Label: "region", Op: history.MatchesNot, Value: "eu|x"}, {Label: "kind", Op: history.Equals, Value: "counter"}, {Label: "shop", Value: "2"}}
		wantRead(t, p, some, map[string]string{"views2 of us/": "2"})
		some.Tests = []history.Test{{Label: "shop", Op: history.Matches, Value: "(broken"}} // passed over: who asks tests again
		some.Match = func(s *crdt.Series) bool { return s.Name == "clicks1" }
		wantRead(t, p, some, map[string]string{"clicks1 of eu/": "20"})
		some.Kinds = []crdt.Kind{crdt.KindGauge}
		wantRead(t, p, some, map[string]string{})
		if n := counted(t, m.answered, outcomeWhole); n != counted(t, m.asked, outcomeWhole) || n != 7 {
			t.Errorf("%v answers were counted", n)
		}
	})
}

// Of single nodes an edge holds its own lifetimes, the hub tells those of the others; its own are joined.
func TestTotalsOfTheOtherNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, a, _, _ := world(t, 1)
		s := series("clicks1")
		w.ends[1].cfg.Totals = func(context.Context, node.Select) (*node.Totals, error) {
			return &node.Totals{Rows: []node.Row{
				{Series: s, Region: "eu", Node: "e1", Value: counter(5)}, {Series: s, Region: "eu", Node: "e2", Value: counter(70)}, {Series: s, Region: "us", Value: counter(1)},
			}}, nil
		}
		own := func(context.Context, node.Select) (*node.Totals, error) {
			return &node.Totals{Rows: []node.Row{
				{Series: s, Region: "eu", Value: counter(70)}, {Series: s, Region: "eu", Node: "e1", Value: counter(8)}, {Series: s, Region: "us", Value: counter(2)},
			}}, nil
		}
		got, err := a.Open(new(historytest.Source)).Totals(t.Context(), node.Select{ByNode: true}, nil, own)
		if err != nil {
			t.Fatal(err)
		}
		var rows []string
		for _, r := range got.Rows {
			rows = append(rows, r.Region+"/"+r.Node+" "+r.Value.P.String())
		}
		slices.Sort(rows)
		if want := "eu/e1 8,eu/e2 70,us/ 2"; strings.Join(rows, ",") != want {
			t.Errorf("%s, want %s", strings.Join(rows, ","), want)
		}
	})
}

// A hub that does not answer, or not in time, is replaced by the other one; what came of half an answer is read again.
func TestAnotherHubIsAsked(t *testing.T) {
	for name, spoil := range map[string]func(*wires){
		"gone":   func(w *wires) { delete(w.ends, 1) },
		"silent": func(w *wires) { w.delay[1] = time.Hour },
		"slow":   func(w *wires) { w.delay[1] = time.Second },
		"breaks": func(w *wires) { w.after[1] = 1 },
		"stops":  func(w *wires) { w.after[1] = 2 },
		"ends":   func(w *wires) { w.after[1], w.clean = 1, true },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, a, _, _ := world(t, 2)
				spoil(w)
				p := a.Open(new(historytest.Source))
				begin := time.Now()
				_, err := read(t.Context(), p, hour)
				if errors.Is(err, history.ErrAgain) {
					_, err = read(t.Context(), p, hour)
				}
				if err != nil {
					t.Fatal(err)
				}
				wantRead(t, p, hour, map[string]string{"clicks1 of eu/": "60", "views2 of us/": "6"})
				if _, alone, _ := p.Coverage(t.Context()); alone != "" {
					t.Error(alone)
				}
				if took := time.Since(begin); took > stall {
					t.Errorf("after %v", took)
				}
			})
		})
	}
}

// A hub that takes over what was before is asked when no other answers, and what is read from it says so.
func TestHubsThatHaveAllAreAskedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, a, _, _ := world(t, 2)
		lacking := new(Takeover)
		lacking.lacks.Store(5)
		w.ends[1].cfg.Whole = lacking
		p := a.Open(new(historytest.Source))
		wantRead(t, p, hour, map[string]string{"clicks1 of eu/": "60", "views2 of us/": "6"})
		if last := w.asked[len(w.asked)-1]; last != 2 || p.Since() != 0 {
			t.Errorf("hub %d was asked, which lacks what was before %d", last, p.Since())
		}
		delete(w.ends, 2)
		p = a.Open(new(historytest.Source))
		wantRead(t, p, hour, map[string]string{"clicks1 of eu/": "60", "views2 of us/": "6"})
		if last := w.asked[len(w.asked)-1]; last != 1 || p.Since() != 5 {
			t.Errorf("hub %d was asked, which lacks what was before %d", last, p.Since())
		}
	})
}

// A node that no hub answers reads its own windows and says so.
func TestCutOffItSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, a, _, m := world(t, 2)
		w.delay[1], w.delay[2] = time.Hour, time.Hour
		own := new(historytest.Source)
		own.Add(history.Owner{Region: "eu"}, series("clicks1"), fine(0, 3))
		p := a.Open(own)
		wantRead(t, p, hour, map[string]string{"clicks1 of eu/": "3"})
		if of, alone, err := p.Coverage(t.Context()); of != nil || !strings.Contains(alone, "own") && alone != Alone || err != nil {
			t.Errorf("%v, %q, %v", of, alone, err)
		}
		if n := counted(t, m.asked, outcomeAlone); n != 1 {
			t.Errorf("%v were counted", n)
		}
		// Nobody waits for hubs any more once the request has ended.
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, _, err := a.Open(own).Coverage(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

// Each limit of a hub ends an answer with a reason that comes to who asked, and is counted.
func TestLimitsOfAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _, _, m := world(t, 1)
		end := w.ends[1]
		ask := func(q wire.Query) (last wire.Answer) {
			b, err := wire.AppendQuery(nil, &q)
			if err != nil {
				t.Fatal(err)
			}
			_ = end.Answer(t.Context(), "eu/e1", b, func(b []byte) error {
				a, err := wire.ParseAnswer(b)
				if err != nil {
					t.Fatal(err)
				}
				last = *a
				return nil
			})
			return last
		}
		whole := wire.Query{Ask: wire.AskCurves, To: 3_600_000, MaxBytes: 1 << 20, MaxFound: 10, WithinMs: 1000}
		few, short := whole, whole
		few.MaxFound, short.MaxBytes = 1, 10
		many := whole
		many.Ask, many.MaxFound = wire.AskSeries, 1
		for _, row := range []struct {
			q       wire.Query
			want    wire.AnswerState
			outcome string
		}{{whole, wire.AnswerWhole, outcomeWhole}, {few, wire.AnswerTooBig, outcomeTooBig}, {short, wire.AnswerTooBig, outcomeTooBig}, {many, wire.AnswerTooBig, outcomeTooBig}} {
			before := counted(t, m.answered, row.outcome)
			if got := ask(row.q); got.State != row.want || (got.Text == "") != (row.want == wire.AnswerWhole) {
				t.Errorf("%+v: state %d %q, want %d", row.q, got.State, got.Text, row.want)
			}
			if n := counted(t, m.answered, row.outcome); n != before+1 {
				t.Errorf("%s was counted %v times", row.outcome, n-before)
			}
		}
		for range perPeer {
			end.enter("eu/e1")
		}
		if got := ask(whole); got.State != wire.AnswerBusy {
			t.Errorf("one more than a peer may ask at once: state %d", got.State)
		}
		for range running {
			end.running <- struct{}{}
		}
		for range perPeer {
			end.leave("eu/e1")
		}
		if got := ask(whole); got.State != wire.AnswerLate {
			t.Errorf("one that waited too long: state %d", got.State)
		}
		if err := end.Answer(t.Context(), "eu/e1", []byte("nonsense"), nil); err == nil {
			t.Error("nonsense was answered")
		}
		for _, outcome := range []string{outcomeBusy, outcomeLate, outcomeMalformed} {
			if n := counted(t, m.answered, outcome); n != 1 {
				t.Errorf("%s was counted %v times", outcome, n)
			}
		}
	})
}

// crowd is a history of n curves.
type crowd struct {
	history.Source
	n int
}

func (c *crowd) Curves(_ context.Context, _ history.Selection, yield func(*history.Curve) error) error {
	for range c.n {
		if err := yield(&history.Curve{Owner: history.Owner{Region: "eu"}, Series: series("clicks1"), Points: []history.Point{fine(0, 1)}}); err != nil {
			return err
		}
	}
	return nil
}

// What is too much for a hub is so for the next one: it is said to who asked.
func TestTooMuchIsNotAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, a, _, _ := world(t, 2)
		many := &crowd{n: maxCurves}
		w.ends[1].cfg.History = many
		if _, err := read(t.Context(), a.Open(new(historytest.Source)), hour); err != nil {
			t.Fatal(err)
		}
		many.n++
		w.asked = nil
		_, err := read(t.Context(), a.Open(new(historytest.Source)), hour)
		if !errors.Is(err, history.ErrTooMuch) || len(w.asked) != 2 { // the first asks for coverage
			t.Errorf("%v, asked %v", err, w.asked)
		}
	})
}
