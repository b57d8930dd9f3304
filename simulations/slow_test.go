//go:build slow

package simulations

const (
	quickSeeds  = 600
	quickSmall  = 150
	quickBiased = 29
	slowSeeds   = true
)
