//go:build !linux

package replay

import "os"

// syncData makes what was written survive the loss of power.
func syncData(f *os.File) error { return f.Sync() }
