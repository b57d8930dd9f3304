//go:build slow

package simulations

const (
	quickSeeds  = 1000
	quickSmall  = 400
	quickBiased = 60
	slowSeeds   = true
)
