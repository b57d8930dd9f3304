package demo

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"meshd/cmd/meshd/internal/cluster"
)

// errNone says that no demo of this user runs.
var errNone = errors.New("no demo is running; start one with `meshd demo`")

// folder is where one user's demo keeps everything: fixed, so that a second terminal finds it.
type folder string

// state is what a second terminal needs to know. It is complete once the file exists, and gone when the demo ends.
type state struct {
	PID     int            `json:"pid"`
	Control string         `json:"control"` // host:port of the supervisor
	Nodes   []cluster.Node `json:"nodes"`
}

func userFolder() (folder, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no folder for the demo: %w", err)
	}
	return folder(filepath.Join(cache, "meshd-demo")), nil
}

func (f folder) path(elem ...string) string {
	return filepath.Join(append([]string{string(f)}, elem...)...)
}

func (f folder) tokenFile() string { return f.path("token") }
func (f folder) stateFile() string { return f.path("state.json") }
func (f folder) leftovers() []string {
	return []string{f.stateFile(), f.tokenFile(), f.path("data"), f.path("certificates")}
}

// open makes the folder this process' own: locked, and empty of what an earlier demo left. The lock ends with the
// process, whatever ends it; release ends it earlier.
func (f folder) open() (release func(), err error) {
	if err := os.MkdirAll(string(f), 0o700); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(f.path("lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := tryLock(lock); err != nil {
		lock.Close()
		return nil, fmt.Errorf("a demo is running already (%s is locked): stop it with Ctrl-C, or see `meshd demo status`", lock.Name())
	}
	if err := f.clean(append(f.leftovers(), f.path("logs"))); err != nil {
		lock.Close()
		return nil, err
	}
	return func() { lock.Close() }, nil
}

func (f folder) clean(paths []string) error {
	for _, p := range paths {
		if err := os.RemoveAll(p); err != nil {
			return fmt.Errorf("clean the demo's folder: %w", err)
		}
	}
	return nil
}

// writeToken makes the secret that guards the supervisor's control and puts it where only this user reads it.
func (f folder) writeToken() (string, error) {
	token := rand.Text()
	return token, os.WriteFile(f.tokenFile(), []byte(token+"\n"), 0o600)
}

// writeState publishes the demo. The rename makes readers see all of it or nothing.
func (f folder) writeState(s state) error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	tmp := f.stateFile() + ".new"
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, f.stateFile())
}

func (f folder) readState() (state, error) {
	var s state
	b, err := os.ReadFile(f.stateFile())
	if errors.Is(err, os.ErrNotExist) {
		return s, errNone
	}
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return s, fmt.Errorf("%s: %w", f.stateFile(), err)
	}
	return s, nil
}
