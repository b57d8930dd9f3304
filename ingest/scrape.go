package ingest

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/config"
)

// ScrapeConfig configures what is scraped.
type ScrapeConfig struct {
	Rules *ScrapeRules
	Door  *Door
	// Self is this node's name. Hubs returns the names of the hubs of its region that are there now, its own if it is one,
	// in any order. It is asked every few seconds, for rules with split: hubs.
	Self     string
	Hubs     func(context.Context) []string
	Resolver *net.Resolver // default net.DefaultResolver
	Logger   *slog.Logger
}

const (
	// scrapeLook is how often the targets are compared with what was found and who is there.
	scrapeLook = 5 * time.Second
	// maxScrapes run at once: each may hold a body, which is charged to the door.
	maxScrapes = 32
)

// Scraper asks targets for their metrics, as Prometheus does, and submits what they say.
//
// Counters are observed: any number of nodes may scrape one target and agree. The run of a counter begins when the target
// says (OpenMetrics' _created, protobuf's created timestamp), else at an unknown time. A gauge is stamped with the
// time of its scrape, so that of several nodes the last to look is believed (newest). What a body says counts as a whole
// or, if it cannot be read or is beyond a limit of its job, not at all; a sample that is refused does not touch the
// others.
type Scraper struct {
	cfg    ScrapeConfig
	door   *Door
	meter  *meter
	slots  chan struct{}
	jobs   []*scrapeJob
	failed prometheus.Counter

	mu     sync.Mutex
	states map[string]*targetState // of all targets that were found, by key
}

// scrapeJob is a ScrapeJob made ready.
type scrapeJob struct {
	*ScrapeJob
	client *http.Client
	found  []*discovery
}

// discovery is one way to learn of targets and what it said last.
type discovery struct {
	discoverer
	mu     sync.Mutex
	groups []targetGroup
	err    string // of the last answer, "" if it was good
}

// NewScraper returns a scraper. Nothing is asked before Run.
func NewScraper(cfg ScrapeConfig) (*Scraper, error) {
	if cfg.Resolver == nil {
		cfg.Resolver = net.DefaultResolver
	}
	m := cfg.Door.metrics
	s := &Scraper{
		cfg: cfg, door: cfg.Door, meter: m.meter("scrape"), slots: make(chan struct{}, maxScrapes),
		failed: m.scrapesFailed, states: make(map[string]*targetState),
	}
	for _, j := range cfg.Rules.ScrapeConfigs {
		client, err := config.NewClientFromConfig(j.Client, j.JobName)
		if err != nil {
			return nil, fmt.Errorf("ingest: scrape rules: job %q: %w", j.JobName, err)
		}
		ways, err := j.discoveries(cfg.Resolver)
		if err != nil {
			return nil, fmt.Errorf("ingest: scrape rules: job %q: %w", j.JobName, err)
		}
		ready := &scrapeJob{ScrapeJob: j, client: client}
		for _, w := range ways {
			ready.found = append(ready.found, &discovery{discoverer: w})
		}
		s.jobs = append(s.jobs, ready)
	}
	return s, nil
}

// Run looks for targets and scrapes them until ctx ends. It returns when the scrapes that ran have ended.
func (s *Scraper) Run(ctx context.Context) error {
	var all sync.WaitGroup
	defer all.Wait()
	news := make(chan struct{}, 1)
	for _, j := range s.jobs {
		for _, d := range j.found {
			all.Go(func() { s.follow(ctx, j, d, news) })
		}
	}
	running := make(map[string]context.CancelFunc)
	defer func() {
		for _, stop := range running {
			stop()
		}
	}()
	tick := time.NewTicker(scrapeLook)
	defer tick.Stop()
	for {
		s.sync(ctx, running, all.Go)
		select {
		case <-tick.C:
		case <-news:
		case <-ctx.Done():
			return nil
		}
	}
}

