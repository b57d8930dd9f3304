package main

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"meshd/buffer"
	"meshd/cmd/meshd/internal/config"
	"meshd/history"
	"meshd/internal/bridge"
)

// openStopped opens what a node that is stopped has on its disk. Nobody else can meanwhile.
func openStopped(cfg *config.Config, log *slog.Logger) (*buffer.Store, *history.Store, error) {
	all, rules, err := cfg.Kept()
	if err != nil {
		return nil, nil, err
	}
	store, err := buffer.Open(buffer.Config{
		Dir: cfg.Data, Mesh: cfg.Mesh, Region: cfg.Region, Node: cfg.Node, MemoryBytes: cfg.Memory, Logger: log, Registerer: newRegistry(),
	})
	if err != nil {
		return nil, nil, fmt.Errorf("--data %s: %w", cfg.Data, err)
	}
	past, err := history.Open(history.Config{
		KV: bridge.Windows{Store: store}, Now: time.Now, Retention: all, Rules: rules, OverlayBytes: cfg.Memory / overlayShare, Logger: log,
	})
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("--data %s: %w", cfg.Data, err), store.Close())
	}
	return store, past, nil
}
