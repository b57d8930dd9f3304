package query

import (
	"fmt"
	"net/http"
)

// TargetsAnswer is the body of GET /v1/targets, which needs the role admin: URLs may hold secrets.
type TargetsAnswer struct {
	Targets []Target `json:"targets"` // sorted by job and URL
}

// Target is one endpoint that nodes scrape, as the node that answers sees it.
type Target struct {
	Job    string            `json:"job"`
	URL    string            `json:"url"`
	Labels map[string]string `json:"labels"`
	Nodes  []string          `json:"nodes"` // that scrape it
	// Health is "up", "down", "unknown" before the first scrape here, "elsewhere" if other nodes scrape it.
	Health     string  `json:"health"`
	Error      string  `json:"error,omitempty"` // of the last scrape
	Last       Time    `json:"last"`            // null: not scraped here yet
	TookMs     float64 `json:"took_ms"`
	Samples    int     `json:"samples"` // that the last scrape kept
	IntervalMs float64 `json:"interval_ms"`
}

// ScrapeState is what /v1/status says of targets: how many there are by health, and the first that are down.
type ScrapeState struct {
	Up        int          `json:"up"`
	Down      int          `json:"down"`
	Unknown   int          `json:"unknown"`
	Elsewhere int          `json:"elsewhere"`
	First     []TargetDown `json:"first_down,omitempty"` // at most 10
}

// TargetDown is a target whose last scrape failed.
type TargetDown struct {
	Job      string `json:"job"`
	Instance string `json:"instance"`
	Error    string `json:"error"`
}

// maxDownTargets bounds what a status lists: /v1/targets has all.
const maxDownTargets = 10

func newScrapeState(targets []Target) *ScrapeState {
	s := new(ScrapeState)
	for i := range targets {
		t := &targets[i]
		switch t.Health {
		case "up":
			s.Up++
		case "down":
			s.Down++
			if len(s.First) < maxDownTargets {
				s.First = append(s.First, TargetDown{Job: t.Job, Instance: t.Labels["instance"], Error: t.Error})
			}
		case "elsewhere":
			s.Elsewhere++
		default:
			s.Unknown++
		}
	}
	return s
}

func (s *Server) targets(w http.ResponseWriter, _ *http.Request) error {
	writeJSON(w, http.StatusOK, &TargetsAnswer{Targets: s.cfg.Targets()})
	return nil
}

// scrapeRows say how targets are.
func scrapeRows(s *ScrapeState) (rows [][]string) {
	if s == nil {
		return nil
	}
	rows = append(rows, []string{"targets", fmt.Sprintf("%d up, %d down, %d not scraped yet, %d of other nodes", s.Up, s.Down, s.Unknown, s.Elsewhere)})
	for _, d := range s.First {
		rows = append(rows, []string{"down", printable(fmt.Sprintf("%s of %s: %s", d.Instance, d.Job, d.Error))})
	}
	return rows
}
