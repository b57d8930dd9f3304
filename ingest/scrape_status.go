package ingest

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// Target is what a scraper knows of one target.
type Target struct {
	Job      string
	URL      string
	Labels   map[string]string
	Nodes    []string // that scrape it, as this node sees it
	Health   string   // "up", "down", "unknown" before its first scrape here, "elsewhere" if other nodes scrape it
	Error    string   // of the last scrape, "" if it was good
	Last     time.Time
	Took     time.Duration
	Samples  int // that the last scrape kept
	Interval time.Duration
}

// Healths of targets.
const (
	TargetUp        = "up"
	TargetDown      = "down"
	TargetUnknown   = "unknown"
	TargetElsewhere = "elsewhere"
)

// targetState is the health of one target.
type targetState struct {
	target *target

	mu      sync.Mutex
	nodes   []string
	scraped bool
	err     error
	last    time.Time
	took    time.Duration
	samples int
}

func (t *targetState) setOwners(nodes []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.nodes = nodes
}

func (t *targetState) done(at time.Time, took time.Duration, err error, samples int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.scraped, t.err, t.last, t.took, t.samples = true, err, at, took, samples
}

func (t *targetState) status(self string) Target {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := Target{
		Job: t.target.job.JobName, URL: t.target.url, Labels: make(map[string]string), Nodes: t.nodes, Health: TargetUp,
		Last: t.last, Took: t.took, Samples: t.samples, Interval: t.target.interval,
	}
	t.target.labels.Range(func(l labels.Label) { out.Labels[l.Name] = l.Value })
	switch {
	case !slices.Contains(t.nodes, self):
		out.Health = TargetElsewhere
	case !t.scraped:
		out.Health = TargetUnknown
	case t.err != nil:
		out.Health, out.Error = TargetDown, t.err.Error()
	}
	return out
}

// Targets returns all targets, sorted by job and URL.
func (s *Scraper) Targets() []Target {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Target, 0, len(s.states))
	for _, st := range s.states {
		out = append(out, st.status(s.cfg.Self))
	}
	slices.SortFunc(out, func(a, b Target) int { return cmp.Or(cmp.Compare(a.Job, b.Job), cmp.Compare(a.URL, b.URL)) })
	return out
}
