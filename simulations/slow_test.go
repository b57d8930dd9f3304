//go:build slow

package simulations

const (
	quickSeeds  = 260
	quickSmall  = 150
	quickBiased = 45
	slowSeeds   = true
)
