package bubble

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"meshd/crdt"
	"meshd/node"
)

// ruled counts at every node, once a second, on a metric that goes everywhere, one that stays in its region and one that stays at its
// node.
func (m *mesh) ruled(t *testing.T, seconds int) {
	for i := range seconds {
		for j, h := range m.running() {
			for k, name := range []string{"clicks", "local.hits", "own.hits"} {
				s := &crdt.Series{Name: name, Kind: crdt.KindCounter, Labels: []crdt.Label{{Name: "shop", Value: fmt.Sprint((i + j) % 3)}}}
				submit(t, h.proc.Load().node, node.Item{Series: s, Inc: crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(uint64(1 + i + 10*j + 100*k))}})
			}
		}
		time.Sleep(time.Second)
	}
}

func (m *mesh) configure(t *testing.T, doc string) {
	t.Helper()
	if _, err := m.machines["us-h1"].proc.Load().node.SetConfig(t.Context(), []byte(doc), nil); err != nil {
		t.Fatal(err)
	}
}

// totals reads the results of an answer, one a line, and whether it is complete.
func totals(t *testing.T, h *machine, target string) (lines string, complete bool) {
	t.Helper()
	w := h.get(t.Context(), target)
	var a struct {
		Results []struct {
			Metric string
			Labels map[string]string
			Value  float64
		}
		Coverage struct{ Complete bool }
	}
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil || w.Code != 200 {
		t.Fatalf("%s: %d %s %v", target, w.Code, w.Body, err)
	}
	var b strings.Builder
	for _, r := range a.Results {
		fmt.Fprintf(&b, "%s%v %v\n", r.Metric, r.Labels, r.Value)
	}
	return b.String(), a.Coverage.Complete
}

// periods reads the results of the first period of an answer.
func periods(t *testing.T, h *machine, target string) string {
	t.Helper()
	w := h.get(t.Context(), target)
	var a struct {
		Results []json.RawMessage
		Periods []struct{ Results []json.RawMessage }
	}
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil || w.Code != 200 || len(a.Periods) != 1 {
		t.Fatalf("%s: %d %s %v", target, w.Code, w.Body, err)
	}
	return fmt.Sprintf("%s\n", slices.Concat(a.Results, a.Periods[0].Results))
}

