package node

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"meshd/reconcile"
)

// Bounds of what a configuration may set.
const (
	minSilence   = 2 * time.Second // twice the time between two beats
	maxSilence   = 24 * time.Hour
	maxOwnSeries = 1 << 20 // what one origin may have
	minForget    = time.Hour
	maxForget    = 10 * 365 * 24 * time.Hour
)

// meshSettings is what the document of a mesh's configuration may set. What it leaves out stays as each node was started.
type meshSettings struct {
	// Silence is how long a node may not be complete before coverage calls it missing, as in "10s". Links that flush
	// seldom need more.
	Silence string `json:"silence,omitempty"`
	// Series is how many series of its own a node takes; further ones go to the overflow series.
	Series int `json:"series,omitempty"`
	// Rollup says how far totals travel and with which labels. Of a metric the first rule that matches counts.
	Rollup []reconcile.Rule `json:"rollup,omitempty"`

	// Forget says when hubs forget incarnations that are over: a length of time as in "720h" or "30d" since they changed
	// last, or "off"; and whether a hub that knows of no other hub of its region may, too.
	Forget struct {
		After string `json:"after,omitempty"`
		Alone bool   `json:"alone,omitempty"`
	} `json:"forget,omitzero"`

	silenceMs int64
	forgetMs  int64 // less than 0: never
	rules     *reconcile.Rules
}

// parseSettings reads a document. Fields that it does not know belong to later versions, and with strict are refused:
// nobody gets a misspelt one into the mesh.
func parseSettings(doc []byte, strict bool) (*meshSettings, error) {
	s := new(meshSettings)
	d := json.NewDecoder(bytes.NewReader(doc))
	if strict {
		d.DisallowUnknownFields()
	}
	if err := d.Decode(s); err != nil {
		return nil, err
	}
	if d.More() {
		return nil, fmt.Errorf("something follows the document")
	}
	if s.Silence != "" {
		silence, err := time.ParseDuration(s.Silence)
		if err != nil || silence < minSilence || silence > maxSilence {
			return nil, fmt.Errorf("silence %q: want a length of time from %s to %s, like 30s", s.Silence, minSilence, maxSilence)
		}
		s.silenceMs = silence.Milliseconds()
	}
	if err := s.parseForget(); err != nil {
		return nil, err
	}
	if s.Series < 0 || s.Series > maxOwnSeries {
		return nil, fmt.Errorf("series %d: want 1 to %d, or nothing", s.Series, maxOwnSeries)
	}
	var err error
	s.rules, err = reconcile.ParseRules(s.Rollup)
	return s, err
}

func (s *meshSettings) parseForget() error {
	switch text := s.Forget.After; text {
	case "":
	case "off":
		s.forgetMs = -1
	default:
		after, err := time.ParseDuration(text)
		if days, ok := strings.CutSuffix(text, "d"); ok {
			var n uint64
			n, err = strconv.ParseUint(days, 10, 16)
			after = time.Duration(n) * 24 * time.Hour
		}
		if err != nil || after < minForget || after > maxForget {
			return fmt.Errorf("forget after %q: want a length of time from %s to ten years, like 30d, or off", text, minForget)
		}
		s.forgetMs = after.Milliseconds()
	}
	return nil
}
