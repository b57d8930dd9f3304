//go:build !slow

package buffer

// slow is set by the build tag of that name: long tests then run all their rounds.
const slow = false
