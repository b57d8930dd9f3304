package config

import (
	"errors"
	"fmt"
	"strings"

	"meshd/internal/glob"
	"meshd/replay"
)

const (
	defaultBacklog = 1 << 30
	// minBacklog is twice the log that a node keeps for itself: less would be full in normal times.
	minBacklog = 16 << 20

	defaultEventsBacklog = 256 << 20
	// minEventsBacklog is what a busy node keeps between two looks at it.
	minEventsBacklog = 4 << 20
)

func (c *Config) checkArchive() error {
	if c.ArchiveBacklog == 0 {
		c.ArchiveBacklog = defaultBacklog
	}
	if c.ArchiveBacklog < minBacklog {
		return fmt.Errorf("--archive-backlog %s: must be at least %s", (*size)(&c.ArchiveBacklog), formatSize(minBacklog))
	}
	if err := c.checkEvents(); err != nil {
		return err
	}
	if c.Archive == "off" {
		return nil
	}
	if c.Role != "hub" {
		return errors.New("--archive: is for hubs, which hold what edges count")
	}
	if _, err := replay.ParseLocation(c.Archive); err != nil {
		return fmt.Errorf("--archive: %w", err)
	}
	return nil
}

// checkEvents is for any node: the one that receives an event has it.
func (c *Config) checkEvents() error {
	if c.ArchiveEventsBacklog == 0 {
		c.ArchiveEventsBacklog = defaultEventsBacklog
	}
	if c.ArchiveEventsBacklog < minEventsBacklog {
		return fmt.Errorf("--archive-events-backlog %s: must be at least %s", (*size)(&c.ArchiveEventsBacklog), formatSize(minEventsBacklog))
	}
	for _, p := range c.ArchiveEventsMatch {
		if _, err := glob.Compile(p); err != nil {
			return fmt.Errorf("--archive-events-match: %w", err)
		}
	}
	if c.ArchiveEvents == "off" {
		return nil
	}
	if _, err := replay.ParseLocation(c.ArchiveEvents); err != nil {
		return fmt.Errorf("--archive-events: %w", err)
	}
	name := func(log string) string { where, _, _ := strings.Cut(log, "?"); return where }
	if name(c.ArchiveEvents) == name(c.Archive) {
		return errors.New("--archive-events: must be another log than --archive: it has a time of its own for which it is kept")
	}
	return nil
}
