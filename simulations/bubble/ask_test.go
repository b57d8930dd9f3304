package bubble

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"meshd/crdt"
	"meshd/gossip"
	"meshd/history"
	"meshd/internal/ask"
	"meshd/internal/bridge"
	"meshd/node"
	"meshd/query"
)

// past is the windows of a process and what answers from them.
type past struct {
	store    *history.Store
	takeover *ask.Takeover // of a hub
	http     *query.Server
	stuck    atomic.Bool // reading lasts until nobody wants it any more
	reads    atomic.Int64
}

// Curves implements history.Source, of what answers others.
func (p *past) Curves(ctx context.Context, sel history.Selection, yield func(*history.Curve) error) error {
	p.reads.Add(1)
	defer p.reads.Add(-1)
	if p.stuck.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	return p.store.Curves(ctx, sel, yield)
}

// Series implements history.Source.
func (p *past) Series(ctx context.Context, sel history.Selection, yield func(*crdt.Series) error) error {
	return p.store.Series(ctx, sel, yield)
}

func (p *process) openPast(cfg *node.Config) (*past, error) {
	store, err := history.Open(history.Config{KV: bridge.Windows{Store: p.store}, Now: time.Now})
	if err != nil {
		return nil, err
	}
	cfg.History = bridge.History{Store: store}
	return &past{store: store}, nil
}

// openHTTP makes the server as cmd/meshd does, and returns what answers other nodes.
func (p *process) openHTTP(b *bridge.Bridge) (asked func(context.Context, gossip.Peer, []byte, func([]byte) error) error, err error) {
	self := history.Owner{Region: p.h.region, Node: p.h.name}
	role := gossip.Edge
	if p.h.hub {
		role = gossip.Hub
	}
	q, err := b.Questions(bridge.QuestionsConfig{
		Role: role, Self: self, Inc: p.inc, History: p.past, Store: p.past.store, Node: p.node, Now: time.Now, Registerer: p.registry, Logger: p.h.m.logger(p.h.name),
	})
	if err != nil {
		return nil, err
	}
	cfg := query.Config{Source: p.node, Registry: p.registry, History: p.past.store}
	if p.past.takeover = q.Takeover; q.Takeover != nil {
		cfg.WindowsSince = q.Takeover.Since
	}
	if q.Asker != nil {
		cfg.OwnWindows = self
		cfg.Ask = func(own history.Source) query.Past { return q.Asker.Open(own) }
	}
	p.past.http, err = query.New(cfg)
	return q.Asked, err
}

// get asks a machine over HTTP.
func (h *machine) get(ctx context.Context, target string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.proc.Load().past.http.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, target, nil))
	return w
}

