// Package tty tells whether somebody watches: on a terminal a picture may be drawn over the one before.
package tty

import (
	"io"
	"os"
)

// Is reports whether out is a terminal.
func Is(out io.Writer) bool {
	f, ok := out.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
