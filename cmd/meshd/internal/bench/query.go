package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"

	"meshd/buffer"
	"meshd/crdt"
	"meshd/history"
	"meshd/history/historytest"
	"meshd/internal/bridge"
	"meshd/node"
	"meshd/query"
)

// queries measures questions over windows in chunks on disk: 10 CPU series of each host, every 10 s.
type queries struct {
	hosts, repeats int
	length         time.Duration
	seed           uint64
}

func queryBench() Bench {
	return Bench{
		Name: "query", Summary: "questions over hours of history, beside the PromQL engine over slices in memory",
		bind: func(fs *pflag.FlagSet) job {
			q := &queries{}
			fs.IntVar(&q.hosts, "hosts", 1000, "`number` of hosts with ten series each")
			fs.DurationVar(&q.length, "length", 12*time.Hour, "`time` that the history covers, in whole hours")
			fs.IntVar(&q.repeats, "repeats", 15, "`number` of times that each question is asked")
			fs.Uint64Var(&q.seed, "seed", 1, "`number` that the walks are drawn from")
			return q
		},
		quick: map[string]string{"hosts": "10", "length": "2h", "repeats": "3"},
	}
}

func (q *queries) check() error {
	if q.hosts < 1 || q.hosts > 10_000 || q.repeats < 1 || q.length < time.Hour || q.length%time.Hour != 0 || q.length > 7*24*time.Hour {
		return errors.New("--hosts must be 1 to 10000, --repeats 1 or more, --length whole hours up to 168h")
	}
	return nil
}

// queryDetail is what the report says besides its figure.
type queryDetail struct {
	Hosts     int           `json:"hosts"`
	Series    int           `json:"series"`
	Samples   int           `json:"samples"`
	DiskBytes uint64        `json:"disk_bytes"`
	Questions []questionFor `json:"questions"`
	PromQL    []promRatio   `json:"promql"`
}

// questionFor is how long one question of the totals API takes, through its handler, warm.
type questionFor struct {
	Name   string  `json:"name"`
	Form   string  `json:"form"`
	Took   spread  `json:"took"`
	Least  float64 `json:"least_ms"` // of all times: others share the machine
	Bytes  int     `json:"answer_bytes"`
	AtMost float64 `json:"at_most_ms"`
	Met    bool    `json:"met"`
}

const benchRegion = "east"

func (q *queries) measure(ctx context.Context, r *run) (_ *Report, err error) {
	disk, err := buffer.Open(buffer.Config{Dir: filepath.Join(r.dir, "data"), Mesh: "bench", Region: benchRegion, Node: "query", MemoryBytes: 1 << 30})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, disk.Close()) }()
	from := time.Date(2026, 3, 14, 0, 0, 0, 0, time.UTC)
	store, err := history.Open(history.Config{KV: bridge.Windows{Store: disk}, Now: func() time.Time { return from.Add(q.length + time.Hour) }})
	if err != nil {
		return nil, err
	}
	defer store.Close()
	d := queryDetail{Hosts: q.hosts, Series: 11 * q.hosts}
	if d.Samples, err = q.load(ctx, r, store, from); err != nil {
		return nil, err
	}
	d.DiskBytes = disk.Size()
	if err := q.ask(ctx, r, store, from, &d); err != nil {
		return nil, err
	}
	if err := q.compare(ctx, r, store, from, &d); err != nil {
		return nil, err
	}
	const name = "average of a series of every host over the hours"
	i := slices.IndexFunc(d.Questions, func(x questionFor) bool { return x.Name == name })
	rep := newReport(Quantity{d.Questions[i].Took.P50, "ms", name}, d.Questions[i].AtMost,
		Quantity{float64(d.Questions[i].Bytes), "bytes", "the answer"}, d)
	for _, x := range d.Questions {
		rep.miss(!x.Met)
	}
	for _, x := range d.PromQL {
		rep.miss(!x.Met)
		if x.Differ > 0 {
			rep.wrong("%s: %d values differ from those over slices", x.Expr, x.Differ)
		}
	}
	return rep, nil
}

