package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"meshd/internal/glob"
	"meshd/node"
)

// flushes are the pauses between two flushes by class of link.
var flushes = map[string]time.Duration{"lan": 100 * time.Millisecond, "wan": time.Second, "metered": 30 * time.Second}

// The values of --downlink that are no patterns.
const (
	downlinkAll  = "all"
	downlinkNone = "none"
)

// completeLink fills in what follows from the class of link and refuses what does not fit the role.
func (c *Config) completeLink() error {
	usual, ok := flushes[c.Link]
	edge := c.Role == "edge"
	switch {
	case !ok:
		return fmt.Errorf("--link %q: must be lan, wan or metered", c.Link)
	case c.Link == "metered" && !edge:
		return errors.New("--link metered: a hub is reached by others all the time; it is for edges")
	case c.Flush == 0:
		c.Flush = usual
	case c.Flush < 10*time.Millisecond || c.Flush > 10*time.Minute:
		return fmt.Errorf("--flush %s: must be from 10ms to 10m", c.Flush)
	}
	if !edge && c.Budget != (node.Budget{}) {
		return errors.New("--budget: is for edges; a hub carries what its edges and the other hubs need")
	}
	all := len(c.Downlink) == 1 && c.Downlink[0] == downlinkAll
	if !edge && !all {
		return errors.New("--downlink: is for edges; a hub holds all")
	}
	if len(c.Downlink) == 0 {
		return errors.New("--downlink: must be all, none or patterns")
	}
	if _, special := c.Patterns(); special {
		return nil
	}
	for _, p := range c.Downlink {
		if _, err := glob.Compile(p); err != nil {
			return fmt.Errorf("--downlink %s: %w", strings.Join(c.Downlink, ","), err)
		}
	}
	if slices.Contains(c.Downlink, downlinkAll) || slices.Contains(c.Downlink, downlinkNone) {
		return fmt.Errorf("--downlink %s: all and none stand alone", strings.Join(c.Downlink, ","))
	}
	return nil
}

// Patterns returns --downlink as package node takes it, and whether it is one of all and none: nil for all, empty for
// none.
func (c *Config) Patterns() (patterns []string, special bool) {
	switch {
	case len(c.Downlink) == 1 && c.Downlink[0] == downlinkAll:
		return nil, true
	case len(c.Downlink) == 1 && c.Downlink[0] == downlinkNone:
		return []string{}, true
	}
	return c.Downlink, false
}

// periods are what a budget may be given for. A month has 30 days: no calendar month gets more.
var periods = map[string]time.Duration{
	"hour": time.Hour, "day": 24 * time.Hour, "week": 7 * 24 * time.Hour, "month": 30 * 24 * time.Hour,
}

// budget is an amount of bytes in a time: 1GB/month.
type budget node.Budget

func (v *budget) String() string {
	for name, d := range periods {
		if v.Per == d {
			return formatSize(v.Bytes) + "/" + name
		}
	}
	return ""
}

func (v *budget) Set(s string) error {
	if s == "" {
		*v = budget{}
		return nil
	}
	amount, name, ok := strings.Cut(s, "/")
	per := periods[name]
	if !ok || per == 0 {
		return fmt.Errorf("%q: must be a size in an hour, day, week or month, such as 1GB/month", s)
	}
	n, err := parseSize(amount)
	if err != nil {
		return err
	}
	b := node.Budget{Bytes: n, Per: per}
	if err := b.Check(); err != nil {
		return err
	}
	*v = budget(b)
	return nil
}

func (v *budget) Type() string { return "budget" }
