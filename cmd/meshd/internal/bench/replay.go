package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/shirou/gopsutil/v4/process"
	"github.com/spf13/pflag"

	"meshd/crdt"
	"meshd/internal/archive"
	wirefmt "meshd/internal/wire"
	"meshd/replay"
)

// replaying measures the durable log of this machine: how fast it is written, and how fast a hub comes back from it.
type replaying struct {
	edgeFrames
	span time.Duration
}

func replayBench() Bench {
	return Bench{
		Name: "replay", Summary: "a durable log: bytes a second appended and synced beside a bare fsync, cells a second and core replayed",
		bind: func(fs *pflag.FlagSet) job {
			b := &replaying{}
			b.bind(fs, 300)
			fs.DurationVar(&b.span, "for", 3*time.Second, "`time` of the raw disk, and of appending")
			return b
		},
		quick: map[string]string{"edges": "2", "series": "500", "changed": "100", "frames": "20", "for": "100ms"},
	}
}

func (b *replaying) check() error {
	if b.span <= 0 {
		return errors.New("--for must be above 0")
	}
	return b.edgeFrames.check()
}

const (
	replayBar    = 2_000_000   // cells a second and core
	appendBar    = 100_000_000 // bytes a second
	archiveBatch = 4 << 20     // what a hub appends at once when more waits
)

type replayDetail struct {
	Cells   int64 `json:"cells"`
	Records int64 `json:"records"`

	CellsPerSecond float64 `json:"cells_per_second"` // of wall time
	Seconds        float64 `json:"seconds"`          // from opening nothing but the log to all cells on the hub's disk
	CPUSeconds     float64 `json:"cpu_seconds"`      // user and system
	BarCells       float64 `json:"bar_cells_per_second_and_core_at_least"`
	MetCells       bool    `json:"bar_cells_met"`

	Append       appendDetail `json:"append"`
	BytesPerCell float64      `json:"frame_bytes_per_cell"`
	DiskPerCell  float64      `json:"log_bytes_per_cell"`
	DiskPerFrame float64      `json:"log_bytes_per_frame"`
}

type appendDetail struct {
	BytesPerSecond float64 `json:"bytes_per_second"` // of keys and values, synced every 4 MiB
	DiskPerSecond  float64 `json:"disk_bytes_per_second"`
	CPUPerSecond   float64 `json:"cores"`
	RawPerSecond   float64 `json:"raw_bytes_per_second"` // the same batches to a file
	Bar            float64 `json:"bar_at_least"`
	Met            bool    `json:"bar_met"`
}

func (b *replaying) measure(ctx context.Context, r *run) (_ *Report, err error) {
	var d replayDetail
	scripts, batches, err := b.batches(&d)
	if err != nil {
		return nil, err
	}
	r.say("%d frames of %d edges are prepared", d.Records, b.edges)
	if err := b.append(ctx, r.dir, batches, &d.Append); err != nil {
		return nil, err
	}
	dir := filepath.Join(r.dir, "log")
	size, err := b.write(ctx, dir, batches)
	if err != nil {
		return nil, err
	}
	d.DiskPerCell, d.DiskPerFrame = round(float64(size)/float64(d.Cells), 2), round(float64(size)/float64(d.Records), 1)
	r.say("the log has %d bytes", size)
	rate, err := b.rebuild(ctx, r.dir, dir, scripts, &d)
	if err != nil {
		return nil, err
	}
	return newReport(
		Quantity{rate, "cells/s", fmt.Sprintf("replayed for each second of a processor, %.0f a second; %.0f MB/s appended", d.CellsPerSecond, d.Append.BytesPerSecond/1e6)},
		-1, Quantity{round(d.Append.RawPerSecond/d.DiskPerCell, 0), "cells/s", "the bytes of the log appended to a file, synced every 4 MiB"}, d), nil
}

// batches writes what the edges send into records as a hub archives them: one frame of each edge after another.
func (b *replaying) batches(d *replayDetail) ([]*script, [][]replay.Record, error) {
	scripts, err := b.scripts()
	if err != nil {
		return nil, nil, err
	}
	var all [][]replay.Record
	var batch []replay.Record
	size, bytes := 0, 0
	add := func(o crdt.Origin, raw []byte, cells int) error {
		msg, err := wirefmt.AppendMessage(nil, &wirefmt.FrameMsg{Raw: raw})
		if err != nil {
			return err
		}
		batch = append(batch, replay.Record{Kind: replay.KindFrame, Key: archiveKey(o), Value: msg})
		d.Cells, d.Records, bytes = d.Cells+int64(cells), d.Records+1, bytes+len(raw)
		if size += len(msg); size >= archiveBatch {
			all, batch, size = append(all, batch), nil, 0
		}
		return nil
	}
	for k := range b.frames + 1 {
		for _, s := range scripts {
			raw, cells := s.first, b.series
			if k > 0 {
				raw, cells = s.frames[k-1], b.changed
			}
			if err := add(s.origin, raw, cells); err != nil {
				return nil, nil, err
			}
		}
	}
	d.BytesPerCell = round(float64(bytes)/float64(d.Cells), 2)
	return scripts, append(all, batch), nil
}