// vector reads the samples of an answer to an expression, one a line, and says whether it is complete.
func vector(t *testing.T, h *machine, expr string) (lines string, complete bool) {
	t.Helper()
	w := h.get(t.Context(), "/api/v1/query?"+url.Values{"query": {expr}}.Encode())
	var a struct {
		Data struct {
			Result []struct {
				Metric map[string]string
				Value  [2]any
			}
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil || w.Code != 200 {
		t.Fatalf("%s: %d %s %v", expr, w.Code, w.Body, err)
	}
	found := map[string]bool{}
	for _, s := range a.Data.Result {
		name := s.Metric["__name__"]
		delete(s.Metric, "__name__")
		found[fmt.Sprintf("%s%v %v\n", name, s.Metric, s.Value[1])] = true
	}
	return strings.Join(slices.Sorted(maps.Keys(found)), ""), w.Header().Get("X-Meshd-Coverage") == "complete"
}

// What was counted since before anything was counted is the lifetime, whatever rules there are and were: of the same regions, with the same
// labels, and as complete.
func TestTimeFollowsRollupRulesAsLifetimesDo(t *testing.T) {
	bubble(t, func(t *testing.T, m *mesh) {
		askingMesh(m)
		from := time.Now().Truncate(time.Minute)
		metrics := []string{"clicks", "local.hits", "own.hits"}
		same := func(rules string, results map[string]int, cut string, short ...string) { // cut: without labels

			t.Helper()
			for _, name := range []string{"eu-h1", "eu-h2", "us-h1", "eu-e1", "eu-e2"} {
				h := m.machines[name]
				for _, metric := range metrics {
					for _, of := range []string{"&by=region,shop", "&by=*", "", "&match=shop=1&by=region", "&match=shop!=1"} {
						life, whole := totals(t, h, "/v1/total?metric="+metric+of)
						past, wholePast := totals(t, h, fmt.Sprintf("/v1/total?metric=%s%s&start=%d&end=%d", metric, of, from.Unix(), time.Now().Add(-15*time.Second).Unix()))
						if life != past || whole != wholePast {
							t.Errorf("%s, %s on %s%s: for all time (complete: %v)\n%sover time (complete: %v)\n%s", rules, name, metric, of, whole, life, wholePast, past)
						}
						if of == "&by=region,shop" && name == "eu-e1" && strings.Count(life, "\n") != results[metric] {
							t.Errorf("%s, %s answers %s with\n%s, want %d results", rules, name, metric, life, results[metric])
						}
						if of == "" && name == "eu-h1" && whole == slices.Contains(short, metric) {
							t.Errorf("%s, %s on %s: complete %v", rules, name, metric, whole)
						}
					}
					life, _ := totals(t, h, "/v1/total?metric="+metric+"&by=*")
					now, whole := vector(t, h, fmt.Sprintf("{%q}", metric))
					if now != sorted(life) {
						t.Errorf("%s, %s: {%s} is\n%s, the totals\n%s", rules, name, metric, now, life)
					}
					sum, _ := vector(t, h, fmt.Sprintf("sum by (region) ({%q})", metric))
					rise, wholeRise := vector(t, h, fmt.Sprintf("sum by (region) (increase({%q}[1h]))", metric))
					if sum != rise {
						t.Errorf("%s, %s: sums of {%s} are\n%s, they rose by\n%s", rules, name, metric, sum, rise)
					}
					if stays := slices.Contains(short, metric); name == "eu-h1" && (whole != (!stays && metric != cut) || wholeRise == stays) {
						t.Errorf("%s, %s: {%s} complete %v, its sum %v", rules, name, metric, whole, wholeRise)
					}
					if _, whole := vector(t, h, fmt.Sprintf("sum without (shop) ({%q})", metric)); name == "eu-h1" && whole != wholeRise {
						t.Errorf("%s, %s: {%s} without shops complete %v", rules, name, metric, whole)
					}
					begin := fmt.Sprintf("/v1/total?metric=%s&by=region,shop&start=%d&end=%d", metric, from.Unix(), from.Unix()+60)
					if once, again := periods(t, h, begin), periods(t, h, begin+"&step=60s"); once != again {
						t.Errorf("%s, %s on %s:\n%sand of periods that are kept\n%s", rules, name, begin, once, again)
					}
				}
			}
		}
		m.ruled(t, 30)
		time.Sleep(20 * time.Second)
		same("no rules", map[string]int{"clicks": 6, "local.hits": 6, "own.hits": 6}, "")
		m.configure(t, `{"rollup":[{"match":"clicks","drop":["shop"]},{"match":"local.*","scope":"region"},{"match":"own.*","scope":"node"}]}`)
		m.ruled(t, 30)
		time.Sleep(20 * time.Second)
		same("rules", map[string]int{"clicks": 4, "local.hits": 3, "own.hits": 3}, "clicks", "local.hits", "own.hits")
		m.configure(t, `{"rollup":[{"match":"clicks","scope":"region"}]}`)
		m.ruled(t, 30)
		time.Sleep(20 * time.Second)
		same("others", map[string]int{"clicks": 3, "local.hits": 6, "own.hits": 6}, "", "clicks")
		m.configure(t, `{"rollup":[]}`)
		m.ruled(t, 10)
		time.Sleep(20 * time.Second)
		same("no rules again", map[string]int{"clicks": 6, "local.hits": 6, "own.hits": 6}, "")
		if err := m.machines["eu-h1"].proc.Load().node.DropSeries(t.Context(), "clicks", []crdt.Label{{Name: "shop", Value: "1"}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		same("dropped", map[string]int{"clicks": 4, "local.hits": 6, "own.hits": 6}, "")
		m.configure(t, `{"rollup":[{"match":"clicks","drop":["shop"]}]}`)
		m.ruled(t, 20)
		time.Sleep(20 * time.Second)
		same("dropped, and rules", map[string]int{"clicks": 4, "local.hits": 6, "own.hits": 6}, "clicks")
	})
}

// sorted sorts lines.
func sorted(lines string) string {
	all := strings.SplitAfter(lines, "\n")
	slices.Sort(all)
	return strings.Join(all, "")
}
