//go:build linux || darwin || freebsd

package buffer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// FreeSpace asks the file system what an unprivileged process may still write, and its size.
func FreeSpace(dir string) (free, total uint64, err error) {
	var st unix.Statfs_t
	for {
		err := unix.Statfs(dir, &st)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EINTR) {
			return 0, 0, err
		}
	}
	size := uint64(st.Bsize)
	return uint64(max(st.Bavail, 0)) * size, uint64(st.Blocks) * size, nil //nolint:unconvert // signed on some systems
}

func blockBytes(info fs.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Blocks) * 512
	}
	return uint64(info.Size())
}

// lockDir creates dir if needed and locks it for this process until the file is closed or the process ends.
func lockDir(dir string) (*os.File, error) {
	if dir == "" {
		return nil, errors.New("no data directory given: set --data")
	}
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
			return nil, ErrLocked
		}
		return nil, fmt.Errorf("lock: %w", err)
	}
	return f, nil
}

// unlockDir gives the lock back at once, even if a process that is being forked still holds a copy of the file.
func unlockDir(f *os.File) error {
	return errors.Join(unix.Flock(int(f.Fd()), unix.LOCK_UN), f.Close())
}
