package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"meshd/crdt"
	"meshd/internal/mutant"
	"meshd/node"
)

// LabelRules say how the labels of everything that comes in change, by whatever door, in this order: labels are
// looked up in tables and added, fixed ones are added, and Prometheus' rules rewrite what there is then. A label that
// is there already stays.
type LabelRules struct {
	Lookups              []LabelLookup     `yaml:"lookups"`
	Labels               map[string]string `yaml:"labels"`
	MetricRelabelConfigs relabelRules      `yaml:"metric_relabel_configs"`
}

// LoadLabelRules reads a YAML file and the tables that it names. Unknown keys are refused.
func LoadLabelRules(file string) (*LabelRules, error) {
	r := new(LabelRules)
	if err := readYAML("label rules", file, r); err != nil {
		return nil, err
	}
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("ingest: label rules: %s: %w", file, err)
	}
	return r, nil
}

func (r *LabelRules) check() error {
	for name := range r.Labels {
		if err := checkAddedLabel(name); err != nil {
			return err
		}
	}
	if len(r.Labels)+len(r.Lookups) > crdt.MaxLabels {
		return fmt.Errorf("more than %d labels and lookups", crdt.MaxLabels)
	}
	for i := range r.Lookups {
		if err := r.Lookups[i].check(); err != nil {
			return fmt.Errorf("lookup %d: %w", i+1, err)
		}
	}
	return r.MetricRelabelConfigs.check("metric_relabel_configs")
}

func checkAddedLabel(name string) error {
	if !model.UTF8Validation.IsValidLabelName(name) || strings.HasPrefix(name, model.ReservedLabelPrefix) || name == "node" || name == "region" {
		return fmt.Errorf("%.64q cannot be the name of a label that is added", name)
	}
	return nil
}

const (
	// labelsCacheBytes bounds what is remembered of series: some 50,000 of usual size. At the bound it is emptied.
	labelsCacheBytes = 32 << 20
	// tableLook is how often tables are looked at for changes.
	tableLook = 5 * time.Second
)

// Labeller is a Submitter that changes labels on their way to another one. Samples whose series the rules drop are
// counted as ignored and answered as if they had been accepted; their tokens are not remembered, since a repetition is
// dropped again. Those whose events are kept (Recorder) go on to the node, and count nothing there.
type Labeller struct {
	rules  *LabelRules
	tables []*lookupTable
	to     Submitter
	meter  *meter
	log    *slog.Logger

	known atomic.Pointer[labelCache] // replaced when a table changes
}

// labelCache remembers what the rules make of a series.
type labelCache struct {
	mu    sync.RWMutex
	made  map[string]madeSeries
	bytes int
}

// madeSeries is a series after the rules: nil and no error if they drop it.
type madeSeries struct {
	series *crdt.Series
	err    error
}

func newLabelCache() *labelCache { return &labelCache{made: make(map[string]madeSeries)} }

// NewLabeller returns a labeller before to. It reads the tables: one that cannot be read is an error here and, later,
// counted, and what was read last holds.
func NewLabeller(rules *LabelRules, to Submitter, m *Metrics, log *slog.Logger) (*Labeller, error) {
	l := &Labeller{rules: rules, to: to, meter: m.meter("labels"), log: log}
	l.known.Store(newLabelCache())
	for i := range rules.Lookups {
		t, err := openLookupTable(&rules.Lookups[i], m.lookupFailures)
		if err != nil {
			return nil, err
		}
		l.tables = append(l.tables, t)
	}
	return l, nil
}

// Run looks for changed tables until ctx ends.
func (l *Labeller) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		pause(ctx, tableLook)
		l.reload()
	}
	return nil
}

// reload reads tables that have changed.
func (l *Labeller) reload() {
	changed := false
	for _, t := range l.tables {
		again, err := t.reload()
		if err != nil {
			l.log.Warn("cannot read a table of labels: what it said before holds", "file", t.rule.File, "err", err)
		}
		changed = changed || again
	}
	if changed {
		l.known.Store(newLabelCache())
	}
}

// Submit implements Submitter.
func (l *Labeller) Submit(ctx context.Context, b *node.Batch) node.Result {
	out := node.Batch{Items: make([]node.Item, 0, len(b.Items)), Lost: b.Lost, AckHub: b.AckHub, Chain: b.Chain}
	var from []int // of each item that goes on
	var refused []node.Rejection
	dropped, kept := 0, 0 // kept: dropped, but for its event
	known := l.known.Load()
	var key []byte
	for i, it := range b.Items {
		var made madeSeries
		made, key = l.made(known, it.Series, key)
		switch {
		case made.err != nil:
			refused = append(refused, node.Rejection{Index: i, Err: made.err})
		case made.series == nil && (it.Raw == nil || mutant.On("dropped events not kept")):
			dropped++
		default:
			if made.series == nil {
				kept++
			}
			it.Series = made.series
			out.Items, from = append(out.Items, it), append(from, i)
		}
	}
	l.meter.ignored.WithLabelValues("relabelled").Add(float64(dropped + kept))
	var res node.Result
	if len(out.Items) > 0 || out.Lost > 0 || out.Chain != nil {
		if res = l.to.Submit(ctx, &out); res.Err != nil && !errors.Is(res.Err, node.ErrUnconfirmed) {
			return res
		}
	}
	for i := range res.Rejected {
		if mutant.On("refusals of the wrong sample") {
			break
		}
		res.Rejected[i].Index = from[res.Rejected[i].Index]
	}
	res.Rejected = append(res.Rejected, refused...)
	res.Accepted += dropped
	return res
}

// Series returns what the rules make of a series: nil if they drop it, an error if what they make is none.
func (l *Labeller) Series(s *crdt.Series) (*crdt.Series, error) {
	made, _ := l.made(l.known.Load(), s, nil)
	return made.series, made.err
}

// made is that from memory, if it is there. key is scratch, and returned.
func (l *Labeller) made(known *labelCache, s *crdt.Series, key []byte) (madeSeries, []byte) {
	key = s.AppendKey(key[:0])
	made, ok := known.find(key)
	if !ok {
		made.series, made.err = l.make(s)
		known.put(key, made)
	}
	return made, key
}

// make applies the rules to a series.
func (l *Labeller) make(s *crdt.Series) (*crdt.Series, error) {
	b := labels.NewBuilder(labels.EmptyLabels())
	b.Set(model.MetricNameLabel, s.Name)
	for _, label := range s.Labels {
		b.Set(label.Name, label.Value)
	}
	for _, t := range l.tables {
		t.add(b)
	}
	for name, value := range l.rules.Labels {
		if b.Get(name) == "" {
			b.Set(name, value)
		}
	}
	if !l.rules.MetricRelabelConfigs.apply(b) {
		return nil, nil
	}
	return seriesOf(b.Labels(), s.Kind)
}

func (c *labelCache) find(key []byte) (madeSeries, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	m, ok := c.made[string(key)]
	return m, ok
}

func (c *labelCache) put(key []byte, m madeSeries) {
	c.mu.Lock()
	defer c.mu.Unlock()
	size := 300 + 2*len(key) // the key, and the same texts in the series
	if c.bytes += size; c.bytes > labelsCacheBytes {
		clear(c.made)
		c.bytes = size
	}
	c.made[string(key)] = m
}
