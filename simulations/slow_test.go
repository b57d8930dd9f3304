//go:build slow

package simulations

const (
	quickSeeds = 2000
	quickSmall = 400
	slowSeeds  = true
)
