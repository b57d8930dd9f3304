package buffer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/badger/v4/y"
	"google.golang.org/protobuf/proto"
)

// verifyTables checks the ends of all table files that the manifest in dir names. Badger opens tables in goroutines
// of its own and panics there over one that was cut off, beyond any recover.
func verifyTables(dir string) error {
	f, err := os.Open(filepath.Join(dir, badger.ManifestFilename))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	m, _, err := badger.ReplayManifestFile(f, 0, badger.DefaultOptions(dir).WithLogger(nil))
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("%w (manifest: %w)", ErrCorrupt, err)
	}
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
