package config

import (
	"errors"
	"fmt"

	"meshd/replay"
)

const (
	defaultBacklog = 1 << 30
	// minBacklog is twice the log that a node keeps for itself: less would be full in normal times.
	minBacklog = 16 << 20
)

func (c *Config) checkArchive() error {
	if c.ArchiveBacklog == 0 {
		c.ArchiveBacklog = defaultBacklog
	}
	if c.ArchiveBacklog < minBacklog {
		return fmt.Errorf("--archive-backlog %s: must be at least %s", (*size)(&c.ArchiveBacklog), formatSize(minBacklog))
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