// follow asks one way of discovery again and again.
func (s *Scraper) follow(ctx context.Context, j *scrapeJob, d *discovery, news chan<- struct{}) {
	for ctx.Err() == nil {
		groups, err := d.find(ctx)
		if ctx.Err() != nil {
			return
		}
		d.mu.Lock()
		if err == nil {
			d.groups, d.err = groups, ""
		} else {
			s.door.metrics.discoveryFailed.Inc()
			if d.err != err.Error() { // once for as long as it is the same
				d.err = err.Error()
				s.cfg.Logger.Warn("cannot look for targets: what was found before holds", "job", j.JobName, "err", err)
			}
		}
		d.mu.Unlock()
		select {
		case news <- struct{}{}:
		default:
		}
		pause(ctx, d.pause())
	}
}

// sync starts scraping what this node is to scrape and does not yet, and stops what it is not to any more.
func (s *Scraper) sync(ctx context.Context, running map[string]context.CancelFunc, spawn func(func())) {
	targets, refused := s.targets()
	own := s.ownedOf(ctx, targets)
	states := make(map[string]*targetState, len(targets))
	s.mu.Lock()
	for key, t := range targets {
		st := s.states[key]
		if st == nil {
			st = &targetState{target: t.target}
		}
		st.setOwners(own[key])
		states[key] = st
	}
	s.states = states
	s.mu.Unlock()
	for key, stop := range running {
		if !slices.Contains(own[key], s.cfg.Self) {
			stop()
			delete(running, key)
		}
	}
	mine := 0
	for key, t := range targets {
		if !slices.Contains(own[key], s.cfg.Self) {
			continue
		}
		mine++
		if running[key] != nil {
			continue
		}
		scraping, stop := context.WithCancel(ctx)
		running[key] = stop
		l := &scrapeLoop{s: s, target: t.target, client: t.job.client, body: newExposition(t.target), health: states[key]}
		spawn(func() { l.run(scraping) })
	}
	s.door.metrics.targets.WithLabelValues("own").Set(float64(mine))
	s.door.metrics.targets.WithLabelValues("elsewhere").Set(float64(len(targets) - mine))
	s.door.metrics.targets.WithLabelValues("nobody").Set(float64(refused))
}

// foundTarget is a target and the job that it is of.
type foundTarget struct {
	*target
	job *scrapeJob
}

// targets returns all targets that are known now, by key, and how many cannot be scraped or are beyond a limit.
func (s *Scraper) targets() (all map[string]foundTarget, refused int) {
	all = make(map[string]foundTarget)
	for _, j := range s.jobs {
		of := 0
		for _, g := range j.groups() {
			targets, bad := j.targetsOf(&g)
			for _, err := range bad {
				s.cfg.Logger.Debug("a target cannot be scraped", "job", j.JobName, "source", g.source, "err", err)
			}
			refused += len(bad)
			for _, t := range targets {
				if _, known := all[t.key]; known {
					continue
				}
				if of >= j.TargetLimit || len(all) >= maxScrapeTargets {
					refused++
					continue
				}
				of++
				all[t.key] = foundTarget{t, j}
			}
		}
	}
	return all, refused
}

// groups returns what is configured and what was found.
func (j *scrapeJob) groups() []targetGroup {
	all := slices.Clone(j.Static)
	for _, d := range j.found {
		d.mu.Lock()
		all = append(all, d.groups...)
		d.mu.Unlock()
	}
	return all
}

// ownedOf returns the names of the nodes that scrape each target.
func (s *Scraper) ownedOf(ctx context.Context, targets map[string]foundTarget) map[string][]string {
	own := make(map[string][]string, len(targets))
	nodes := []string{s.cfg.Self}
	r := s.cfg.Rules
	if r.Split == splitHubs {
		nodes = slices.DeleteFunc(s.cfg.Hubs(ctx), func(n string) bool { return len(r.Nodes) > 0 && !slices.Contains(r.Nodes, n) })
	}
	for key := range targets {
		own[key] = ownersOf(key, nodes, r.Replicas)
	}
	return own
}
