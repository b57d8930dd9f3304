package simulate

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"meshd/cmd/meshd/internal/suggest"
)

// Schedule is a file of faults. Its times are virtual, from the start of the run.
type Schedule struct {
	About  string
	Mesh   Mesh // what the file proposes; flags go before it
	Faults []Fault
}

// Fault is one entry of a schedule.
type Fault struct {
	Line    int // in the file
	Kind    string
	At, For time.Duration
	Every   time.Duration // 0 = once
	Times   int           // with Every; 0 = until the end of the run
	Stagger time.Duration // one machine after another, so far apart
	Period  time.Duration // of a flap: cut and open in turn, half of it each
	Who     []string
	From    []string
	To      []string
	Loss    float64
	Delay   time.Duration
	Jump    time.Duration
}

// maxScheduleBytes and maxFaults bound what a file may ask for: 1 MiB of YAML is 20,000 entries, and a run of a day
// with a fault every second is as much as a person can make use of.
const (
	maxScheduleBytes = 1 << 20
	maxFaults        = 100_000
)

// ParseSchedule reads a schedule in YAML. Errors name the line, and for an unknown key the one that was probably
// meant.
func ParseSchedule(r io.Reader) (*Schedule, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxScheduleBytes+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxScheduleBytes {
		return nil, fmt.Errorf("more than %d bytes", maxScheduleBytes)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(b, &doc); err != nil {
		return nil, err
	}
	if len(doc.Content) == 0 {
		return nil, fmt.Errorf("empty: want a list under the key faults")
	}
	s := &Schedule{}
	err = fields(doc.Content[0], setters{
		"about": text(&s.About),
		"mesh":  func(n *yaml.Node) error { return fields(n, s.Mesh.setters()) },
		"faults": func(n *yaml.Node) error {
			if n.Kind != yaml.SequenceNode {
				return fmt.Errorf("line %d: faults: want a list", n.Line)
			}
			for _, item := range n.Content {
				f := Fault{Line: item.Line}
				if err := fields(item, f.setters()); err != nil {
					return err
				}
				if err := f.validate(); err != nil {
					return fmt.Errorf("line %d: %w", f.Line, err)
				}
				s.Faults = append(s.Faults, f)
			}
			return nil
		},
	})
	return s, err
}

func (m *Mesh) setters() setters {
	return setters{
		"nodes": number(&m.Nodes), "regions": number(&m.Regions), "hubs": number(&m.Hubs), "duration": duration(&m.Duration),
		"flush": duration(&m.Flush), "loss": share(&m.Loss), "series": number(&m.Series), "change": number(&m.Change), "every": duration(&m.Every),
	}
}

func (f *Fault) setters() setters {
	return setters{
		"fault": text(&f.Kind), "at": duration(&f.At), "for": duration(&f.For), "every": duration(&f.Every), "times": number(&f.Times),
		"stagger": duration(&f.Stagger), "period": duration(&f.Period), "who": names(&f.Who), "from": names(&f.From), "to": names(&f.To),
		"loss": share(&f.Loss), "delay": duration(&f.Delay), "jump": signed(&f.Jump),
	}
}

// setter stores the value of a key; its errors need not name the key.
type (
	setter  func(*yaml.Node) error
	setters map[string]setter
)

// fields calls the setters for the keys of a mapping.
func fields(n *yaml.Node, known setters) error {
	if n.Kind != yaml.MappingNode {
		return fmt.Errorf("line %d: want keys and values", n.Line)
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		set := known[key.Value]
		if set == nil {
			return fmt.Errorf("line %d: unknown key %q%s", key.Line, key.Value, suggest.Hint(key.Value, sortedKeys(known)))
		}
		if seen[key.Value] {
			return fmt.Errorf("line %d: the key %q is there twice", key.Line, key.Value)
		}
		seen[key.Value] = true
		if err := set(value); err != nil {
			if strings.HasPrefix(err.Error(), "line ") {
				return err
			}
			return fmt.Errorf("line %d: %s: %w", value.Line, key.Value, err)
		}
	}
	return nil
}

func text(to *string) setter {
	return func(n *yaml.Node) error {
		if n.Kind != yaml.ScalarNode {
			return fmt.Errorf("want a text")
		}
		*to = n.Value
		return nil
	}
}

func number(to *int) setter {
	return func(n *yaml.Node) error {
		v, err := strconv.Atoi(n.Value)
		if err != nil || v <= 0 {
			return fmt.Errorf("%q: want a whole number above zero", n.Value)
		}
		*to = v
		return nil
	}
}

// share reads 0.2 or 20%.
func share(to *float64) setter {
	return func(n *yaml.Node) error {
		s, percent := strings.CutSuffix(n.Value, "%")
		v, err := strconv.ParseFloat(s, 64)
		if percent {
			v /= 100
		}
		if err != nil || !(v >= 0 && v <= 1) {
			return fmt.Errorf("%q: want a share such as 20%% or 0.2", n.Value)
		}
		*to = v
		return nil
	}
}

// names reads one name or a list of them.
func names(to *[]string) setter {
	return func(n *yaml.Node) error {
		switch n.Kind {
		case yaml.ScalarNode:
			*to = []string{n.Value}
			return nil
		case yaml.SequenceNode:
			return n.Decode(to)
		case yaml.DocumentNode, yaml.MappingNode, yaml.AliasNode:
		}
		return fmt.Errorf("want a name or a list of names")
	}
}

func duration(to *time.Duration) setter {
	return func(n *yaml.Node) error {
		d, err := ParseDuration(n.Value)
		if err == nil && d < 0 {
			err = fmt.Errorf("%q is negative", n.Value)
		}
		*to = d
		return err
	}
}

func signed(to *time.Duration) setter {
	return func(n *yaml.Node) error {
		d, err := ParseDuration(n.Value)
		*to = d
		return err
	}
}

// ParseDuration reads a duration as package time does, and days: 1d12h, 90s, 1.5h.
func ParseDuration(s string) (time.Duration, error) {
	rest, sign := s, time.Duration(1)
	if t, ok := strings.CutPrefix(rest, "-"); ok {
		rest, sign = t, -1
	}
	var days time.Duration
	if before, after, ok := strings.Cut(rest, "d"); ok {
		n, err := strconv.ParseFloat(before, 64)
		if err != nil || !(n >= 0 && n <= 10_000) {
			return 0, fmt.Errorf("%q is no time: write it as 90s, 5m, 1.5h or 2d", s)
		}
		if days, rest = time.Duration(n*24*float64(time.Hour)), after; rest == "" {
			return sign * days, nil
		}
	}
	d, err := time.ParseDuration(rest)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is no time: write it as 90s, 5m, 1.5h or 2d", s)
	}
	return sign * (days + d), nil
}
