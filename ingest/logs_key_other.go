//go:build !linux

package ingest

import (
	"fmt"
	"os"
	"syscall"
)

// fileKey returns the file's inode: here the first line has to tell apart files that got the same one.
func fileKey(f *os.File, info os.FileInfo) (string, error) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "", fmt.Errorf("%s: the system does not tell the inode", f.Name())
	}
	return fmt.Sprintf("%x", st.Ino), nil
}
