package buffer

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// pageOut asks the kernel to take the pages of all table files under dir out of this process. Badger maps its tables,
// and every page it ever wrote or read stays resident otherwise: 150 MiB of tables are 150 MiB of process.
//
// MADV_PAGEOUT loses no byte of any mapping, so that it does no harm if a table is unmapped, and its address used for
// something else, between reading the list of mappings and this call. (MADV_DONTNEED would.) Errors are no one's loss:
// kernels before 5.4 do not know it, and an unmapped range answers ENOMEM.
func pageOut(dir string) error {
	f, err := os.Open("/proc/self/maps")
	if err != nil {
		return err
	}
	defer f.Close()
	sc := bufio.NewScanner(f)
	for sc.Scan() {
		// 7f0c-7f0d rw-s 00000000 fe:00 1234    /path/000001.sst
		line := sc.Text()
		if !strings.HasSuffix(line, ".sst") || !strings.Contains(line, dir) {
			continue
		}
		var from, to uintptr
		if _, err := fmt.Sscanf(line, "%x-%x ", &from, &to); err != nil {
			return err
		}
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_PAGEOUT)
	}
	return sc.Err()
}
