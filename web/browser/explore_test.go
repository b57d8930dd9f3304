package browser

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/prometheus/client_golang/prometheus"

	"meshd/crdt"
	"meshd/history"
	"meshd/history/historytest"
	"meshd/node"
	"meshd/query"
	"meshd/web"
)

// counted is a mesh of two regions that was counted on for half an hour: what the page asks, without the wait.
type counted struct {
	historytest.Source
	rows []node.Row
}

func (c *counted) Totals(_ context.Context, sel node.Select) (*node.Totals, error) {
	out := &node.Totals{Coverage: []node.Coverage{
		{Region: "east", NodesExpected: 3, NodesHeard: 3, CompleteUntil: time.Now()},
		{Region: "west", NodesExpected: 3, NodesHeard: 2, CompleteUntil: time.Now().Add(-time.Minute), Age: time.Minute, Missing: []string{"west-edge-1"}},
	}}
	for _, r := range c.rows {
		if sel.Match == nil || sel.Match(r.Series) {
			r.Value = r.Value.Clone()
			if sel.Each == nil {
				out.Rows = append(out.Rows, r)
			} else if err := sel.Each(&r); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

func (c *counted) Explain(context.Context, node.Select) (*node.Explanation, error) {
	return &node.Explanation{}, nil
}

func (c *counted) Status(context.Context) (*node.Status, error) {
	return &node.Status{Mesh: "shop", Region: "east", Node: "east-hub-1", Role: "hub"}, nil
}

// add puts a value into the windows of a region and into its lifetime.
func (c *counted) add(region string, s *crdt.Series, at int64, v crdt.Value) {
	for _, w := range []int64{10_000, 60_000, 3_600_000} {
		c.Add(history.Owner{Region: region}, s, history.Point{Window: crdt.Window{Start: at - at%w, Width: w}, Value: v})
	}
	for i := range c.rows {
		if r := &c.rows[i]; r.Series == s && r.Region == region {
			if err := r.Value.Combine(&v); err != nil {
				panic(err) // a test that adds what does not fit is wrong
			}
			return
		}
	}
	c.rows = append(c.rows, node.Row{Series: s, Region: region, Value: v.Clone()})
}

func site(t *testing.T) (url string, clicks int) {
	t.Helper()
	c := &counted{}
	clicked := &crdt.Series{Name: "shop.clicks", Kind: crdt.KindCounter}
	took := &crdt.Series{Name: "checkout.ms", Kind: crdt.KindDistribution}
	random := rand.New(rand.NewPCG(1, 2))
	now := time.Now().UnixMilli()
	for at := now - 30*60_000; at < now-20_000; at += 10_000 {
		for i, region := range []string{"east", "west"} {
			n := 20 + 10*i + random.IntN(10)
			clicks += n
			c.add(region, clicked, at, crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(uint64(n))})
			d := new(crdt.Distribution)
			for range 5 {
				if err := d.Observe(50+30*random.ExpFloat64(), 1); err != nil {
					t.Fatal(err)
				}
			}
			c.add(region, took, at, crdt.Value{Kind: crdt.KindDistribution, X: d})
		}
	}
	s, err := query.New(query.Config{Source: c, History: c, Registry: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	page, err := web.New()
	if err != nil {
		t.Fatal(err)
	}
	s.Handle("GET /{$}", query.Read, page)
	s.Handle("GET /page/", query.Read, page)
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return server.URL, clicks
}

// A reader types a part of a name, picks the metric by keyboard, sees its exact total, its curve and what is missing;
// quantiles come as a band; PromQL of her own works; what is wrong with it is said; the address brings all of it back.
func TestTheExplorer(t *testing.T) {
	url, clicks := site(t)
	b := open(t, url, "/#/explore")
	b.do(chromedp.Click("#metric"), chromedp.SendKeys("#metric", "click"))
	b.wait("the name found", `[...document.querySelectorAll("#found [role=option]")].map((o) => o.textContent).join() === "shop.clicks"`)
	b.do(chromedp.KeyEvent("\ue015"), chromedp.KeyEvent("\r")) // arrow down, Enter
	b.wait("the curve", `document.querySelector("#chart canvas") !== null && document.querySelectorAll("#legend tbody tr").length === 1`)
	b.wait("the total", `document.querySelector("#now strong") !== null`)
	if got, want := eval[string](b, `document.querySelector("#now strong").textContent.replace(/\s/g, "")`), fmt.Sprint(clicks); got != want {
		t.Errorf("the total is %s, counted were %s", got, want)
	}
	if last := eval[float64](b, `Number(document.querySelector("#legend tbody .num").textContent)`); last < 4 || last > 8 {
		t.Errorf("%v clicks a second, between 5 and 7 were counted", last)
	}
	if !eval[bool](b, `document.querySelector("#notices").textContent.includes("west-edge-1")`) {
		t.Error("nothing says beside the answer that a node is missing")
	}
	b.do(chromedp.SetValue("#by", "region"), chromedp.Evaluate(`document.querySelector("#by").dispatchEvent(new Event("change"))`, nil))
	b.wait("a curve a region", `document.querySelectorAll("#legend tbody tr").length === 2 && document.querySelectorAll("#now .total").length === 2`)
	b.picture("explore")

	b.do(chromedp.Navigate("about:blank"), chromedp.Navigate(url+"/#/explore?metric=checkout.ms&range=900"))
	b.wait("three quantiles", `[...document.querySelectorAll("#legend tbody th")].map((h) => h.textContent).join() === "p50,p90,p99"`)
	b.picture("quantiles")

	b.do(chromedp.SetValue("#promql", `sum({"shop.clicks"}`), chromedp.Click("#ask button"))
	b.wait("what is wrong with the question", `!document.querySelector("#trouble").hidden && document.querySelector("#trouble").textContent.includes("parse error")`)
	b.do(chromedp.SetValue("#promql", `sum by (region) (increase({"shop.clicks"}[5m]))`), chromedp.Click("#ask button"))
	b.wait("the answer to a question of her own", `document.querySelector("#trouble").hidden && document.querySelectorAll("#legend tbody tr").length === 2`)
	b.do(chromedp.Reload())
	b.wait("the same after a reload", `document.querySelector("#promql").value.includes("increase") && document.querySelectorAll("#legend tbody tr").length === 2`)
}
