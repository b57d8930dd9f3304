package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/pflag"

	"meshd/buffer"
)

// disk measures synced commits, or what history takes, or what dropping it costs.
type disk struct {
	bytes, writers int
	seconds        time.Duration

	history       bool
	hosts, series int
	span, host    time.Duration
	expireSeries  int
}

func diskBench() Bench {
	return Bench{
		Name: "disk", Summary: "synced commits a second beside a bare fsync; bytes of history; dropping a day of it",
		bind: func(fs *pflag.FlagSet) job {
			d := &disk{}
			fs.IntVar(&d.bytes, "bytes", 1500, "`number` of bytes in a commit")
			fs.IntVar(&d.writers, "writers", 16, "`number` of writers of the figure for many")
			fs.DurationVar(&d.seconds, "for", 5*time.Second, "`time` of each part")
			fs.BoolVar(&d.history, "history", false, "measure the bytes of windows in chunks instead")
			fs.IntVar(&d.hosts, "hosts", 1000, "with --history: `number` of hosts")
			fs.IntVar(&d.series, "series", 10, "with --history: `number` of CPU series of each")
			fs.DurationVar(&d.span, "span", 12*time.Hour, "with --history: `time` that is written, whole hours")
			fs.DurationVar(&d.host, "host", 72*time.Second, "with --history: `time` to read this machine's metrics, ten times a second; 0 is not")
			fs.IntVar(&d.expireSeries, "expire", 0, "measure dropping a day of this `number` of series instead, and searches among them")
			return d
		},
		quick: map[string]string{"for": "300ms", "hosts": "2", "span": "1h", "host": "300ms"},
	}
}

func (b *disk) check() error {
	if b.bytes < 1 || b.bytes > 64<<10 || b.writers < 1 || b.seconds <= 0 {
		return errors.New("--bytes must be 1 to 65536, --writers and --for above 0")
	}
	if b.hosts < 1 || b.series < 1 || b.span < time.Hour || b.span%time.Hour != 0 || b.host < 0 || b.expireSeries < 0 || b.history && b.expireSeries > 0 {
		return errors.New("--hosts and --series must be above 0, --span whole hours, --host not below 0; --history and --expire are two measurements")
	}
	return nil
}

type diskDetail struct {
	One  diskRate `json:"one_writer"`
	Many diskRate `json:"many_writers"`
	Raw  diskRate `json:"raw"`
}

type diskRate struct {
	Writers   int     `json:"writers"`
	PerSecond float64 `json:"commits_per_second"`
	Commit    spread  `json:"commit"`
	// Written is what this process gave the disk per commit, 0 where the system does not say.
	Written float64 `json:"bytes_written_per_commit"`
}

func (b *disk) measure(ctx context.Context, r *run) (*Report, error) {
	switch {
	case b.history:
		return b.measureHistory(ctx, r)
	case b.expireSeries > 0:
		return b.measureExpiry(ctx, r)
	}
	raw, err := b.raw(ctx, r.dir)
	if err != nil {
		return nil, err
	}
	store, err := buffer.Open(buffer.Config{
		Dir: filepath.Join(r.dir, "data"), Mesh: "bench", Region: "east", Node: "disk",
	})
	if err != nil {
		return nil, err
	}
	rep, err := b.intoStore(ctx, store, raw)
	return rep, errors.Join(err, store.Close())
}

// intoStore measures a store and reports it beside the raw rate.
func (b *disk) intoStore(ctx context.Context, store *buffer.Store, raw diskRate) (_ *Report, err error) {
	d := diskDetail{Raw: raw}
	var keys atomic.Uint64
	value := make([]byte, b.bytes)
	commit := func() error {
		key := binary.BigEndian.AppendUint64([]byte("l"), keys.Add(1))
		return store.Commit([]buffer.Op{{Key: key, Value: value}})
	}
	if d.One, err = b.many(ctx, 1, commit); err != nil {
		return nil, err
	}
	if d.Many, err = b.many(ctx, b.writers, commit); err != nil {
		return nil, err
	}
	return newReport(
		Quantity{d.One.PerSecond, "commits/s", fmt.Sprintf("synced commits of %d bytes by one writer, %.0f bytes written each; by %d writers: %.0f/s", b.bytes, d.One.Written, b.writers, d.Many.PerSecond)},
		-1, Quantity{d.Raw.PerSecond, "commits/s", "appending as many bytes to a file and syncing it"}, d), nil
}

// raw appends to a file and syncs it.
func (b *disk) raw(ctx context.Context, dir string) (diskRate, error) {
	f, err := os.Create(filepath.Join(dir, "raw"))
	if err != nil {
		return diskRate{}, err
	}
	defer f.Close()
	value := make([]byte, b.bytes)
	return b.many(ctx, 1, func() error {
		if _, err := f.Write(value); err != nil {
			return err
		}
		return f.Sync()
	})
}

// many commits from several goroutines for a while.
func (b *disk) many(ctx context.Context, writers int, commit func() error) (diskRate, error) {
	times := make([][]time.Duration, writers)
	errs := make([]error, writers)
	written, began := writtenBytes(), time.Now()
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for ctx.Err() == nil && errs[w] == nil && time.Since(began) < b.seconds {
				start := time.Now()
				errs[w] = commit()
				times[w] = append(times[w], time.Since(start))
			}
		})
	}
	all.Wait()
	took := time.Since(began)
	var flat []time.Duration
	for _, t := range times {
		flat = append(flat, t...)
	}
	if err := errors.Join(append(errs, ctx.Err())...); err != nil {
		return diskRate{}, err
	}
	return diskRate{
		Writers: writers, PerSecond: round(float64(len(flat))/took.Seconds(), 1),
		Written: round(float64(writtenBytes()-written)/float64(len(flat)), 0), Commit: newSpread(flat),
	}, nil
}

// writtenBytes is what this process had written to disks, by Linux' count.
func writtenBytes() int64 {
	b, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(b), "\nwrite_bytes: ")
	line, _, _ := strings.Cut(rest, "\n")
	n, _ := strconv.ParseInt(line, 10, 64) // 0 where the kernel keeps no count
	return n
}
