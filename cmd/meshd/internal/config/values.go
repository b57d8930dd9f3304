package config

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"strings"
)

// onOff is a switch that is written out, so that a file reads well: host-metrics: off.
type onOff bool

func (v *onOff) String() string {
	if *v {
		return "on"
	}
	return "off"
}

func (v *onOff) Set(s string) error {
	switch s {
	case "on", "true": // YAML editors turn on into true
		*v = true
	case "off", "false":
		*v = false
	default:
		return fmt.Errorf("%q: must be on or off", s)
	}
	return nil
}

func (v *onOff) Type() string { return "switch" }

// level is a log level by its name.
type level slog.Level

func (v *level) String() string { return strings.ToLower(slog.Level(*v).String()) }

func (v *level) Set(s string) error {
	switch s {
	case "debug", "info", "warn", "error":
		return (*slog.Level)(v).UnmarshalText([]byte(s))
	default:
		return fmt.Errorf("%q: must be debug, info, warn or error", s)
	}
}

func (v *level) Type() string { return "level" }

// size is a number of bytes: plain, or with k, M, G (1000) or Ki, Mi, Gi (1024), with or without a final B.
type size int64

func (v *size) String() string { return formatSize(int64(*v)) }

func (v *size) Set(s string) error {
	n, err := parseSize(s)
	if err == nil {
		*v = size(n)
	}
	return err
}

func (v *size) Type() string { return "size" }

// pace is a number of bytes a second: 10MB/s. Empty is 0, any.
type pace int64

func (v *pace) String() string {
	if *v == 0 {
		return ""
	}
	return formatSize(int64(*v)) + "/s"
}

func (v *pace) Set(s string) error {
	if s == "" {
		*v = 0
		return nil
	}
	amount, ok := strings.CutSuffix(s, "/s")
	n, err := parseSize(amount)
	if !ok || err != nil || n < minPace {
		return fmt.Errorf("%q: must be a size a second of at least %d bytes, such as 10MB/s", s, minPace)
	}
	*v = pace(n)
	return nil
}

func (v *pace) Type() string { return "pace" }

// minPace is a packet a second of the largest size that networks carry whole.
const minPace = 1500

func parseSize(s string) (int64, error) {
	digits := strings.TrimRight(s, "kKMGiB")
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%q: must be a size such as 256MiB", s)
	}
	var unit int64
	switch strings.TrimSuffix(s[len(digits):], "B") {
	case "":
		unit = 1
	case "k", "K":
		unit = 1e3
	case "M":
		unit = 1e6
	case "G":
		unit = 1e9
	case "Ki":
		unit = 1 << 10
	case "Mi":
		unit = 1 << 20
	case "Gi":
		unit = 1 << 30
	default:
		return 0, fmt.Errorf("%q: unit must be one of B, kB, MB, GB, KiB, MiB, GiB", s)
	}
	if n > math.MaxInt64/unit {
		return 0, errors.New("size is larger than any machine")
	}
	return n * unit, nil
}

// formatSize writes bytes in the largest binary unit that divides them.
func formatSize(n int64) string {
	switch {
	case n > 0 && n%(1<<30) == 0:
		return strconv.FormatInt(n>>30, 10) + "GiB"
	case n > 0 && n%(1<<20) == 0:
		return strconv.FormatInt(n>>20, 10) + "MiB"
	case n > 0 && n%(1<<10) == 0:
		return strconv.FormatInt(n>>10, 10) + "KiB"
	default:
		return strconv.FormatInt(n, 10) + "B"
	}
}
