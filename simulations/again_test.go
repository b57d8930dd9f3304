package simulations

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	// againEvery is how many seeds there are to one that runs twice.
	againEvery = 50
	childSeeds = "MESHD_SIMULATIONS_SEEDS"
)

// TestASeedIsARun: the same seed gives the same events in two processes, whatever the number of processors.
func TestASeedIsARun(t *testing.T) {
	seeds := []uint64{3, 9, 50}
	one, four := hashesIn(t, 1, seeds), hashesIn(t, 4, seeds)
	if !maps.Equal(one, four) || len(one) != len(seeds) {
		t.Errorf("with 1 and 4 processors the same seeds ran differently: %x and %x", one, four)
	}
}

// again runs every againEvery-th seed a second time, in another process with another number of processors.
func (run *seedsRun) again(t *testing.T) {
	if len(run.hashes) == 0 {
		return
	}
	other := 1 + runtime.GOMAXPROCS(0)%4
	hashes := hashesIn(t, other, slices.Sorted(maps.Keys(run.hashes)))
	for seed, hash := range run.hashes {
		if hashes[seed] != hash {
			t.Errorf("seed %d ran as %x, and with %d processors as %x", seed, hash, other, hashes[seed])
		}
	}
}

// hashesIn runs seeds in a process of its own with procs processors.
func hashesIn(t *testing.T, procs int, seeds []uint64) map[uint64]uint64 {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestChild$", "-test.v")
	cmd.Env = append(os.Environ(), childSeeds+"="+strings.Trim(fmt.Sprint(seeds), "[]"), fmt.Sprintf("GOMAXPROCS=%d", procs))
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	hashes := map[uint64]uint64{}
	for line := range strings.Lines(string(out)) {
		var seed, hash uint64
		if _, err := fmt.Sscanf(line, "seed %d hash %x", &seed, &hash); err == nil {
			hashes[seed] = hash
		}
	}
	return hashes
}

// TestChild prints the hashes of seeds for hashesIn.
func TestChild(t *testing.T) {
	list := strings.Fields(os.Getenv(childSeeds))
	if len(list) == 0 {
		t.Skip("runs in a process of its own")
	}
	hashes := make([]uint64, len(list))
	each(0, len(list), func(i uint64) {
		seed, err := strconv.ParseUint(list[i], 10, 64)
		if err != nil {
			t.Error(err)
			return
		}
		p := Draw(seed)
		p.Workers = runtime.GOMAXPROCS(0) // steps run ahead, although the mesh is small
		hashes[i] = Run(p).Hash
	})
	for i, hash := range hashes {
		fmt.Printf("seed %s hash %x\n", list[i], hash)
	}
}
