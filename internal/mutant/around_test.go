//go:build mutants

package mutant_test

import (
	"fmt"
	"strings"
	"testing"

	"meshd/internal/mutant"
)

// TestMutantsAroundTheCoreAreKilled runs for each of them the test that must fail, which passes without a mutant.
func TestMutantsAroundTheCoreAreKilled(t *testing.T) {
	bench := &mutant.Bench{Root: "../..", Dir: t.TempDir()}
	rows := make([]string, len(mutant.Around))
	t.Cleanup(func() {
		if err := mutant.Show("around", "| mutant around the core | killed by |\n|---|---|\n"+strings.Join(rows, "")); err != nil {
			t.Error(err)
		}
	})
	for i, m := range mutant.Around {
		t.Run(strings.ReplaceAll(m.Name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			by := mutant.Test{Package: m.Package, Name: m.Test}
			rows[i] = fmt.Sprintf("| %s | SURVIVES %s |\n", m.Name, by)
			if killed, err := bench.Kills(t.Context(), by, m.Name); err != nil || !killed {
				t.Fatalf("mutant survives %s: %v", by, err)
			}
			rows[i] = fmt.Sprintf("| %s | %s |\n", m.Name, by)
		})
	}
}
