package buffer

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
)

func logKey(lsn uint64) []byte { return fmt.Appendf(nil, "l/%016x", lsn) }

func randomBytes(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// BenchmarkCommit is the latency of one synced commit of one log record, and what several committers reach together.
func BenchmarkCommit(b *testing.B) {
	for _, size := range []int{128, 1500, 64 << 10, 256 << 10, 4 << 20} {
		b.Run(fmt.Sprintf("value=%d", size), func(b *testing.B) {
			s := mustOpen(b, testConfig(b.TempDir()))
			v := randomBytes(rand.New(rand.NewPCG(1, 1)), size)
			b.SetBytes(int64(size))
			for lsn := uint64(0); b.Loop(); lsn++ {
				if err := s.Commit([]Op{{Key: logKey(lsn), Value: v}, {Key: logKey(lsn - 8), Delete: true}}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("committers=16", func(b *testing.B) {
		s := mustOpen(b, testConfig(b.TempDir()))
		v := randomBytes(rand.New(rand.NewPCG(1, 1)), 1500)
		var lsn atomic.Uint64
		b.SetParallelism(4)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := s.Commit([]Op{{Key: logKey(lsn.Add(1)), Value: v}}); err != nil {
					b.Error(err)
				}
			}
		})
	})
}

// BenchmarkBatch is the rate of small keys in large commits, within one transaction and through the journal.
func BenchmarkBatch(b *testing.B) {
	for _, n := range []int{100, 1000, 100_000} {
		b.Run(fmt.Sprintf("keys=%d", n), func(b *testing.B) {
			s := mustOpen(b, testConfig(b.TempDir()))
			rng := rand.New(rand.NewPCG(1, 1))
			ops := make([]Op, n)
			for i := range ops {
				ops[i] = Op{Key: fmt.Appendf(nil, "o/%08x", i), Value: randomBytes(rng, 100)}
			}
			for b.Loop() {
				if err := s.Commit(ops); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "keys/s")
		})
	}
}

// BenchmarkResident reports the resident memory of a process that has done nothing but open a store and commit log
// records of 1 to 2 KB, one synced commit each, with and without trimming the log behind.
func BenchmarkResident(b *testing.B) {
	for _, j := range []residentJob{
		{Commits: 0},
		{Commits: 10_000},
		{Commits: 10_000, Keep: 1000},
		{Commits: 100_000},
		{Commits: 200_000, Keep: 1000},
		{Commits: 10_000, Memory: 32 << 20},
		{Commits: 10_000, Memory: 256 << 20},
	} {
		b.Run(fmt.Sprintf("memory=%dMiB/commits=%d/keep=%d", cmp.Or(j.Memory, defaultMemory)>>20, j.Commits, j.Keep), func(b *testing.B) {
			j.Dir = b.TempDir()
			arg, err := json.Marshal(j)
			if err != nil {
				b.Fatal(err)
			}
			cmd := exec.Command(os.Args[0], string(arg))
			cmd.Env = append(os.Environ(), childVar+"=resident")
			cmd.Stderr = os.Stderr
			out, err := cmd.Output()
			if err != nil {
				b.Fatal(err)
			}
			var got map[string]float64
			if err := json.Unmarshal(out, &got); err != nil {
				b.Fatal(err)
			}
			for k, v := range got {
				b.ReportMetric(v, k)
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

type residentJob struct {
	Dir     string
	Memory  int64
	Commits int
	Keep    int // log records kept; 0 = all
}

func residentChild() error {
	var j residentJob
	if err := json.Unmarshal([]byte(os.Args[1]), &j); err != nil {
		return err
	}
	cfg := testConfig(j.Dir)
	cfg.MemoryBytes = j.Memory
	s, err := Open(cfg)
	if err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range j.Commits {
		ops := []Op{{Key: logKey(uint64(i)), Value: randomBytes(rng, 1000+rng.IntN(1000))}}
		if j.Keep > 0 && i >= j.Keep {
			ops = append(ops, Op{Key: logKey(uint64(i - j.Keep)), Delete: true})
		}
		if err := s.Commit(ops); err != nil {
			return err
		}
	}
	got, err := resident()
	if err != nil {
		return err
	}
	got["disk-MiB"] = float64(s.Size()) / (1 << 20)
	return errors.Join(json.NewEncoder(os.Stdout).Encode(got), s.Close())
}

// resident reads this process' memory in MiB from Linux' /proc.
func resident() (map[string]float64, error) {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	got := map[string]float64{}
	for sc := bufio.NewScanner(f); sc.Scan(); {
		w := strings.Fields(sc.Text())
		if len(w) == 3 && (w[0] == "VmRSS:" || w[0] == "VmHWM:" || w[0] == "RssAnon:" || w[0] == "RssFile:") {
			kb, err := strconv.ParseFloat(w[1], 64)
			if err != nil {
				return nil, err
			}
			got[strings.TrimSuffix(w[0], ":")+"-MiB"] = kb / 1024
		}
	}
	return got, nil
}
