//go:build !slow

package short

const quickSchedules = 500
