//go:build linux || darwin || freebsd

package buffer

import (
	"errors"
	"io/fs"
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
