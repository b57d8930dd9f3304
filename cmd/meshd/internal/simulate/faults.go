package simulate

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"meshd/cmd/meshd/internal/suggest"
	"meshd/node"
	"meshd/simulations"
)

// needs says which keys a kind of fault demands and allows beside at, who, every and times.
type needs struct {
	must, may string // words
	kind      simulations.FaultKind
	about     string
}

// faultKinds are the faults of a schedule.
var faultKinds = map[string]needs{
	"cut":         {"for", "from to", simulations.Cut, "nothing passes between who and all others, or between from and to"},
	"one-way-cut": {"for", "from to", simulations.OneWay, "nothing passes from who to all others, or from from to to"},
	"flap":        {"for period", "", simulations.Flap, "who is cut off and back again, half a period each"},
	"loss":        {"for loss", "from to", simulations.Loss, "so many messages between who and all others, or from and to, need a retransmission"},
	"delay":       {"for delay", "from to", simulations.Delay, "messages take so much longer"},
	"crash":       {"for", "stagger", simulations.Crash, "who dies and starts again after that time"},
	"hub-loss":    {"for", "stagger", simulations.Crash, "the hubs among who die and start again after that time"},
	"wipe":        {"", "stagger", simulations.Wipe, "who dies and starts with an empty disk"},
	"rollback":    {"for", "stagger", simulations.Rollback, "the disk of who is saved; after that time who dies and starts with what was saved"},
	"disk-copy":   {"for", "", simulations.Clone, "a copy of the disk of who runs beside it for that time"},
	"clock-jump":  {"jump", "stagger", simulations.Jump, "the wall clock of who is set by so much"},
	"swizzle":     {"for", "", simulations.Swizzle, "who are cut off one by one and come back in another order"},
	"pause":       {"for", "stagger", simulations.Pause, "who is stopped and goes on after that time"},
	"full-disk":   {"for", "stagger", simulations.FullDisk, "the disk of who takes nothing"},
	"slow-disk":   {"for delay", "stagger", simulations.SlowDisk, "writes of who take so much longer"},
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// validate checks what can be checked without knowing the mesh.
func (f *Fault) validate() error {
	k, ok := faultKinds[f.Kind]
	switch {
	case f.Kind == "":
		return fmt.Errorf("the key fault is missing: one of %s", strings.Join(sortedKeys(faultKinds), ", "))
	case !ok:
		return fmt.Errorf("unknown fault %q%s; there are %s", f.Kind, suggest.Hint(f.Kind, sortedKeys(faultKinds)), strings.Join(sortedKeys(faultKinds), ", "))
	}
	given := map[string]bool{
		"for": f.For > 0, "period": f.Period > 0, "loss": f.Loss > 0, "delay": f.Delay > 0, "jump": f.Jump != 0, "stagger": f.Stagger > 0,
		"from": f.From != nil, "to": f.To != nil,
	}
	for key := range strings.FieldsSeq(k.must) {
		if !given[key] {
			return fmt.Errorf("%s: the key %s is missing: %s", f.Kind, key, k.about)
		}
	}
	for _, key := range sortedKeys(given) {
		if given[key] && !slices.Contains(strings.Fields(k.must+" "+k.may), key) {
			return fmt.Errorf("%s: the key %s means nothing here: %s", f.Kind, key, k.about)
		}
	}
	switch {
	case (f.From == nil) != (f.To == nil):
		return fmt.Errorf("%s: from and to go together", f.Kind)
	case (f.From == nil) == (f.Who == nil):
		return fmt.Errorf("%s: name the machines, either with who or with from and to", f.Kind)
	case f.Times > 0 && f.Every == 0:
		return fmt.Errorf("%s: times needs every", f.Kind)
	case f.Period > 0 && f.Period < 2*time.Millisecond:
		return fmt.Errorf("%s: period %v: want at least 2ms", f.Kind, f.Period)
	}
	return nil
}

// faults turns the entries into faults of the plan's machines. Disk copies add spare machines to the plan.
func (s *Schedule) faults(p *simulations.Plan) ([]simulations.Fault, error) {
	own := len(p.Nodes)
	var out []simulations.Fault
	for i := range s.Faults {
		f := &s.Faults[i]
		if f.At.Milliseconds() >= p.Safety {
			return nil, fmt.Errorf("line %d: at %v: the run ends at %v", f.Line, f.At, time.Duration(p.Safety)*time.Millisecond)
		}
		for n := 0; f.Times == 0 || n < f.Times; n++ {
			at := f.At + time.Duration(n)*f.Every
			if at.Milliseconds() >= p.Safety {
				break
			}
			more, err := f.strike(p, own, at)
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", f.Line, err)
			}
			if out = append(out, more...); len(out) > maxFaults {
				return nil, fmt.Errorf("line %d: more than %d faults", f.Line, maxFaults)
			}
			if f.Every == 0 {
				break
			}
		}
	}
	slices.SortStableFunc(out, func(a, b simulations.Fault) int { return int(a.At - b.At) })
	return out, nil
}