// archiveKey is the key of an origin's frames, of a writer with number and generation zero: see internal/archive.
func archiveKey(o crdt.Origin) []byte {
	return append(append([]byte{byte(o.Class)}, o.Inc[:]...), make([]byte, 8+4)...)
}

// append measures appending the batches again and again, and the disk right before.
func (b *replaying) append(ctx context.Context, dir string, batches [][]replay.Record, d *appendDetail) (err error) {
	raw, err := (&disk{bytes: archiveBatch, seconds: b.span}).raw(ctx, dir)
	if err != nil {
		return err
	}
	d.RawPerSecond = round(raw.PerSecond*archiveBatch, 0)
	where := filepath.Join(dir, "append")
	log, err := replay.OpenEmbedded(replay.EmbeddedConfig{Dir: where, Mesh: pairMesh})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close(), os.RemoveAll(where)) }()
	cpu, err := cpuSeconds()
	if err != nil {
		return err
	}
	bytes, began := 0, time.Now()
	for k := 0; time.Since(began) < b.span; k++ {
		batch := batches[k%len(batches)]
		if _, err := log.Append(ctx, batch); err != nil {
			return err
		}
		for i := range batch {
			bytes += len(batch[i].Key) + len(batch[i].Value)
		}
	}
	took := time.Since(began).Seconds()
	used, err := cpuSeconds()
	if err != nil {
		return err
	}
	size, err := folderBytes(where)
	if err != nil {
		return err
	}
	d.BytesPerSecond, d.DiskPerSecond, d.CPUPerSecond = round(float64(bytes)/took, 0), round(float64(size)/took, 0), round((used-cpu)/took, 2)
	d.Bar, d.Met = appendBar, d.BytesPerSecond >= appendBar
	return nil
}

// write makes the log that is replayed.
func (b *replaying) write(ctx context.Context, dir string, batches [][]replay.Record) (size int64, err error) {
	log, err := replay.OpenEmbedded(replay.EmbeddedConfig{Dir: dir, Mesh: pairMesh})
	if err != nil {
		return 0, err
	}
	for _, batch := range batches {
		if _, err = log.Append(ctx, batch); err != nil {
			break
		}
	}
	if err = errors.Join(err, log.Close()); err != nil {
		return 0, err
	}
	return folderBytes(dir)
}

// rebuild replays the log into a hub with an empty disk, and looks at what a process finds there that comes after it.
func (b *replaying) rebuild(ctx context.Context, dir, from string, scripts []*script, d *replayDetail) (rate float64, err error) {
	log, err := replay.OpenEmbedded(replay.EmbeddedConfig{Dir: from, Mesh: pairMesh, ReadOnly: true})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	hubs := durable{flush: 100 * time.Millisecond}
	h, err := hubs.openHub(ctx, dir, 1)
	if err != nil {
		return 0, err
	}
	cpu, err := cpuSeconds()
	began := time.Now()
	var moved archive.Moved
	if err == nil {
		moved, err = (&archive.Rebuild{Log: log, Into: h.node}).Run(ctx)
	}
	took := time.Since(began).Seconds()
	used, cpuErr := cpuSeconds()
	if err = errors.Join(err, cpuErr); err == nil && moved.Cells != d.Cells {
		err = fmt.Errorf("%d cells were replayed in round %d, the log has %d", moved.Cells, moved.Round, d.Cells)
	}
	if err == nil {
		err = h.sameTotal(ctx, scripts)
	}
	if err = errors.Join(err, h.close()); err != nil {
		return 0, err
	}
	if h, err = hubs.openHub(ctx, dir, 2); err != nil { // what was replayed must be on the disk
		return 0, err
	}
	if err = errors.Join(h.sameTotal(ctx, scripts), h.close()); err != nil {
		return 0, fmt.Errorf("after a start: %w", err)
	}
	d.Seconds, d.CPUSeconds, d.CellsPerSecond = round(took, 2), round(used-cpu, 2), round(float64(d.Cells)/took, 0)
	if used > cpu {
		rate = round(float64(d.Cells)/(used-cpu), 0)
	}
	d.BarCells, d.MetCells = replayBar, rate >= replayBar
	return rate, nil
}

// folderBytes is the size of the files of a folder.
func folderBytes(dir string) (size int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err == nil {
			size += info.Size()
		}
		return err
	})
	return size, err
}

// cpuSeconds is the processor time of this process so far, user and system.
func cpuSeconds() (float64, error) {
	p, err := process.NewProcess(int32(os.Getpid()))
	if err != nil {
		return 0, err
	}
	t, err := p.Times()
	if err != nil {
		return 0, err
	}
	return t.User + t.System, nil
}
