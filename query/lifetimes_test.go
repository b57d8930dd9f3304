package query

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"meshd/crdt"
	"meshd/node"
)

// drawRows makes rows of every kind, some of one group, some equal in value.
func drawRows(t *rapid.T) []node.Row {
	values := map[string]crdt.Value{}
	for _, r := range everyKind().rows {
		values[r.Series.Kind.String()] = r.Value
	}
	var rows []node.Row
	for range rapid.IntRange(0, 60).Draw(t, "rows") {
		kind := rapid.SampledFrom([]crdt.Kind{
			crdt.KindCounter, crdt.KindCounter, crdt.KindUpDown, crdt.KindGauge, crdt.KindDistribution, crdt.KindUnique, crdt.KindSet, crdt.KindObserved,
		}).Draw(t, "kind")
		v := values[kind.String()]
		v = v.Clone()
		if kind == crdt.KindCounter {
			v.P = crdt.FixedFromUint(uint64(rapid.IntRange(0, 3).Draw(t, "amount")))
		}
		rows = append(rows, node.Row{
			Series: series(kind, rapid.SampledFrom([]string{"a", "b"}).Draw(t, "name"), "path", rapid.SampledFrom([]string{"x", "y", "z"}).Draw(t, "path")),
			Region: rapid.SampledFrom([]string{"eu", "us"}).Draw(t, "region"), Value: v,
		})
	}
	rows = sortedRows(rows)
	return slices.CompactFunc(rows, func(a, b node.Row) bool { return sameSeries(a.Series, b.Series) && a.Region == b.Region })
}

// Rows that are handed on one by one, in no order of names, come to what all of them in order come to.
func TestStreamedTotalsAreThoseOfAllRows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := drawRows(t)
		form := "metric=" + rapid.SampledFrom([]string{"a", "*"}).Draw(t, "metric")
		form += rapid.SampledFrom([]string{"", "&by=path", "&by=*", "&by=region", "&by=path,region"}).Draw(t, "by")
		form += rapid.SampledFrom([]string{"", "&top=1", "&top=3", "&top=100"}).Draw(t, "top")
		form += rapid.SampledFrom([]string{"", "&quantile=0.5", "&agg=max", "&match=region=eu"}).Draw(t, "more")
		q, err := parseTotal(form, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		clone := func() (out []node.Row) {
			for _, r := range rows {
				if q.sel.series(r.Series) {
					r.Value = r.Value.Clone()
					out = append(out, r)
				}
			}
			return out
		}
		want, err := q.evaluate(clone(), 0)
		if err != nil {
			t.Fatal(err)
		}
		sums := newLifetimeSums(q)
		handed := clone()
		slices.Reverse(handed)
		for i := range handed {
			if err := sums.add(&handed[i]); err != nil {
				t.Fatal(err)
			}
		}
		got, err := sums.results(context.Background(), 0)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Result{}), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("%s: %s", form, diff)
		}
	})
}

// adSource has a counter for every ad and region, and answers as a node does.
type adSource struct {
	fakeSource
	ads int
}

func (a *adSource) clicks(ad int) uint64 { return uint64(ad) * 7919 % uint64(a.ads) }

func (a *adSource) Totals(_ context.Context, sel node.Select) (*node.Totals, error) {
	countries := []string{"de", "fr", "us"}
	for i := range a.ads {
		s := series(crdt.KindCounter, "clicks", "ad", fmt.Sprint(i), "country", countries[i%len(countries)])
		if !sel.Match(s) {
			continue
		}
		if err := sel.Each(&node.Row{Series: s, Region: "eu", Value: crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(a.clicks(i))}}); err != nil {
			return nil, err
		}
	}
	return &node.Totals{}, nil
}

// More rows than a node would keep: the top of them, and their sum.
func TestTopOfMoreThanAreKept(t *testing.T) {
	src := &adSource{ads: 3 * maxKept}
	s, _ := newServer(t, src, nil)
	ask := func(target string) []Result {
		t.Helper()
		w := send(s, "GET", target)
		if w.Code != 200 {
			t.Fatal(w.Body)
		}
		var a TotalAnswer
		if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
			t.Fatal(err)
		}
		return a.Results
	}
	type ranked struct {
		ad     string
		clicks uint64
	}
	var want []ranked
	for i := range src.ads {
		if i%3 == 0 {
			want = append(want, ranked{fmt.Sprint(i), src.clicks(i)})
		}
	}
	slices.SortFunc(want, func(a, b ranked) int {
		if a.clicks != b.clicks {
			return int(b.clicks) - int(a.clicks)
		}
		return strings.Compare(a.ad, b.ad)
	})
	var got []ranked
	for _, r := range ask("/v1/total?metric=cl*&match=country=de&by=ad&top=100") {
		got = append(got, ranked{r.Labels["ad"], uint64(r.Value)})
	}
	if diff := cmp.Diff(want[:100], got, cmp.AllowUnexported(ranked{})); diff != "" {
		t.Error(diff)
	}
	sum := uint64(src.ads) * uint64(src.ads-1) / 2
	if r := ask("/v1/total?metric=clicks"); len(r) != 1 || r[0].ValueExact != fmt.Sprint(sum) {
		t.Errorf("sum of all: %+v, want %d", r, sum)
	}
}

// Two questions with very many groups do not run at once; the second may ask again.
func TestOneLargeQuestionAtATime(t *testing.T) {
	s, _ := newServer(t, &adSource{ads: largeGroups + 1}, nil)
	const target = "/v1/total?metric=clicks&by=ad&top=1"
	s.large <- struct{}{}
	if w := send(s, "GET", target); w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("beside another: status %d %s", w.Code, w.Body)
	}
	if w := send(s, "GET", "/v1/total?metric=clicks&top=1"); w.Code != 200 {
		t.Errorf("a small one beside a large one: status %d %s", w.Code, w.Body)
	}
	<-s.large
	for range 2 {
		if w := send(s, "GET", target); w.Code != 200 {
			t.Errorf("alone: status %d %s", w.Code, w.Body)
		}
	}
	turn := &largeTurn{turn: s.large}
	turn.leave()
	if err := turn.enter(); err == nil || len(s.large) != 0 {
		t.Errorf("a question that is over took the turn: %v", err)
	}
}