// load writes gauges and, of each host, one counter, as the totals of a region.
func (q *queries) load(ctx context.Context, r *run, store *history.Store, from time.Time) (samples int, err error) {
	gauges := historytest.Hosts{Hosts: q.hosts, Series: 10, Fine: 10 * time.Second, From: from, Length: q.length, Seed: q.seed, Kind: crdt.KindGauge, Region: benchRegion}
	counters := gauges
	counters.Kind, counters.Series = crdt.KindCounter, 1
	hub := crdt.Origin{Class: crdt.ClassRegion, Region: benchRegion, Node: "query", Inc: crdt.Incarnation{1}}
	tag := uint64(0)
	for h := range q.hosts {
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		var cells []history.Cell
		for i := range gauges.Series {
			cells = append(cells, gauges.Cells(h, i)...)
		}
		counted := counters.Cells(h, 0)
		named := *counted[0].Series
		named.Name = "requests"
		for i := range counted {
			counted[i].Series = &named
		}
		tag++
		if err := store.Apply(tag, hub, append(cells, counted...)); err != nil {
			return 0, err
		}
		samples += 11 * int(q.length/gauges.Fine)
		if h%50 == 49 || h == q.hosts-1 {
			if err := store.Fold(ctx); err != nil {
				return 0, err
			}
			r.say("%d of %d hosts written", h+1, q.hosts)
		}
	}
	return samples, nil
}

// silent is a node that knows nothing but its history.
type silent struct{ until time.Time }

func (s silent) Totals(context.Context, node.Select) (*node.Totals, error) {
	return &node.Totals{Coverage: []node.Coverage{{Region: benchRegion, NodesExpected: 1, NodesHeard: 1, CompleteUntil: s.until}}}, nil
}

func (silent) Explain(context.Context, node.Select) (*node.Explanation, error) {
	return &node.Explanation{}, nil
}

func (silent) Status(context.Context) (*node.Status, error) {
	return &node.Status{Region: benchRegion}, nil
}

// ask puts the questions to the totals API.
func (q *queries) ask(ctx context.Context, r *run, store history.Source, from time.Time, d *queryDetail) error {
	server, err := query.New(query.Config{Source: silent{from.Add(q.length)}, Registry: prometheus.NewRegistry(), History: store, Timeout: time.Minute})
	if err != nil {
		return err
	}
	end := from.Add(q.length)
	span := func(length time.Duration) url.Values {
		return url.Values{"start": {end.Add(-length).Format(time.RFC3339)}, "end": {end.Format(time.RFC3339)}, "agg": {"avg"}}
	}
	one, hours, all := span(time.Hour), span(q.length), span(q.length)
	one["metric"], one["match"], one["step"] = []string{"cpu_usage_user"}, []string{"host=host-7"}, []string{"10s"}
	hours["metric"], hours["by"], hours["step"] = []string{"cpu_usage_user"}, []string{"host"}, []string{"1h"}
	all["metric"], all["by"] = []string{"cpu_usage_*"}, []string{"host"}
	for _, x := range []struct {
		name   string
		form   url.Values
		atMost float64 // ms
	}{
		{"one series an hour in steps of 10 s", one, 2},
		{"average of a series of every host over the hours", hours, 25},
		{"average of every series of every host", all, 250},
	} {
		found := questionFor{Name: x.name, Form: x.form.Encode(), AtMost: x.atMost}
		var took []time.Duration
		for i := range q.repeats + 2 {
			w := httptest.NewRecorder()
			began := time.Now()
			server.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/v1/total?"+found.Form, nil))
			if took = append(took, time.Since(began)); w.Code != http.StatusOK {
				return fmt.Errorf("%s: status %d: %s", x.name, w.Code, w.Body)
			}
			if found.Bytes = w.Body.Len(); i == 1 {
				took = took[:0] // warm now
			}
		}
		found.Took = newSpread(took)
		found.Least = ms(took[0])
		found.Met = found.Took.P50 <= x.atMost
		r.say("%s: %.3g ms", x.name, found.Took.P50)
		d.Questions = append(d.Questions, found)
	}
	return nil
}
