//go:build mutants

package mutant

import "os"

// Variable is the environment variable that names the active mutant of a process.
const Variable = "MESHD_MUTANT"

// active is set before any core runs and read by all of them.
var active = os.Getenv(Variable)

// Set chooses the mutant that is active, "" for none. No core may run meanwhile.
func Set(name string) { active = name }

// On reports whether a mutant is active.
func On(name string) bool { return active == name }
