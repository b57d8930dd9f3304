package ingest

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/shirou/gopsutil/v4/disk"

	"meshd/crdt"
	"meshd/node"
)

// fakeMachine is a source that a test sets.
type fakeMachine struct {
	reading func(r *hostReading)
	err     error
}

func (f *fakeMachine) source() *hostSource {
	return &hostSource{name: "fake", read: func(_ context.Context, r *hostReading) error {
		if f.err == nil {
			f.reading(r)
		}
		return f.err
	}}
}

func TestHostCountsDifferencesByDevice(t *testing.T) {
	m, _ := newTestMetrics(t)
	n, machine := newFakeNode(), new(fakeMachine)
	h := newHost(HostConfig{Submit: n, Metrics: m, Logger: discard()}, []*hostSource{machine.source()})
	for _, step := range []struct {
		name    string
		devices map[string]uint64
		fails   error // of the source
		refused error // by the node
		want    string
	}{
		{"the first reading counts nothing", map[string]uint64{"a": 1000}, nil, nil, "0"},
		{"then differences count", map[string]uint64{"a": 1010}, nil, nil, "10"},
		{"a device that appears counts from its first reading", map[string]uint64{"a": 1010, "b": 500}, nil, nil, "10"},
		{"devices are added", map[string]uint64{"a": 1011, "b": 502}, nil, nil, "13"},
		{"a reset is a start from zero", map[string]uint64{"a": 4, "b": 502}, nil, nil, "17"},
		{"a failed reading changes nothing", map[string]uint64{"a": 5, "b": 502}, errors.New("no /proc"), nil, "17"},
		{"nor does one that the node refuses", map[string]uint64{"a": 6, "b": 502}, nil, node.ErrFull, "17"},
		{"what they missed is in the next", map[string]uint64{"a": 7, "b": 502}, nil, nil, "20"},
		{"a device that vanishes takes nothing back", map[string]uint64{"a": 7}, nil, nil, "20"},
		{"and starts anew when it returns", map[string]uint64{"a": 7, "b": 900}, nil, nil, "20"},
	} {
		machine.err = step.fails
		machine.reading = func(r *hostReading) {
			r.gauge("host.cpu.count", 4)
			for d, total := range step.devices {
				r.count("host.disk.read_bytes", d, total)
			}
		}
		n.answer = func(b *node.Batch) node.Result {
			return node.Result{Accepted: len(b.Items), Err: step.refused}
		}
		h.round(t.Context(), testNow)
		if got := n.counter("counter:host.disk.read_bytes"); got != step.want {
			t.Fatalf("%s: %s bytes, want %s", step.name, got, step.want)
		}
	}
}

func TestDifferencesBeginWithTheFirstReadingTakenOrNot(t *testing.T) {
	m, _ := newTestMetrics(t)
	n, total := newFakeNode(), uint64(100)
	machine := &fakeMachine{reading: func(r *hostReading) {
		r.gauge("host.cpu.count", 4)
		r.count("host.disk.read_bytes", "a", total)
	}}
	h := newHost(HostConfig{Submit: n, Metrics: m, Logger: discard()}, []*hostSource{machine.source()})
	n.answer = func(*node.Batch) node.Result { return node.Result{Err: node.ErrBusy} }
	h.round(t.Context(), testNow)
	n.answer, total = nil, 105
	h.round(t.Context(), testNow)
	if got := n.counter("counter:host.disk.read_bytes"); got != "5" {
		t.Errorf("%s bytes, want 5", got)
	}
}

func TestAFailingSourceIsCountedAndLoggedOnce(t *testing.T) {
	m, reg := newTestMetrics(t)
	var logged bytes.Buffer
	n := newFakeNode()
	broken, working := &fakeMachine{err: errors.New("no /proc")}, &fakeMachine{reading: func(r *hostReading) { r.gauge("host.load.1m", 0.5) }}
	h := newHost(HostConfig{Submit: n, Metrics: m, Logger: slog.New(slog.NewTextHandler(&logged, nil))},
		[]*hostSource{broken.source(), working.source()})
	for range 3 {
		h.round(t.Context(), testNow)
	}
	if got := metric(t, reg, "host_failures_total", "source", "fake"); got != 3 {
		t.Errorf("host_failures_total is %v, want 3", got)
	}
	if got := strings.Count(logged.String(), "no /proc"); got != 1 {
		t.Errorf("logged %d times, want once: %s", got, &logged)
	}
	if got := describe(n.value("gauge:host.load.1m")); got != "0.5" {
		t.Errorf("the source that works gave %s, want 0.5", got)
	}
}

func TestHostReadsEveryInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := newTestMetrics(t)
		n := newFakeNode()
		machine := &fakeMachine{reading: func(r *hostReading) { r.gauge("host.cpu.count", 4) }}
		h := newHost(HostConfig{Submit: n, Metrics: m, Logger: discard()}, []*hostSource{machine.source()})
		ctx, cancel := context.WithTimeout(t.Context(), 35*time.Second)
		defer cancel()
		if err := h.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if n.calls != 4 {
			t.Errorf("%d readings in 35 s, want 4", n.calls)
		}
	})
}

// The sources of this machine: whatever works here gives names of the table and sane values.
func TestMachineSources(t *testing.T) {
	m, _ := newTestMetrics(t)
	n := newFakeNode()
	h := NewHost(HostConfig{Submit: n, Metrics: m, Logger: discard()})
	h.round(t.Context(), testNow)
	h.round(t.Context(), testNow)
	if len(n.items) == 0 {
		t.Fatal("nothing could be read")
	}
	for _, s := range n.series {
		if !strings.HasPrefix(s.Name, "host.") || (s.Get("mount") != "") != (len(s.Labels) == 1) {
			t.Errorf("unexpected series %s", s)
		}
		if g, ok := n.value(s.String()).X.(*crdt.Gauge); ok && g.Value < 0 {
			t.Errorf("%s is %v", s, g.Value)
		}
	}
}

func TestPickMounts(t *testing.T) {
	var parts []disk.PartitionStat
	for _, p := range []string{"vda1 /etc/hosts", "vdb /data", "vda1 /", "vdb /data/again", "vdc /c", "vdd /d", "vde /e", "vdf /f", "vdg /g", "vdh /h", "vdi /i"} {
		device, mount, _ := strings.Cut(p, " ")
		parts = append(parts, disk.PartitionStat{Device: device, Mountpoint: mount})
	}
	want := []string{"/", "/c", "/d", "/data", "/e", "/f", "/g", "/h"}
	if got := pickMounts(parts); !cmp.Equal(got, want) {
		t.Errorf("mounts %v, want %v", got, want)
	}
}

func TestBytesOfADiskCountOnce(t *testing.T) {
	disks := map[string]bool{}
	for _, d := range []string{"sda", "sda1", "sdb", "nvme0n1", "nvme0n1p2", "mmcblk0", "mmcblk0p1", "vda", "loop3", "dm-0", "md127", "zram0", "disk0", "xvda1"} {
		disks[d] = true
	}
	var got []string
	for _, d := range []string{"sda", "sda1", "sdb", "nvme0n1", "nvme0n1p2", "mmcblk0", "mmcblk0p1", "vda", "loop3", "dm-0", "md127", "zram0", "disk0", "xvda1"} {
		if !layered(d) && !partition(d, func(s string) bool { return disks[s] }) {
			got = append(got, d)
		}
	}
	if want := []string{"sda", "sdb", "nvme0n1", "mmcblk0", "vda", "disk0", "xvda1"}; !cmp.Equal(got, want) {
		t.Errorf("disks %v, want %v", got, want)
	}
}
