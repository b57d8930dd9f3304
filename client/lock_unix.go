//go:build linux || darwin || freebsd

package client

import (
	"os"

	"meshd/internal/dirlock"
)

func lockDir(dir string) (*os.File, error) { return dirlock.Acquire(dir) }

func unlockDir(f *os.File) error { return dirlock.Release(f) }
