package ingest

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// fileKey returns what tells a file from all others of its time, whatever it is called: its inode, and when it was made,
// since inodes are used again. The number of the device is no part of it: it may change with a reboot.
func fileKey(f *os.File, _ os.FileInfo) (string, error) {
	var st unix.Statx_t
	if err := unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_INO|unix.STATX_BTIME, &st); err != nil {
		return "", fmt.Errorf("statx %s: %w", f.Name(), err)
	}
	return fmt.Sprintf("%x.%x.%x", st.Ino, st.Btime.Sec, st.Btime.Nsec), nil // zeros where the file system does not tell
}
