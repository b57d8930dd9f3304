//go:build !linux && !darwin && !freebsd

package client

import (
	"errors"
	"os"
)

func lockDir(string) (*os.File, error) {
	return nil, errors.New("a buffer on disk needs Linux, macOS or FreeBSD: two processes must not use one directory")
}

func unlockDir(f *os.File) error { return f.Close() }
