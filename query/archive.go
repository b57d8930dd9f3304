package query

import (
	"fmt"
	"time"

	"github.com/dustin/go-humanize"

	"meshd/node"
)

// Archive says how far the durable log is behind the disk.
type Archive struct {
	Records uint64 `json:"records"` // of the node's log that wait
	Bytes   int64  `json:"bytes"`   // in them
	AgeMs   int64  `json:"age_ms"`  // how long ago everything was archived; 0: it is
}

func newArchive(st *node.ArchiveStatus) *Archive {
	if !st.On {
		return nil
	}
	return &Archive{Records: st.Records, Bytes: st.Bytes, AgeMs: st.AgeMs}
}

func (a *Archive) rows() [][]string {
	switch {
	case a == nil:
		return nil
	case a.Records == 0:
		return [][]string{{"archive", "has everything"}}
	}
	return [][]string{{"archive", fmt.Sprintf("lacks %d records, %s; had everything %s ago", a.Records, humanize.IBytes(uint64(max(0, a.Bytes))),
		(time.Duration(a.AgeMs) * time.Millisecond).Round(time.Second))}}
}

// Events says how many raw events wait for their log.
type Events struct {
	Bytes int64 `json:"bytes"`
}

func newEvents(st *node.EventsStatus) *Events {
	if !st.On {
		return nil
	}
	return &Events{Bytes: st.Bytes}
}

func (e *Events) rows() [][]string {
	if e == nil {
		return nil
	}
	return [][]string{{"events", humanize.IBytes(uint64(max(0, e.Bytes))) + " wait for their log"}}
}
