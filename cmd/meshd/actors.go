package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"syscall"
	"time"

	"github.com/oklog/run"

	"meshd/cmd/meshd/internal/cluster"
)

const (
	// stepLimit is how long the shutdown waits for one actor before it interrupts the next one: a flush to disk and a
	// goodbye to the peers take milliseconds, requests under way up to 5 s.
	stepLimit = 5 * time.Second
	// stopLimit ends a shutdown that hangs. What was acknowledged is on disk by then: acks wait for it.
	stopLimit = 10 * time.Second
)

// actor is one long-lived part of a node. run works until its context ends, then finishes what it holds and returns.
type actor struct {
	name string
	run  func(context.Context) error
}

// runActors runs all actors until one of them returns or a signal comes. Then it ends them one after the other in the
// order given, each only when the one before has finished, so that what one still hands to the next arrives. A signal,
// or the end of the demo that owns this process, is no error.
func runActors(log *slog.Logger, actors []actor) error {
	var g run.Group
	signals, stopSignals := run.SignalHandler(context.Background(), os.Interrupt, syscall.SIGTERM)
	g.Add(signals, func(err error) {
		log.Info("shutting down", "because", err)
		time.AfterFunc(stopLimit, func() {
			log.Error("shutdown hangs: leaving; what was acknowledged is on disk", "waited", stopLimit)
			os.Exit(exitFailed)
		})
		stopSignals(err) // a second signal ends the process at once
	})
	for _, a := range actors {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		g.Add(func() error {
			defer close(done)
			err := a.run(ctx)
			if err == nil && ctx.Err() == nil {
				err = errors.New(a.name + " ended by itself")
			}
			return err
		}, func(error) {
			cancel()
			select {
			case <-done:
			case <-time.After(stepLimit):
				log.Warn("shutdown does not wait longer", "for", a.name, "waited", stepLimit)
			}
		})
	}
	err := g.Run()
	if errors.Is(err, run.ErrSignal) || cluster.Ended(err) {
		return nil
	}
	return err
}
