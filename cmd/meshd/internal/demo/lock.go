package demo

import (
	"os"
	"syscall"
)

// tryLock takes the lock of an open file, or fails at once. Closing the file, or the end of the process, gives it back.
func tryLock(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}
