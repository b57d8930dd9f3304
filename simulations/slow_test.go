//go:build slow

package simulations

const (
	quickSeeds = 600
	quickSmall = 400
	slowSeeds  = true
)
