package simulations

import (
	"os"
	"runtime/debug"
	"testing"
)

// TestMain lets garbage wait: worlds are small and make much of it; more than this costs memory and gains nothing.
func TestMain(m *testing.M) {
	debug.SetGCPercent(800)
	os.Exit(m.Run())
}
