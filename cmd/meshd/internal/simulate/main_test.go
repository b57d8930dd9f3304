package simulate

import (
	"os"
	"runtime/debug"
	"testing"
)

// TestMain lets garbage wait, as `meshd simulate` does.
func TestMain(m *testing.M) {
	debug.SetGCPercent(400)
	os.Exit(m.Run())
}
