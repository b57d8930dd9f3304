//go:build slow

package short

const quickSchedules = 5000
