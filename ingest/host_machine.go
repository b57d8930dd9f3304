package ingest

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"strings"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/disk"
	"github.com/shirou/gopsutil/v4/host"
	"github.com/shirou/gopsutil/v4/load"
	"github.com/shirou/gopsutil/v4/mem"
	"github.com/shirou/gopsutil/v4/net"

	"meshd/crdt"
)

// machineSources returns the sources of Host on Linux and macOS.
func machineSources() []*hostSource {
	return []*hostSource{
		{name: "cpu", read: new(cpuTimes).read},
		{name: "load", read: readLoad},
		{name: "memory", read: readMemory},
		{name: "swap", read: readSwap},
		{name: "uptime", read: readUptime},
		{name: "mounts", read: readMounts},
		{name: "disks", read: readDisks},
		{name: "network", read: readNetwork},
	}
}

// cpuTimes holds the last reading: the ratio is that of the time between two.
type cpuTimes struct{ busy, total float64 }

func (c *cpuTimes) read(ctx context.Context, r *hostReading) error {
	n, err := cpu.CountsWithContext(ctx, true)
	if err != nil {
		return err
	}
	times, err := cpu.TimesWithContext(ctx, false)
	if err != nil {
		return err
	}
	if len(times) == 0 {
		return errors.New("no CPU times")
	}
	t := times[0]
	// Guest time is contained in user time.
	busy := t.User + t.System + t.Nice + t.Irq + t.Softirq + t.Steal
	total := busy + t.Idle + t.Iowait
	if c.total > 0 && total > c.total {
		const digits = 1e4 // a clock tick of a reading is more than that, and sixteen digits of noise cost history as many bytes
		ratio := min(max((busy-c.busy)/(total-c.total), 0), 1)
		r.gauge("host.cpu.busy_ratio", math.Round(ratio*digits)/digits)
	}
	c.busy, c.total = busy, total
	r.gauge("host.cpu.count", float64(n))
	return nil
}

func readLoad(ctx context.Context, r *hostReading) error {
	l, err := load.AvgWithContext(ctx)
	if err != nil {
		return err
	}
	r.gauge("host.load.1m", l.Load1)
	r.gauge("host.load.5m", l.Load5)
	r.gauge("host.load.15m", l.Load15)
	return nil
}

func readMemory(ctx context.Context, r *hostReading) error {
	m, err := mem.VirtualMemoryWithContext(ctx)
	if err != nil {
		return err
	}
	r.gauge("host.memory.total_bytes", float64(m.Total))
	r.gauge("host.memory.used_bytes", float64(m.Used))
	r.gauge("host.memory.available_bytes", float64(m.Available))
	return nil
}

func readSwap(ctx context.Context, r *hostReading) error {
	s, err := mem.SwapMemoryWithContext(ctx)
	if err != nil {
		return err
	}
	r.gauge("host.swap.used_bytes", float64(s.Used))
	return nil
}

func readUptime(ctx context.Context, r *hostReading) error {
	s, err := host.UptimeWithContext(ctx)
	if err != nil {
		return err
	}
	r.gauge("host.uptime_seconds", float64(s))
	return nil
}

const maxMounts = 8

// readMounts reads "/" and the other mounts of disks, one for each device: containers mount one device many times.
func readMounts(ctx context.Context, r *hostReading) error {
	parts, err := disk.PartitionsWithContext(ctx, false)
	if err != nil {
		return err
	}
	for _, mount := range pickMounts(parts) {
		u, err := disk.UsageWithContext(ctx, mount)
		if err != nil {
			return err
		}
		r.gauges = append(r.gauges,
			hostGauge{metric: "host.disk.total_bytes", mount: mount, value: float64(u.Total)},
			hostGauge{metric: "host.disk.free_bytes", mount: mount, value: float64(u.Free)})
	}
	return nil
}

func pickMounts(parts []disk.PartitionStat) []string {
	slices.SortFunc(parts, func(a, b disk.PartitionStat) int { return cmp.Compare(a.Mountpoint, b.Mountpoint) })
	mounts, devices := []string{"/"}, make(map[string]bool)
	for _, p := range parts {
		if p.Mountpoint == "/" {
			devices[p.Device] = true
		}
	}
	for _, p := range parts {
		if devices[p.Device] || len(mounts) == maxMounts || len(p.Mountpoint) > crdt.MaxValueBytes {
			continue
		}
		devices[p.Device] = true
		mounts = append(mounts, p.Mountpoint)
	}
	return mounts
}

func readDisks(ctx context.Context, r *hostReading) error {
	all, err := disk.IOCountersWithContext(ctx)
	if err != nil {
		return err
	}
	for name, c := range all {
		if layered(name) || partition(name, func(s string) bool { _, ok := all[s]; return ok }) {
			continue // its bytes are counted at the disk below
		}
		r.count("host.disk.read_bytes", name, c.ReadBytes)
		r.count("host.disk.written_bytes", name, c.WriteBytes)
	}
	return nil
}

// layered reports whether a block device of Linux lies on others or in memory.
func layered(name string) bool {
	for _, p := range []string{"loop", "ram", "zram", "dm-", "md"} {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}

// partition reports whether name is a partition of a disk that exists: sda1 of sda, nvme0n1p2 of nvme0n1.
func partition(name string, exists func(string) bool) bool {
	whole := strings.TrimRight(name, "0123456789")
	return whole != name && whole != "" && (exists(whole) || exists(strings.TrimSuffix(whole, "p")))
}

func readNetwork(ctx context.Context, r *hostReading) error {
	all, err := net.IOCountersWithContext(ctx, true)
	if err != nil {
		return err
	}
	for _, c := range all {
		if c.Name == "lo" || c.Name == "lo0" {
			continue
		}
		r.count("host.network.received_bytes", c.Name, c.BytesRecv)
		r.count("host.network.sent_bytes", c.Name, c.BytesSent)
		r.count("host.network.errors", c.Name+"/in", c.Errin)
		r.count("host.network.errors", c.Name+"/out", c.Errout)
		r.count("host.network.drops", c.Name+"/in", c.Dropin)
		r.count("host.network.drops", c.Name+"/out", c.Dropout)
	}
	return nil
}
