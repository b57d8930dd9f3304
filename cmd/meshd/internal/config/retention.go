package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"meshd/history"
)

// defaultRetention is what history keeps when it is not told.
const defaultRetention = "7d/30d/366d"

// minRetention is more than any window waits to be published.
const minRetention = time.Hour

// Kept returns --retention as package history takes it: what has no pattern is for all series, the others are rules, in
// their order.
func (c *Config) Kept() (all history.Retention, rules []history.Rule, err error) {
	for _, s := range c.Retention {
		pattern, times := "", s
		if i := strings.LastIndexByte(s, '='); i >= 0 {
			pattern, times = s[:i], s[i+1:]
		}
		kept, err := parseRetention(times)
		if err != nil {
			return all, nil, fmt.Errorf("--retention %s: %w", s, err)
		}
		switch {
		case pattern != "":
			rules = append(rules, history.Rule{Match: pattern, Retention: kept})
		case all != history.Retention{}:
			return all, nil, fmt.Errorf("--retention %s: all series have one already: put a pattern and '=' before it", s)
		default:
			all = kept
		}
	}
	if err := history.CheckRules(rules); err != nil {
		return all, nil, fmt.Errorf("--retention: %w", err)
	}
	return all, rules, nil
}

// parseRetention reads the times of windows of seconds, of minutes and of hours, as 7d/30d/366d. One that is left out is
// the default.
func parseRetention(s string) (r history.Retention, err error) {
	parts := strings.Split(s, "/")
	if len(parts) != 3 {
		return r, fmt.Errorf("%q: must be the times of windows of seconds, minutes and hours, as %s", s, defaultRetention)
	}
	for i, into := range [...]*time.Duration{&r.Fine, &r.Minute, &r.Hour} {
		if parts[i] == "" {
			continue
		}
		if *into, err = parseLong(parts[i]); err != nil {
			return r, err
		}
		if *into < minRetention {
			return r, fmt.Errorf("%q: must be at least %s", parts[i], minRetention)
		}
	}
	return r, nil
}

// parseLong reads a duration that may be in days.
func parseLong(s string) (time.Duration, error) {
	const most = 36_500 // days: beyond it durations overflow soon
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 32)
		if err != nil || n > most {
			return 0, fmt.Errorf("%q: must be a time such as 7d or 36h", s)
		}
		return time.Duration(n) * 24 * time.Hour, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("%q: must be a time such as 7d or 36h", s)
	}
	return d, nil
}
