package buffer

import (
	"fmt"
	"os"
	"testing"
)

// Tests that need a process of their own run the test binary again, with this variable naming what it is to do.
const childVar = "MESHD_BUFFER_CHILD"

func TestMain(m *testing.M) {
	var err error
	switch what := os.Getenv(childVar); what {
	case "":
		os.Exit(m.Run())
	case "nothing":
	case "resident":
		err = residentChild()
	case "crash":
		err = crashChild(os.Args[1])
	default:
		err = fmt.Errorf("unknown child %q", what)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func testConfig(dir string) Config {
	return Config{Dir: dir, Mesh: "m", Region: "r", Node: "n"}
}

func mustOpen(tb testing.TB, cfg Config) *Store {
	tb.Helper()
	s, err := Open(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}
