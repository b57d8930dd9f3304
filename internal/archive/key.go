package archive

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

const keyBytes = 17 + 8 + 4

// writer says which directory appends, since which snapshot.
type writer struct {
	ID         [8]byte
	Generation uint32
}

func (w writer) key(of [17]byte) []byte {
	k := make([]byte, 0, keyBytes)
	return binary.BigEndian.AppendUint32(append(append(k, of[:]...), w.ID[:]...), w.Generation)
}

func parseKey(k []byte) (w writer, ok bool) {
	if len(k) != keyBytes {
		return w, false
	}
	copy(w.ID[:], k[17:])
	w.Generation = binary.BigEndian.Uint32(k[25:])
	return w, true
}

// state is what a writer remembers in its data directory.
type state struct {
	Writer     string `json:"writer"` // 16 hexadecimal digits
	Generation uint32 `json:"generation"`
	Tag        uint64 `json:"tag"` // publications up to here are in the log
	Log        string `json:"log"` // in which one
}

// stateName is the file of a writer in the data directory.
const stateName = "archive.json"

// load reads what a writer remembers; a directory that was never archived, or into another log, begins anew.
func load(dir, log string, draw func([]byte)) (st state, w writer, err error) {
	raw, err := os.ReadFile(filepath.Join(dir, stateName))
	if err == nil {
		err = json.Unmarshal(raw, &st)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return st, w, fmt.Errorf("%s: %w: delete it, and everything is archived again", stateName, err)
	}
	id, err := hex.DecodeString(st.Writer)
	if err != nil || len(id) != len(w.ID) || st.Log != log {
		st = state{Log: log}
		draw(w.ID[:])
		st.Writer = hex.EncodeToString(w.ID[:])
		return st, w, nil
	}
	copy(w.ID[:], id)
	w.Generation = st.Generation
	return st, w, nil
}

// Store makes v durable in a file that is there whole, the old or the new one.
func Store(dir, name string, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, name+".*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // gone already when all went well
	_, err = f.Write(append(raw, '\n'))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), filepath.Join(dir, name)); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
