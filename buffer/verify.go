package buffer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/badger/v4/y"
	"google.golang.org/protobuf/proto"
)

// prepare makes dir fit for Badger to open: it removes what crashes leave that Badger stumbles over, and refuses
// damage over which Badger would end the process or lose data without a word.
func prepare(dir string, log *slog.Logger) error {
	logs, err := removeEmptyLogs(dir, log)
	if err != nil {
		return err
	}
	f, err := os.Open(filepath.Join(dir, badger.ManifestFilename))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	m, end, err := badger.ReplayManifestFile(f, 0, badger.DefaultOptions(dir).WithLogger(nil))
	if err != nil {
		return fmt.Errorf("%w (manifest: %w)", ErrCorrupt, err)
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if end < info.Size() {
		// While a store is open it has a log. With one, a power cut may have torn the manifest's last record, and the
		// logs or tables that the record would have replaced are still there.
		if logs == 0 {
			return fmt.Errorf("%w (manifest cut off in a record)", ErrCorrupt)
		}
		log.Warn("buffer: the manifest's last record is torn, going on without it", "dir", dir)
	}
	return verifyTables(dir, m)
}

// removeEmptyLogs deletes logs of length 0 and returns how many others there are. Badger leaves one when it is killed
// between creating a log and sizing it, or between truncating and deleting it, and then refuses to open.
func removeEmptyLogs(dir string, log *slog.Logger) (others int, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		ext := filepath.Ext(e.Name())
		if ext != ".mem" && ext != ".vlog" {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return 0, err
		}
		if info.Size() > 0 {
			if ext == ".mem" {
				others++
			}
			continue
		}
		log.Info("buffer: removing a log that a crash left empty", "file", e.Name())
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
			return 0, err
		}
	}
	return others, nil
}

// verifyTables checks the ends of all table files that the manifest names. Badger opens tables in goroutines of its
// own and panics there over one that was cut off, beyond any recover.
func verifyTables(dir string, m badger.Manifest) error {
	for id := range m.Tables {
		path := table.NewFilename(id, dir)
		if err := verifyTable(path); err != nil {
			return fmt.Errorf("%w (table %s: %w)", ErrCorrupt, filepath.Base(path), err)
		}
	}
	return nil
}

// verifyTable reads a table's end: index, 4 bytes its length, checksum, 4 bytes its length, all big endian.
func verifyTable(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	end := info.Size()
	sum, end, err := readBack(f, end)
	if err != nil {
		return fmt.Errorf("checksum: %w", err)
	}
	var check pb.Checksum
	if err := proto.Unmarshal(sum, &check); err != nil {
		return fmt.Errorf("checksum: %w", err)
	}
	index, _, err := readBack(f, end)
	if err != nil {
		return fmt.Errorf("index: %w", err)
	}
	return y.VerifyChecksum(index, &check)
}

// readBack reads a section that ends at end with its 4 byte length, and returns where it starts.
func readBack(f io.ReaderAt, end int64) (b []byte, start int64, err error) {
	var size [4]byte
	if end < int64(len(size)) {
		return nil, 0, io.ErrUnexpectedEOF
	}
	end -= int64(len(size))
	if _, err := f.ReadAt(size[:], end); err != nil {
		return nil, 0, err
	}
	n := int64(binary.BigEndian.Uint32(size[:]))
	if n == 0 || n > end {
		return nil, 0, io.ErrUnexpectedEOF
	}
	b = make([]byte, n)
	_, err = f.ReadAt(b, end-n)
	return b, end - n, err
}
