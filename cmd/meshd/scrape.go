package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"meshd/cmd/meshd/internal/config"
	"meshd/ingest"
	"meshd/query"
)

// openLabels returns what the doors hand their batches to: the node, behind the rules for labels if there are any.
func (p *parts) openLabels(cfg *config.Config, metrics *ingest.Metrics, log *slog.Logger) (ingest.Submitter, error) {
	if cfg.Labels == "" {
		return p.node, nil
	}
	rules, err := ingest.LoadLabelRules(cfg.Labels)
	if err == nil {
		p.labels, err = ingest.NewLabeller(rules, p.node, metrics, log)
	}
	if err != nil {
		return nil, fmt.Errorf("--labels: %w", err)
	}
	return p.labels, nil
}

// openScrape reads the rules. Targets may be shared with the hubs of the region that members knows to be there.
func openScrape(cfg *config.Config, door *ingest.Door, members func(context.Context) ([]query.Member, error), log *slog.Logger) (*ingest.Scraper, error) {
	rules, err := ingest.LoadScrapeRules(cfg.Scrape)
	if err != nil {
		return nil, err
	}
	if rules.Split == "hubs" && cfg.Role != "hub" {
		return nil, errors.New("split: hubs is for hubs; an edge scrapes for itself: leave split away")
	}
	hubs := func(ctx context.Context) (names []string) {
		list, err := members(ctx)
		if err != nil { // the node ends, or hangs: nobody else has a reason to take over
			return []string{cfg.Node}
		}
		for i := range list {
			m := &list[i]
			if m.Region == cfg.Region && m.Role == "hub" && (m.State == "self" || m.State == "alive") {
				names = append(names, m.Node)
			}
		}
		return names
	}
	return ingest.NewScraper(ingest.ScrapeConfig{Rules: rules, Door: door, Self: cfg.Node, Hubs: hubs, Logger: log})
}

// targetList shows what is scraped as the API has it.
func targetList(s *ingest.Scraper) func() []query.Target {
	return func() []query.Target {
		all := s.Targets()
		out := make([]query.Target, 0, len(all))
		for i := range all {
			t := &all[i]
			out = append(out, query.Target{
				Job: t.Job, URL: t.URL, Labels: t.Labels, Nodes: t.Nodes, Health: t.Health, Error: t.Error, Last: query.Time{Time: t.Last},
				TookMs: t.Took.Seconds() * 1000, Samples: t.Samples, IntervalMs: t.Interval.Seconds() * 1000,
			})
		}
		return out
	}
}
