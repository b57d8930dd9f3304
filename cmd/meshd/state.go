package main

import (
	"context"
	"io"

	"meshd/buffer"
	"meshd/cmd/meshd/internal/config"
	"meshd/history"
	"meshd/internal/audit"
	"meshd/internal/bridge"
	"meshd/node"
)

// diskState is what a node has on its disk. since says before when windows may be missing; nil: none are.
func diskState(cfg *config.Config, store *buffer.Store, past *history.Store, since func() int64) *audit.Disk {
	return &audit.Disk{
		Head: audit.Head{Mesh: cfg.Mesh, Region: cfg.Region, Node: cfg.Node, Hub: node.Role(cfg.Role) == node.RoleHub},
		View: bridge.Disk{Store: store}.View, Past: past, Since: since,
	}
}

// tellState answers /v1/state.
func tellState(cfg *config.Config, p *parts, since func() int64) func(context.Context, io.Writer) error {
	return func(ctx context.Context, out io.Writer) error {
		return audit.Tell(ctx, out, diskState(cfg, p.store, p.past, since))
	}
}