// strike makes the faults of one entry at one time.
func (f *Fault) strike(p *simulations.Plan, own int, at time.Duration) ([]simulations.Fault, error) {
	k := faultKinds[f.Kind]
	from := f.Who
	if f.From != nil {
		from = f.From
	}
	who, err := machines(p.Nodes[:own], from)
	if err != nil {
		return nil, err
	}
	to, err := machines(p.Nodes[:own], f.To)
	if err != nil {
		return nil, err
	}
	if f.Kind == "hub-loss" {
		who = slices.DeleteFunc(who, func(i int) bool { return p.Nodes[i].Role != node.RoleHub })
		if len(who) == 0 {
			return nil, fmt.Errorf("hub-loss: there is no hub among %s", strings.Join(from, ", "))
		}
	}
	base := simulations.Fault{Kind: k.kind, At: at.Milliseconds(), For: f.For.Milliseconds(), A: who, To: to, B: -1}
	switch f.Kind {
	case "cut":
		if to == nil {
			base.Kind = simulations.Split
		}
	case "one-way-cut":
		if to == nil {
			base.To = others(own, who)
		}
	case "flap":
		base.X = f.Period.Milliseconds() / 2
	case "loss":
		base.X = int64(1000 * f.Loss)
	case "delay", "slow-disk":
		base.X = f.Delay.Milliseconds()
	case "clock-jump":
		base.X = f.Jump.Milliseconds()
	case "disk-copy":
		return copies(p, base), nil
	}
	if f.Stagger == 0 {
		return []simulations.Fault{base}, nil
	}
	var out []simulations.Fault
	for i, m := range who {
		one := base
		one.A, one.At = []int{m}, base.At+int64(i)*f.Stagger.Milliseconds()
		if one.At < p.Safety {
			out = append(out, one)
		}
	}
	return out, nil
}

// copies makes a spare machine for each one whose disk is copied.
func copies(p *simulations.Plan, base simulations.Fault) (out []simulations.Fault) {
	for _, m := range base.A {
		one := base
		one.A, one.B = []int{m}, len(p.Nodes)
		spare := p.Nodes[m]
		spare.Copy = m
		p.Nodes = append(p.Nodes, spare)
		out = append(out, one)
	}
	return out
}

func others(n int, who []int) (out []int) {
	for i := range n {
		if !slices.Contains(who, i) {
			out = append(out, i)
		}
	}
	return out
}

// machines returns those that some names mean: a node, a region, a region's hubs or edges (tokyo/hubs), all hubs, all
// edges, or all.
func machines(specs []simulations.Spec, names []string) ([]int, error) {
	if names == nil {
		return nil, nil
	}
	in := map[int]bool{}
	for _, name := range names {
		region, role, _ := strings.Cut(name, "/")
		if name == "all" || name == "hubs" || name == "edges" {
			region, role = "", strings.TrimPrefix(name, "all")
		}
		n := len(in)
		for i, s := range specs {
			if (s.Name == name || region == "" || s.Region == region) && (role == "" || role == string(s.Role)+"s") {
				in[i] = true
			}
		}
		if len(in) == n && !anyOf(specs, name) {
			return nil, fmt.Errorf("%q %w%s", name, errNobody, suggest.Hint(name, known(specs)))
		}
	}
	return slices.Sorted(maps.Keys(in)), nil
}

var errNobody = errors.New("names nobody")

// anyOf reports whether a name means somebody, who may have been meant by another name as well.
func anyOf(specs []simulations.Spec, name string) bool { return slices.Contains(known(specs), name) }

// known returns all names that mean somebody.
func known(specs []simulations.Spec) []string {
	in := map[string]bool{"all": true}
	for _, s := range specs {
		role := string(s.Role) + "s"
		in[s.Name], in[s.Region], in[s.Region+"/"+role], in[role] = true, true, true, true
	}
	return sortedKeys(in)
}
