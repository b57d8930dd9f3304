//go:build slow

package buffer

const slow = true // see quick_test.go
