//go:build slow

package gossip

const slow = true // see quick_test.go
