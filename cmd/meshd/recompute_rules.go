package main

import (
	"fmt"
	"log/slog"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"meshd/crdt"
	"meshd/ingest"
	"meshd/internal/recompute"
)

// loadRules returns what events are counted as by files of rules, each for all nodes, those of a region, or one: a file may add labels that say where
// its node is. What none is for is counted as it was received.
func loadRules(files []string) (recompute.Rule, error) {
	by := map[string]*ingest.Labeller{}
	for _, text := range files {
		of, file, some := strings.Cut(text, "=")
		if !some {
			of, file = "", text
		}
		if by[of] != nil {
			return nil, usagef("recompute: --relabel %s: there are other rules for the same nodes", text)
		}
		var err error
		if by[of], err = loadLabeller(file); err != nil {
			return nil, fmt.Errorf("--relabel %s: %w", text, err)
		}
	}
	return func(o crdt.Origin, s *crdt.Series) (*crdt.Series, error) {
		for _, of := range []string{o.Region + "/" + o.Node, o.Region, ""} {
			if l := by[of]; l != nil {
				return l.Series(s)
			}
		}
		return s, nil
	}, nil
}

// loadLabeller returns the rules of a file, for who only asks what they make of a series.
func loadLabeller(file string) (*ingest.Labeller, error) {
	rules, err := ingest.LoadLabelRules(file)
	if err != nil {
		return nil, err
	}
	metrics, err := ingest.NewMetrics(prometheus.NewRegistry())
	if err != nil {
		return nil, err
	}
	return ingest.NewLabeller(rules, nil, metrics, slog.Default())
}
