package buffer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

const (
	metaFile    = "META"
	metaVersion = 1
)

// meta is the file META: whose directory this is, in JSON, for people too.
type meta struct {
	Version  int       `json:"format_version"`
	Mesh     string    `json:"mesh"`
	Region   string    `json:"region"`
	Node     string    `json:"node"`
	Created  time.Time `json:"created"`
	MemTable int64     `json:"memtable_bytes"` // the largest that logs in this directory may have been written with
}

// claim checks that cfg.Dir belongs to cfg's node, or takes an empty one for it, and records memTable in META. It
// returns the memtable size found, 0 for a new directory. A node or region never takes over the directory of another
// name: the cells inside are those of the old name's origins, and would be counted for it for ever.
func claim(cfg Config, memTable int64) (old int64, err error) {
	raw, err := os.ReadFile(filepath.Join(cfg.Dir, metaFile))
	if errors.Is(err, fs.ErrNotExist) {
		if err := mustBeEmpty(cfg.Dir); err != nil {
			return 0, err
		}
		return 0, writeMeta(cfg, memTable)
	}
	if err != nil {
		return 0, fmt.Errorf("%w: give this user read and write access", err)
	}
	var m meta
	if err := json.Unmarshal(raw, &m); err != nil {
		return 0, fmt.Errorf("%s: %w (%w)", metaFile, ErrCorrupt, err)
	}
	if m.Version > metaVersion {
		return 0, fmt.Errorf("format version %d, this program knows %d: %w", m.Version, metaVersion, ErrNewer)
	}
	if m.Version < 1 || m.MemTable < 0 || m.MemTable > maxMemory {
		return 0, fmt.Errorf("%s: %w (format version %d, memtable %d)", metaFile, ErrCorrupt, m.Version, m.MemTable)
	}
	for _, f := range []struct{ what, have, want string }{
		{"mesh", m.Mesh, cfg.Mesh},
		{"region", m.Region, cfg.Region},
		{"node", m.Node, cfg.Node},
	} {
		if f.have != f.want {
			return 0, fmt.Errorf("%w: it is of %s %q, not %q: use an empty directory, or start with --%s %s",
				ErrForeign, f.what, f.have, f.want, f.what, f.have)
		}
	}
	if m.MemTable >= memTable {
		return m.MemTable, probe(cfg.Dir)
	}
	return m.MemTable, writeMeta(cfg, memTable)
}

// mustBeEmpty refuses to settle among someone's files. What mkfs and a crash inside writeMeta leave does not count.
func mustBeEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if name := e.Name(); name != "lost+found" && name != metaFile+".tmp" {
			return fmt.Errorf("%w: it holds %q but no %s file, so it is no data directory of meshd: use an empty one",
				ErrForeign, name, metaFile)
		}
	}
	return nil
}

// writeMeta replaces META atomically and durably. A directory keeps the time at which it was created.
func writeMeta(cfg Config, memTable int64) error {
	path := filepath.Join(cfg.Dir, metaFile)
	m := meta{
		Version: metaVersion, Mesh: cfg.Mesh, Region: cfg.Region, Node: cfg.Node,
		Created: time.Now().UTC().Truncate(time.Second),
	}
	if raw, err := os.ReadFile(path); err == nil {
		_ = json.Unmarshal(raw, &m) // claim has read it already
	}
	m.MemTable = memTable
	raw, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	if err := writeSynced(path+".tmp", append(raw, '\n')); err != nil {
		return fmt.Errorf("%w: give this user write access", err)
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return err
	}
	return syncDir(cfg.Dir)
}

// probe finds a directory that is not writable before Badger does, whose message says less.
func probe(dir string) error {
	path := filepath.Join(dir, metaFile+".tmp")
	if err := writeSynced(path, nil); err != nil {
		return fmt.Errorf("%w: give this user write access", err)
	}
	return os.Remove(path)
}

func writeSynced(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
