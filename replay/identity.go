package replay

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// identityName is the file that says whose log a directory holds.
const identityName = "LOG"

const logFormat = 1

type identity struct {
	Format int    `json:"format"`
	Mesh   string `json:"mesh"`
}

// claim checks whose log dir holds, or makes it that of mesh when it is new.
func claim(dir, mesh string, readOnly bool) error {
	path := filepath.Join(dir, identityName)
	raw, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) && !readOnly {
		return writeIdentity(dir, path, mesh)
	}
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("no log is there: name the directory that --archive of a node names: %w", err)
	} else if err != nil {
		return err
	}
	var id identity
	if err := json.Unmarshal(raw, &id); err != nil {
		return fmt.Errorf("%s is damaged, write {\"format\":%d,\"mesh\":\"...\"} into it: %w", path, logFormat, err)
	}
	switch {
	case id.Format > logFormat:
		return fmt.Errorf("%w: format %d", ErrNewer, id.Format)
	case mesh != "" && id.Mesh != mesh:
		return fmt.Errorf("%w: %q, not %q: name that mesh, or choose another directory", ErrForeign, id.Mesh, mesh)
	}
	return nil
}

// writeIdentity makes the file appear whole or not at all.
func writeIdentity(dir, path, mesh string) error {
	raw, err := json.Marshal(identity{Format: logFormat, Mesh: mesh})
	if err != nil {
		return err
	}
	file, err := os.CreateTemp(dir, identityName+".*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(file.Name()) }() // gone already when all went well
	_, err = file.Write(append(raw, '\n'))
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

// syncDir makes the names in a directory survive the loss of power.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
