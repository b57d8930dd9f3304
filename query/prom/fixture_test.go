package prom

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"meshd/crdt"
	"meshd/history"
	"meshd/history/historytest"
	"meshd/node"
)

// epoch is when the fixtures begin: a whole hour.
const epoch = int64(1_700_000_000_000) / 3_600_000 * 3_600_000

// mesh is a history with its lifetimes.
type mesh struct {
	historytest.Source
	rows   []node.Row
	widths []int64 // of the windows that are kept; nil is all
}

func seriesOf(kind crdt.Kind, name string, ls ...string) *crdt.Series {
	s := &crdt.Series{Name: name, Kind: kind}
	for i := 0; i < len(ls); i += 2 {
		s.Labels = append(s.Labels, crdt.Label{Name: ls[i], Value: ls[i+1]})
	}
	s.Labels = crdt.SortLabels(s.Labels)
	return s
}

func counterSeries(name string, ls ...string) *crdt.Series {
	return seriesOf(crdt.KindCounter, name, ls...)
}

func amount(n uint64) crdt.Value {
	return crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(n)}
}

// count adds what was counted at t to the windows of all widths, of the region and of the node, and to the lifetimes.
func (m *mesh) count(region, nodeName string, s *crdt.Series, t int64, v crdt.Value) {
	kept := m.widths
	if kept == nil {
		kept = []int64{10_000, 60_000, 3_600_000}
	}
	for _, o := range []history.Owner{{Region: region}, {Region: region, Node: nodeName}} {
		for _, w := range kept {
			m.Add(o, s, history.Point{Window: crdt.Window{Start: floorTo(t, w), Width: w}, Value: v})
		}
		m.lifetime(o, s, v)
	}
}

func (m *mesh) lifetime(o history.Owner, s *crdt.Series, v crdt.Value) {
	for i := range m.rows {
		if r := &m.rows[i]; r.Series == s && r.Region == o.Region && r.Node == o.Node {
			if err := r.Value.Combine(&v); err != nil {
				panic(err) // a test that adds what does not fit is wrong
			}
			return
		}
	}
	m.rows = append(m.rows, node.Row{Series: s, Region: o.Region, Node: o.Node, Value: v.Clone()})
}

// totals answers as a node does.
func (m *mesh) totals(_ context.Context, sel node.Select) (*node.Totals, error) {
	out := new(node.Totals)
	for _, r := range m.rows {
		if sel.Match(r.Series) && (r.Node != "") == sel.ByNode {
			r.Value = r.Value.Clone()
			out.Rows = append(out.Rows, r)
		}
	}
	return out, nil
}

// newAPI returns an API over m whose clock stands at now, ms.
func newAPI(t testing.TB, m *mesh, now int64, change func(*Config)) http.Handler {
	t.Helper()
	cfg := Config{History: m, Totals: m.totals, Now: func() time.Time { return time.UnixMilli(now) }, Version: "test"}
	if change != nil {
		change(&cfg)
	}
	a, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	a.Mount(mux.Handle)
	return mux
}

// reply is what the API answered.
type reply struct {
	Status    string
	ErrorType string
	Error     string
	Warnings  []string
	Infos     []string
	Data      struct {
		ResultType string
		Result     []struct {
			Metric map[string]string
			Value  [2]any
			Values [][2]any
		}
	}
}

func get(t testing.TB, h http.Handler, path string, form url.Values) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path+"?"+form.Encode(), nil))
	return w
}

// ask returns the answer of a request that succeeds.
func ask(t testing.TB, h http.Handler, path string, form url.Values) reply {
	t.Helper()
	w := get(t, h, path, form)
	var r reply
	if err := json.Unmarshal(w.Body.Bytes(), &r); err != nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
	if r.Status != "success" {
		t.Fatalf("%s %s: %s", path, form.Encode(), w.Body)
	}
	return r
}

// seconds writes ms as the API takes times.
func seconds(ms int64) string { return string(appendTime(nil, ms)) }
