package replay

import (
	"os"

	"golang.org/x/sys/unix"
)

// syncData makes what was written survive the loss of power; the file's times need not.
func syncData(f *os.File) error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); err != unix.EINTR {
			return err
		}
	}
}
