package ask

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics count questions and answers of one node.
type Metrics struct {
	asked    *prometheus.CounterVec // outcome, at who asked
	answered *prometheus.CounterVec // outcome, at who answered
	bytes    *prometheus.CounterVec // direction
	taken    *prometheus.CounterVec // result, of windows taken over
}

// Outcomes. Those of answers are complete: each question that came has one.
const (
	outcomeWhole     = "whole"
	outcomeBusy      = "busy"
	outcomeTooBig    = "too_big"
	outcomeLate      = "late"
	outcomeFailed    = "failed"
	outcomeGivenUp   = "given_up"
	outcomeMalformed = "malformed"
	outcomeAlone     = "alone" // no hub answered: own windows were read

	takenNews    = "news"
	takenHeld    = "held"
	takenRefused = "refused"

	directionIn  = "in"
	directionOut = "out"
)

// NewMetrics registers the metrics.
func NewMetrics(r prometheus.Registerer) (*Metrics, error) {
	vec := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "meshd", Subsystem: "ask", Name: name, Help: help}, []string{label})
	}
	m := &Metrics{
		asked:    vec("asked_total", "Questions that this node asked hubs, by outcome; alone: none answered, and own windows were read.", "outcome"),
		answered: vec("answered_total", "Questions of other nodes, by outcome; given_up: the peer did not wait for the end.", "outcome"),
		taken:    vec("taken_windows_total", "Windows that were taken over from other hubs: news, held already, or refused as not theirs to tell.", "result"),
		bytes:    vec("answer_bytes_total", "Bytes of answers, by direction.", "direction"),
	}
	for _, c := range []prometheus.Collector{m.asked, m.answered, m.bytes, m.taken} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("ask: register metrics: %w", err)
		}
	}
	return m, nil
}
