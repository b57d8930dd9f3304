package ingest

import (
	"cmp"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"slices"
	"time"
)

// maxLogPositions are kept: 10 files rotated daily, for 3 years. The ones not seen for longest go first; their tokens
// stay at the node.
const maxLogPositions = 10_000

// logPositions says how far files were read. What it forgets is read again, and found to be duplicates.
type logPositions struct {
	path  string
	log   *slog.Logger
	byKey map[string]logPosition
	dirty bool
}

// loadLogPositions reads the file at path. One that cannot be read is as good as none.
func loadLogPositions(path string, log *slog.Logger) *logPositions {
	p := &logPositions{path: path, log: log, byKey: map[string]logPosition{}}
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return p
	}
	var all []logPosition
	if err == nil {
		err = json.Unmarshal(b, &all)
	}
	if err != nil {
		log.Warn("cannot read how far logs were read: they are read again, which counts nothing twice", "path", path, "err", err)
		return p
	}
	for _, pos := range all {
		if pos.Offset >= 0 && pos.Life >= 0 {
			p.byKey[pos.Key] = pos
		}
	}
	return p
}

func (p *logPositions) find(key string) (logPosition, bool) {
	pos, ok := p.byKey[key]
	return pos, ok
}

func (p *logPositions) put(pos logPosition) {
	pos.Seen = time.Now().Unix()
	p.byKey[pos.Key] = pos
	p.dirty = true
}

// save writes the file anew if anything changed. It is not synced: see logPositions.
func (p *logPositions) save() {
	if !p.dirty {
		return
	}
	all := make([]logPosition, 0, len(p.byKey))
	for _, pos := range p.byKey {
		all = append(all, pos)
	}
	slices.SortFunc(all, func(a, b logPosition) int { return cmp.Or(cmp.Compare(b.Seen, a.Seen), cmp.Compare(a.Key, b.Key)) })
	for _, old := range all[min(len(all), maxLogPositions):] {
		delete(p.byKey, old.Key)
	}
	b, err := json.Marshal(all[:min(len(all), maxLogPositions)])
	if err == nil {
		err = os.WriteFile(p.path+".new", append(b, '\n'), 0o600)
	}
	if err == nil {
		err = os.Rename(p.path+".new", p.path)
	}
	if err != nil {
		p.log.Warn("cannot write how far logs were read: tried again", "path", p.path, "err", err)
		return
	}
	p.dirty = false
}
