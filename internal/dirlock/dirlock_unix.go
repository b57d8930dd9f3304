//go:build linux || darwin || freebsd

// Package dirlock lets one process at a time use a directory.
package dirlock

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// ErrHeld says that another process, or another opening in this one, has the lock.
var ErrHeld = errors.New("directory is in use by another process")

// Acquire creates dir if needed and locks it for this process until the file is given to Release or the process ends.
func Acquire(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("%w: choose a directory that this user may create", err)
	}
	f, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("%w: give this user read and write access", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, ErrHeld
		}
		return nil, fmt.Errorf("lock: %w", err)
	}
	return f, nil
}

// Release gives the lock back at once, even if a process that is being forked still holds a copy of the file.
func Release(f *os.File) error {
	return errors.Join(unix.Flock(int(f.Fd()), unix.LOCK_UN), f.Close())
}
