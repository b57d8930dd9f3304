package simulate

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"meshd/simulations"
)

func TestParseSchedule(t *testing.T) {
	s, err := ParseSchedule(strings.NewReader(`
about: two faults
mesh: {nodes: 12, duration: 1d12h, loss: 5%}
faults:
  - {fault: cut, at: 30s, for: 2m, from: virginia, to: [amsterdam, hubs], every: 1h, times: 3}
  - {fault: clock-jump, at: 1.5h, jump: -1h, who: virginia-1, stagger: 2s}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := &Schedule{
		About: "two faults", Mesh: Mesh{Nodes: 12, Duration: 36 * time.Hour, Loss: 0.05},
		Faults: []Fault{
			{Line: 5, Kind: "cut", At: 30 * time.Second, For: 2 * time.Minute, Every: time.Hour, Times: 3, From: []string{"virginia"}, To: []string{"amsterdam", "hubs"}},
			{Line: 6, Kind: "clock-jump", At: 90 * time.Minute, Jump: -time.Hour, Stagger: 2 * time.Second, Who: []string{"virginia-1"}},
		},
	}
	if diff := cmp.Diff(want, s); diff != "" {
		t.Error(diff)
	}
}

func TestScheduleErrorsSayWhereAndWhat(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"unknown key", "faults:\n  - fualt: cut\n", `line 2: unknown key "fualt"; did you mean "fault"?`},
		{"unknown key at the top", "faluts: []\n", `line 1: unknown key "faluts"; did you mean "faults"?`},
		{"unknown kind", "faults:\n  - {fault: cutt, who: all}\n", `line 2: unknown fault "cutt"; did you mean "cut"?`},
		{"no kind", "faults:\n  - {who: all}\n", "line 2: the key fault is missing"},
		{"bad time", "faults:\n  - fault: cut\n    at: 5 minutes\n", `line 3: at: "5 minutes" is no time: write it as 90s, 5m, 1.5h or 2d`},
		{"negative time", "faults:\n  - fault: cut\n    at: -5m\n", `line 3: at: "-5m" is negative`},
		{"missing key", "faults:\n  - {fault: cut, who: all}\n", "line 2: cut: the key for is missing"},
		{"key of another kind", "faults:\n  - {fault: wipe, who: all, loss: 2%}\n", "line 2: wipe: the key loss means nothing here"},
		{"nobody", "faults:\n  - {fault: wipe}\n", "line 2: wipe: name the machines"},
		{"from without to", "faults:\n  - {fault: cut, for: 1s, from: all}\n", "line 2: cut: from and to go together"},
		{"times without every", "faults:\n  - {fault: wipe, who: all, times: 2}\n", "line 2: wipe: times needs every"},
		{"bad share", "faults:\n  - {fault: loss, loss: 120%}\n", `line 2: loss: "120%": want a share`},
		{"twice", "faults:\n  - {at: 1s, at: 2s}\n", `line 2: the key "at" is there twice`},
		{"no list", "faults: 3\n", "line 1: faults: want a list"},
		{"empty", "", "empty: want a list"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := ParseSchedule(strings.NewReader(c.text)); err == nil || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("got %v\nwant %s", err, c.want)
			}
		})
	}
}

func TestScheduleMeetsItsMesh(t *testing.T) {
	plan := func(text string) (*simulations.Plan, error) {
		s, err := ParseSchedule(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		m := Mesh{Nodes: 12, Regions: 3, Duration: time.Minute, Schedule: s}
		return m.Plan()
	}
	for _, c := range []struct{ name, text, want string }{
		{"after the end", "faults:\n  - {fault: wipe, at: 2m, who: all}\n", "line 2: at 2m0s: the run ends at 1m0s"},
		{"unknown name", "faults:\n  - {fault: wipe, who: virgina}\n", `line 2: "virgina" names nobody; did you mean "virginia"?`},
	} {
		if _, err := plan(c.text); err == nil || err.Error() != c.want {
			t.Errorf("%s: got %v, want %s", c.name, err, c.want)
		}
	}
	p, err := plan(`
faults:
  - {fault: hub-loss, at: 50s, for: 1s, who: amsterdam}
  - {fault: crash, at: 1s, for: 1s, who: virginia, stagger: 10s, every: 30s}
  - {fault: one-way-cut, at: 2s, for: 1s, from: virginia/hubs, to: amsterdam-1}
  - {fault: disk-copy, at: 3s, for: 9s, who: singapore-2}
`)
	if err != nil {
		t.Fatal(err)
	}
	type row struct {
		Kind  simulations.FaultKind
		At    int64
		A, To []int
		B     int
	}
	var got []row
	for _, f := range p.Faults {
		got = append(got, row{f.Kind, f.At, f.A, f.To, f.B})
	}
	want := []row{
		{simulations.Crash, 1000, []int{0}, nil, -1},
		{simulations.OneWay, 2000, []int{0, 1}, []int{6}, -1},
		{simulations.Clone, 3000, []int{11}, nil, 12},
		{simulations.Crash, 11_000, []int{1}, nil, -1},
		{simulations.Crash, 21_000, []int{2}, nil, -1},
		{simulations.Crash, 31_000, []int{3}, nil, -1},
		{simulations.Crash, 31_000, []int{0}, nil, -1},
		{simulations.Crash, 41_000, []int{1}, nil, -1},
		{simulations.Crash, 50_000, []int{4, 5}, nil, -1},
		{simulations.Crash, 51_000, []int{2}, nil, -1},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if n := len(p.Nodes); n != 13 || p.Nodes[12].Copy != 11 {
		t.Errorf("%d machines, the last %+v; want a 13th with the disk of the 12th", n, p.Nodes[n-1])
	}
}

// TestExampleSchedules runs what simulations/schedules holds, in a fraction of its time and with fewer nodes.
func TestExampleSchedules(t *testing.T) {
	files, err := filepath.Glob("../../../../simulations/schedules/*.yaml")
	if err != nil || len(files) < 6 {
		t.Fatalf("%d schedules, %v", len(files), err)
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			t.Parallel()
			f, err := os.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			s, err := ParseSchedule(f)
			if err != nil {
				t.Fatal(err)
			}
			if s.About == "" {
				t.Error("does not say what it is about")
			}
			m := s.Mesh
			m.Regions = min(m.Regions, 4)
			m.Nodes, m.Seed, m.Reads = min(m.Nodes, 5*m.Regions), 1, 20
			s.shorten(m.Duration / (20 * time.Second))
			m.Duration, m.Flush, m.Every = 20*time.Second, 500*time.Millisecond, time.Second
			m.Schedule = s
			r, err := Start(m, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range r.Report.Violations {
				t.Error(v)
			}
			res := r.Result("")
			if res.Accepted == 0 || res.Reads == 0 || res.Faults == 0 || res.ConvergedMs == 0 {
				t.Errorf("nothing was tried: %+v", res)
			}
		})
	}
}

// shorten divides all times of a schedule.
func (s *Schedule) shorten(by time.Duration) {
	for i := range s.Faults {
		f := &s.Faults[i]
		for _, d := range []*time.Duration{&f.At, &f.For, &f.Every, &f.Stagger, &f.Period} {
			if *d > 0 {
				*d = max(*d/by, 2*time.Millisecond)
			}
		}
	}
}

func TestParseDuration(t *testing.T) {
	for _, c := range []struct {
		text string
		want time.Duration
	}{{"90s", 90 * time.Second}, {"2d", 48 * time.Hour}, {"1d12h", 36 * time.Hour}, {"-1.5d", -36 * time.Hour}, {"-1h", -time.Hour}} {
		if got, err := ParseDuration(c.text); err != nil || got != c.want {
			t.Errorf("%s: %v, %v", c.text, got, err)
		}
	}
	for _, text := range []string{"", "5", "1x", "d", "99999999d", "--1s", "NaNd"} {
		if d, err := ParseDuration(text); err == nil {
			t.Errorf("%q is taken for %v", text, d)
		}
	}
}

// FuzzSchedule: no input makes the parser panic, and what it takes becomes a plan or an error.
func FuzzSchedule(f *testing.F) {
	files, _ := filepath.Glob("../../../../simulations/schedules/*.yaml")
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b))
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSchedule(strings.NewReader(text))
		if err != nil {
			return
		}
		m := Mesh{Nodes: 20, Duration: time.Minute, Schedule: s}
		p, err := m.Plan()
		if err == nil && len(p.Faults) > maxFaults {
			t.Fatalf("%d faults", len(p.Faults))
		}
	})
}
