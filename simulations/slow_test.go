//go:build slow

package simulations

const (
	quickSeeds  = 500
	quickSmall  = 400
	quickBiased = 60
	slowSeeds   = true
)
