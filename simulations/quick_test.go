//go:build !slow

package simulations

// quickSeeds have every pair of faults, see TestDraw.
const (
	quickSeeds  = 140
	quickSmall  = 60
	quickBiased = 6
	slowSeeds   = false
)
