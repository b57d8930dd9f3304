//go:build !slow || !unix

package main

import "testing"

// built needs no program of its own here: scripts run the binary of the tests.
type built struct{ *testing.M }
