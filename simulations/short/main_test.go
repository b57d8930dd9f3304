package short

import (
	"os"
	"runtime/debug"
	"testing"
)

// TestMain lets garbage wait: worlds are small and make much of it.
func TestMain(m *testing.M) {
	debug.SetGCPercent(1000)
	os.Exit(m.Run())
}
