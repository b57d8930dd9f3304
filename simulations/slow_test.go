//go:build slow

package simulations

const quickSeeds = 600
