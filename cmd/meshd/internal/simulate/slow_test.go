//go:build slow

package simulate

const catchUpEdges = 20
