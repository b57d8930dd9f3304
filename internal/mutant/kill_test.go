//go:build mutants

package mutant

import (
	"errors"
	"testing"
)

func TestATimeOutIsNoKill(t *testing.T) {
	by, exit := Test{"node", "TestX"}, errors.New("exit status 2")
	for _, c := range []struct {
		name, out string
		err       error
		killed    bool
		timedOut  bool
	}{
		{name: "it passes", out: "--- PASS: TestX (0.00s)\nPASS\n"},
		{name: "it fails", out: "--- FAIL: TestX (0.00s)\nFAIL\n", err: exit, killed: true},
		{name: "it panics", out: "=== RUN   TestX\npanic: boom\n", err: exit, killed: true},
		{name: "it does not end", out: "=== RUN   TestX\npanic: test timed out after 2m0s\n\trunning tests:\n\t\tTestX (2m0s)\n", err: exit, timedOut: true},
		{name: "it does not begin", out: "flag provided but not defined", err: exit},
	} {
		killed, err := by.failed(c.out, c.err)
		if killed != c.killed || errors.Is(err, ErrTimedOut) != c.timedOut || (err != nil) != c.timedOut {
			t.Errorf("%s: killed %t, %v", c.name, killed, err)
		}
	}
}
