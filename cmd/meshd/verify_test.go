package main

import (
	"context"
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"meshd/buffer"
	"meshd/crdt"
	"meshd/internal/wire"
	"meshd/query"
)

// flip raises a counter on the disk of a node that is stopped by one, behind everybody's back: flip DIR MESH REGION NODE METRIC.
func flip(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 5 {
		ts.Fatalf("usage: flip DIR MESH REGION NODE METRIC")
	}
	store, err := buffer.Open(buffer.Config{Dir: ts.MkAbs(args[0]), Mesh: args[1], Region: args[2], Node: args[3], MemoryBytes: 64 << 20})
	ts.Check(err)
	type place struct {
		origin crdt.Origin
		ref    uint32
	}
	is, most := map[place]bool{}, crdt.Fixed{}
	look := func(f *wire.Frame) bool {
		for _, d := range f.Defs {
			if d.Series.Name == args[4] {
				is[place{f.Origin, d.Ref}] = true
			}
		}
		for _, c := range f.Cells {
			if is[place{f.Origin, c.Ref}] && most.Less(c.Value.P) {
				most = c.Value.P
			}
		}
		return false
	}
	raise := func(f *wire.Frame) (changed bool) {
		for i := range f.Cells {
			if is[place{f.Origin, f.Cells[i].Ref}] && f.Cells[i].Value.P == most {
				f.Cells[i].Value.P, _ = most.Add(crdt.FixedFromUint(1))
				changed = true
			}
		}
		return changed
	}
	for _, do := range []func(*wire.Frame) bool{look, raise} {
		var ops []buffer.Op
		for _, prefix := range []string{"o/", "l/"} {
			ts.Check(store.Scan([]byte(prefix), func(key, value []byte) error {
				out, changed, err := changeFrames(prefix == "l/", value, do)
				if changed {
					ops = append(ops, buffer.Op{Key: slices.Clone(key), Value: out})
				}
				return err
			}))
		}
		if len(ops) > 0 {
			ts.Check(store.Commit(ops))
		}
	}
	ts.Check(store.Close())
	if most == (crdt.Fixed{}) {
		ts.Fatalf("%s is not on the disk", args[4])
	}
}

// changeFrames writes the frames of a value again where f says so. Those of a node's log stand behind their lengths.
func changeFrames(logged bool, value []byte, f func(*wire.Frame) bool) (out []byte, changed bool, err error) {
	for len(value) > 0 {
		raw := value
		if logged {
			n, k := binary.Uvarint(value)
			raw = value[k : k+int(n)]
			value = value[k:]
		}
		value = value[len(raw):]
		fr, err := wire.ParseFrame(raw)
		if err != nil {
			return nil, false, err
		}
		if strings.HasPrefix(fr.Origin.Class.String(), "node") && fr.Stream == crdt.StreamLifetime && f(fr) {
			changed = true
			if raw, err = wire.AppendFrame(nil, fr); err != nil {
				return nil, false, err
			}
		}
		if logged {
			out = binary.AppendUvarint(out, uint64(len(raw)))
		}
		out = append(out, raw...)
	}
	return out, changed, nil
}

// archived waits until a node's log has all that is on its disk: archived HOST:PORT.
func archived(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: archived HOST:PORT")
	}
	client, err := query.NewClient(args[0], "")
	ts.Check(err)
	for range 300 {
		st, err := client.Status(context.Background())
		ts.Check(err)
		if st.Archive != nil && st.Archive.Records == 0 {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	ts.Fatalf("the log of %s lacks something after 30s", args[0])
}
