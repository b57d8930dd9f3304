package query

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"meshd/crdt"
	"meshd/history"
	"meshd/history/historytest"
	"meshd/internal/wire"
	"meshd/node"
	"meshd/reconcile"
)

func rollup(t *testing.T, number uint64, list []reconcile.Rule, lacks map[node.Rolled][]string) *node.Rollup {
	t.Helper()
	rules, err := reconcile.ParseRules(list)
	if err != nil {
		t.Fatal(err)
	}
	return node.NewRollup("eu", false, number, rules, lacks, []wire.Drop{{Metric: "old.*", Labels: []crdt.Label{{Name: "host", Value: "a"}}, Gen: 7}})
}

func scoped(src history.Source, rules *node.Rollup) *scope {
	return &scope{Source: src, rules: rules, others: func(context.Context) ([]string, error) { return []string{"eu", "us"}, nil }}
}

// texts are curves as text.
func texts(t *testing.T, s history.Source, sel history.Selection) []string {
	t.Helper()
	var out []string
	if err := s.Curves(t.Context(), sel, func(c *history.Curve) error {
		text := fmt.Sprintf("%s %s", c.Owner.Region, c.Series)
		for i := range c.Points {
			p := &c.Points[i]
			amount := p.Value.P.String()
			if r, ok := p.Value.X.(*crdt.Rollup); ok {
				amount = fmt.Sprintf("%v of %d", r.Sum, r.Count)
			}
			text += fmt.Sprintf(" %d+%d=%s", (p.Window.Start-hour)/1000, p.Window.Width/1000, amount)
		}
		out = append(out, text)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

func point(at, width int64, v crdt.Value) history.Point {
	return history.Point{Window: crdt.Window{Start: hour + at*1000, Width: width * 1000}, Value: v}
}

// uneven yields curves as they are: some have wide windows where others have narrow ones, as around a moment at which some
// were published.
type uneven []history.Curve

func (u uneven) Curves(_ context.Context, sel history.Selection, yield func(*history.Curve) error) error {
	for i := range u {
		if c := &u[i]; sel.Wants(c.Series) && (len(sel.Regions) == 0 || sel.Regions[0] == c.Owner.Region) {
			if err := yield(c); err != nil {
				return err
			}
		}
	}
	return nil
}

func (u uneven) Series(context.Context, history.Selection, func(*crdt.Series) error) error {
	return nil
}

func TestCurvesOfOneSumAreAddedWindowByWindow(t *testing.T) {
	host := func(name string) *crdt.Series { return series(crdt.KindCounter, "m", "host", name, "path", "/") }
	us := history.Owner{Region: "us"}
	src := uneven{
		{Owner: us, Series: host("a"), Points: []history.Point{point(0, 60, counter("10")), point(60, 10, counter("1"))}},
		{Owner: us, Series: host("b"), Points: []history.Point{point(0, 10, counter("0.5")), point(50, 10, counter("2")), point(60, 10, counter("3")), point(80, 10, counter("4"))}},
		{Owner: history.Owner{Region: "eu"}, Series: host("a"), Points: []history.Point{point(0, 10, counter("7"))}},
	}
	s := scoped(src, rollup(t, 1, nil, map[node.Rolled][]string{{Region: "us", Metric: "m", Kind: crdt.KindCounter}: {"host"}}))
	want := []string{`eu counter:m{host="a",path="/"} 0+10=7`, `us counter:m{path="/"} 0+60=12.5 60+10=4 80+10=4`}
	if d := cmp.Diff(want, texts(t, s, history.Selection{})); d != "" {
		t.Error(d)
	}
	// A condition is about what is answered with: no sum has a host.
	onA := history.Selection{Equal: []crdt.Label{{Name: "host", Value: "a"}}}
	if d := cmp.Diff(want[:1], texts(t, s, onA)); d != "" {
		t.Error(d)
	}
	onNone := history.Selection{Match: func(s *crdt.Series) bool { return s.Get("host") == "" }, Equal: []crdt.Label{{Name: "path", Value: "/"}}}
	if d := cmp.Diff(want[1:], texts(t, s, onNone)); d != "" {
		t.Error(d)
	}
}

// No order of curves shows in a sum of floats.
func TestSumsOfGaugesAreTheSameInAnyOrder(t *testing.T) {
	var src uneven
	for i, sum := range []float64{1e16, 1, -1e16, 1} {
		x := &crdt.Rollup{Count: 1, Sum: sum, Min: sum, Max: sum}
		src = append(src, history.Curve{
			Owner: history.Owner{Region: "us"}, Series: series(crdt.KindGauge, "g", "host", fmt.Sprint(i)),
			Points: []history.Point{point(0, 10, crdt.Value{Kind: crdt.KindRollup, X: x})},
		})
	}
	s := scoped(src, rollup(t, 1, nil, map[node.Rolled][]string{{Region: "us", Metric: "g", Kind: crdt.KindGauge}: {"host"}}))
	if d := cmp.Diff([]string{"us gauge:g 0+10=2 of 4"}, texts(t, s, history.Selection{})); d != "" {
		t.Error(d)
	}
}

func TestSumsOfTooManyWindowsAreRefused(t *testing.T) {
	sums := newRolledCurves()
	sums.most = 3
	c := &history.Curve{Owner: history.Owner{Region: "us"}, Series: series(crdt.KindCounter, "m", "host", "a")}
	for i := range int64(4) {
		c.Points = append(c.Points, point(10*i, 10, counter("1")))
		if err := sums.add(c.Series, c); i == 3 != errors.Is(err, history.ErrTooMuch) {
			t.Errorf("%d windows: %v", len(c.Points), err)
		}
	}
}

// Observed counters that travel as one sum have none over time, and other kinds without sums stay under rules that drop labels.
func TestWhatHasNoSumOverTimeStays(t *testing.T) {
	src := new(historytest.Source)
	for _, region := range []string{"eu", "us"} {
		src.Add(history.Owner{Region: region}, series(crdt.KindObserved, "cpu", "host", "a"), point(0, 10, observed(crdt.Sample{Source: "x", Start: 1, Time: 2, Value: fixed("3")})))
		src.Add(history.Owner{Region: region}, series(crdt.KindSet, "skus", "host", "a"), point(0, 10, set(1, "x")))
		src.Add(history.Owner{Region: region}, series(crdt.KindCounter, "m", "host", "a"), point(0, 10, counter("1")))
	}
	s := scoped(src, rollup(t, 1, []reconcile.Rule{{Match: "cpu", Observed: "sum"}, {Match: "*", Drop: []string{"host"}}}, nil))
	got := strings.Join(texts(t, s, history.Selection{To: 1 << 60}), "\n")
	for _, own := range []string{"eu observed:cpu", "eu set:skus", "eu counter:m", "us counter:m"} {
		if !strings.Contains(got, own) {
			t.Errorf("no %s in\n%s", own, got)
		}
	}
	if n := strings.Count(got, "us "); n != 1 {
		t.Errorf("%d curves of the other region, want 1:\n%s", n, got)
	}
}

// turningSource answers by other rules from its second answer on, as when a version of a metric is turned to in between.
type turningSource struct {
	*fakeSource
	rules []*node.Rollup
	asked int
}

func (f *turningSource) Totals(ctx context.Context, sel node.Select) (*node.Totals, error) {
	rules := f.rules[min(f.asked, len(f.rules)-1)]
	f.asked++
	f.rows[0].Series = without(series(crdt.KindCounter, "m", "host", "a"), rules.Lacks("us", "m", crdt.KindCounter))
	t, err := f.fakeSource.Totals(ctx, sel)
	if err == nil {
		t.Rollup = rules
		if sel.Bare {
			t.Rows = nil
		}
	}
	return t, err
}

// Curves never stand on lifetimes of other series: both would be in the answer.
func TestRulesThatChangeWhileAQuestionIsRead(t *testing.T) {
	of := map[node.Rolled][]string{{Region: "us", Metric: "m", Kind: crdt.KindCounter}: {"host"}}
	src := &turningSource{
		fakeSource: &fakeSource{rows: []node.Row{{Region: "us", Value: counter("5")}}, coverage: everyKind().coverage},
		rules:      []*node.Rollup{rollup(t, 1, nil, nil), rollup(t, 2, nil, of)},
	}
	src.state.Region = "eu"
	hist := new(historytest.Source)
	hist.Add(history.Owner{Region: "us"}, series(crdt.KindCounter, "m", "host", "a"), point(0, 10, counter("2")))
	s, _ := newServer(t, src, func(c *Config) { c.History = hist })
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest("GET", fmt.Sprintf("/api/v1/query?query=m&time=%d", hour/1000+20), nil))
	if want := `"result":[{"metric":{"__name__":"m","region":"us"},"value":[1709528420,"5"]}]`; !strings.Contains(w.Body.String(), want) {
		t.Errorf("got %s, want %s", w.Body, want)
	}
}

// What was dropped is in no answer; what is counted on it since is, in sums of all that lives.
func TestWindowsOfWhatWasDroppedAreLeftOut(t *testing.T) {
	on := func(host string, gen uint32) *crdt.Series {
		s := series(crdt.KindCounter, "old.m", "host", host)
		s.Gen = gen
		return s
	}
	src := new(historytest.Source)
	for _, region := range []string{"eu", "us"} {
		for i, s := range []*crdt.Series{on("a", 0), on("a", 7), on("b", 0)} {
			src.Add(history.Owner{Region: region}, s, point(0, 10, counter(fmt.Sprint(1+10*i))))
		}
	}
	s := scoped(src, rollup(t, 1, nil, map[node.Rolled][]string{{Region: "us", Metric: "old.m", Kind: crdt.KindCounter}: {"host"}}))
	got := texts(t, s, history.Selection{To: 1 << 60})
	slices.Sort(got)
	want := []string{`eu counter:old.m{host="a"} 0+10=11`, `eu counter:old.m{host="b"} 0+10=21`, `us counter:old.m 0+10=32`}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