// counted sums a counter of package ask over one label.
func (h *machine) counted(t *testing.T, name, label string) (sum float64) {
	t.Helper()
	families, err := h.proc.Load().registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "meshd_ask_"+name && m.GetLabel()[0].GetValue() == label {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// askingMesh is two hubs and two edges of one region and a hub of another, all with windows.
func askingMesh(m *mesh) {
	for _, name := range []string{"eu-h1", "eu-h2", "us-h1", "eu-e1", "eu-e2"} {
		m.newMachine(name).keeps = true
	}
	m.start("eu-h1", "eu-h2", "us-h1", "eu-e1", "eu-e2")
	m.until("all sessions", 15*time.Second, m.formed)
}

// clicks counts at every node, once a second, in two series.
func (m *mesh) clicks(t *testing.T, seconds int) {
	for i := range seconds {
		for j, h := range m.running() {
			s := &crdt.Series{Name: "clicks", Kind: crdt.KindCounter, Labels: []crdt.Label{{Name: "shop", Value: fmt.Sprint(i % 2)}}}
			submit(t, h.proc.Load().node, node.Item{Series: s, Inc: crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(uint64(i + 10*j))}})
		}
		time.Sleep(time.Second)
	}
}

// questions are about the time from a moment up to another.
func questions(from, to time.Time) []string {
	ranged := func(expr string) string {
		return "/api/v1/query_range?" + url.Values{
			"query": {expr}, "start": {fmt.Sprint(from.Unix())}, "end": {fmt.Sprint(to.Unix())}, "step": {"10"},
		}.Encode()
	}
	within := fmt.Sprintf("start=%d&end=%d", from.Unix(), to.Unix())
	return []string{
		ranged("sum by (region) (increase(clicks[30s]))"),
		ranged(`increase(clicks{shop=~"1|2",region!="us"}[30s])`),
		ranged(`sum by (node) (increase(clicks{region="eu"}[30s]))`),
		ranged(`rate(clicks{node="eu-h2"}[30s])`),
		ranged(`clicks{node=~".+",region="eu"}`),
		ranged("sum by (region) (clicks)"),
		"/v1/total?metric=cli*&step=10s&by=region,shop&" + within,
		"/v1/total?metric=clicks&match=shop=1&match=region=eu&by=node&" + within,
		"/api/v1/series?match[]=clicks&" + within,
		"/api/v1/labels?" + within,
		"/api/v1/label/shop/values?" + within,
		"/api/v1/label/region/values?match[]=clicks&" + within,
		"/api/v1/metadata",
	}
}

// answerOf leaves out of an answer what says when it was made.
func answerOf(w *httptest.ResponseRecorder) string {
	body, _, _ := strings.Cut(w.Body.String(), `,"coverage"`)
	return fmt.Sprintf("%d %s %s", w.Code, w.Header().Get("X-Meshd-Coverage"), body)
}

// sameEverywhere demands of every machine the answers of one, without warnings.
func sameEverywhere(t *testing.T, m *mesh, from, to time.Time) {
	t.Helper()
	for _, q := range questions(from, to) {
		want := answerOf(m.machines["eu-h1"].get(t.Context(), q))
		if !strings.HasPrefix(want, "200 ") || strings.Contains(want, "warnings") || len(want) < len(`200 complete {"status":"success","data":["0","1"]}`) {
			t.Fatalf("the hub on %s: %s", q, want)
		}
		for _, name := range []string{"eu-e1", "eu-e2"} {
			if got := answerOf(m.machines[name].get(t.Context(), q)); got != want {
				t.Errorf("%s on %s:\n%.2000s\nthe hub:\n%.2000s", name, q, got, want)
			}
		}
	}
}

// Any node answers for the mesh's past: an edge asks a hub. Cut off, it answers from its own windows and says so.
func TestAnEdgeAnswersForThePastOfTheMesh(t *testing.T) {
	bubble(t, func(t *testing.T, m *mesh) {
		askingMesh(m)
		m.clicks(t, 20)
		time.Sleep(6 * time.Minute) // further back than a query looks: it is in the heights of curves
		from := time.Now().Truncate(10 * time.Second)
		m.clicks(t, 90)
		time.Sleep(20 * time.Second)
		to := from.Add(80 * time.Second)
		sameEverywhere(t, m, from, to)

		e := m.machines["eu-e1"]
		m.net.Cut([]string{e.addr}, m.hubs(""))
		cut := time.Now().Truncate(10 * time.Second)
		m.clicks(t, 60)
		time.Sleep(20 * time.Second)
		for _, q := range questions(cut, cut.Add(60*time.Second))[:8] {
			w := e.get(t.Context(), q)
			if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "no hub answers") {
				t.Errorf("cut off, on %s: %d %s", q, w.Code, w.Body)
			}
			if strings.HasPrefix(q, "/api/") && w.Header().Get("X-Meshd-Coverage") != "incomplete" {
				t.Errorf("cut off, on %s: coverage %q", q, w.Header().Get("X-Meshd-Coverage"))
			}
		}
		own := e.get(t.Context(), fmt.Sprintf("/v1/total?metric=clicks&start=%d&end=%d", cut.Unix(), cut.Add(80*time.Second).Unix()))
		if sum := `"value":1770,`; !strings.Contains(own.Body.String(), sum) { // 0 + 1 + ... + 59
			t.Errorf("cut off: %s, want %s", own.Body, sum)
		}
		if n := e.counted(t, "asked_total", "alone"); n == 0 {
			t.Error("nothing was counted")
		}

		m.net.Heal([]string{e.addr}, m.hubs(""))
		m.until("all sessions", 30*time.Second, m.formed)
		time.Sleep(20 * time.Second)
		sameEverywhere(t, m, cut, cut.Add(60*time.Second))
	})
}

// What nobody waits for any more is not read at the hub either, and a hub that does not answer is replaced by the other one.
func TestAHubThatIsStuck(t *testing.T) {
	bubble(t, func(t *testing.T, m *mesh) {
		askingMesh(m)
		from := time.Now().Truncate(10 * time.Second)
		m.clicks(t, 30)
		time.Sleep(20 * time.Second)
		q := questions(from, from.Add(30*time.Second))[0]
		e := m.machines["eu-e1"]
		want := answerOf(e.get(t.Context(), q))
		h1, h2 := m.machines["eu-h1"], m.machines["eu-h2"]
		h1.proc.Load().past.stuck.Store(true)
		h2.proc.Load().past.stuck.Store(true)

		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan *httptest.ResponseRecorder)
		go func() { done <- e.get(ctx, q) }()
		working := func() bool { return h1.proc.Load().past.reads.Load()+h2.proc.Load().past.reads.Load() > 0 }
		m.until("a hub works", time.Second, working)
		cancel()
		<-done
		m.until("no hub works", time.Second, func() bool { return !working() })
		if n := h1.counted(t, "answered_total", "given_up") + h2.counted(t, "answered_total", "given_up"); n != 1 {
			t.Errorf("%v answers were given up, want 1", n)
		}

		h2.proc.Load().past.stuck.Store(false)
		for range 4 { // whichever hub is asked first
			if got := answerOf(e.get(t.Context(), q)); got != want {
				t.Errorf("with a stuck hub:\n%s\nbefore:\n%s", got, want)
			}
		}
	})
}
