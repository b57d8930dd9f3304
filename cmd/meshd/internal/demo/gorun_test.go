package demo

import "testing"

func TestProgramsBuiltByGoRunAreKnown(t *testing.T) {
	for exe, want := range map[string]bool{
		"/x/go-build123/b001/exe/meshd":          true,
		"/home/u/.cache/go-build/ab/ab9-d/meshd": true,
		"/src/meshd/bin/meshd":                   false,
		"/usr/local/bin/meshd":                   false,
	} {
		if got := underGoRun(exe); got != want {
			t.Errorf("%s: %v, want %v", exe, got, want)
		}
	}
}
