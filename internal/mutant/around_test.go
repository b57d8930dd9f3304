//go:build mutants

package mutant_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"meshd/internal/mutant"
)

// TestMutantsAroundTheCoreAreKilled runs for each of them the test that must fail, which passes without a mutant.
func TestMutantsAroundTheCoreAreKilled(t *testing.T) {
	for _, m := range mutant.Around {
		t.Run(strings.ReplaceAll(m.Name, " ", "_"), func(t *testing.T) {
			for _, active := range []string{"", m.Name} {
				cmd := exec.CommandContext(t.Context(), "go", "test", "-tags", "mutants", "-count=1", "-run", "^"+m.Test+"$", "meshd/"+m.Package)
				cmd.Env = append(os.Environ(), "MESHD_MUTANT="+active)
				out, err := cmd.CombinedOutput()
				switch {
				case active == "" && (err != nil || strings.Contains(string(out), "no tests to run")):
					t.Fatalf("%s does not pass without a mutant: %v\n%s", m.Test, err, out)
				case active != "" && !strings.Contains(string(out), "--- FAIL: "+m.Test):
					t.Errorf("mutant survives %s: %v\n%s", m.Test, err, out)
				}
			}
		})
	}
}
