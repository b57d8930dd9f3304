package ingest

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
)

// LabelLookup adds labels by what another label says: File is a table, By the label whose value is looked up in the
// table's column of that name, Add the columns that become labels, by default all others.
//
// A file that ends in .csv has the columns' names in its first line. One that ends in .json is a list of objects whose
// values are strings. Of two rows with one key the last counts. An empty value adds nothing.
type LabelLookup struct {
	File string   `yaml:"file"`
	By   string   `yaml:"by"`
	Add  []string `yaml:"add"`
}

const (
	maxTableBytes = 64 << 20
	maxTableRows  = 500_000 // with two labels of 20 bytes each: about 100 MB
)

func (r *LabelLookup) check() error {
	if r.By == "" {
		return errors.New("by is missing: the label that is looked up")
	}
	for _, name := range r.Add {
		if err := checkAddedLabel(name); err != nil {
			return err
		}
	}
	if ext := filepath.Ext(r.File); ext != ".csv" && ext != ".json" {
		return fmt.Errorf("file %q: want a name that ends in .csv or .json", r.File)
	}
	return nil
}

// lookupTable is a table as it was last read. It is replaced as a whole.
type lookupTable struct {
	rule     *LabelLookup
	seen     fs.FileInfo // of the file as it was last looked at, good or bad
	rows     atomic.Pointer[map[string][]labels.Label]
	failures prometheus.Counter
}

func openLookupTable(rule *LabelLookup, failures prometheus.Counter) (*lookupTable, error) {
	t := &lookupTable{rule: rule, failures: failures}
	if _, err := t.reload(); err != nil {
		return nil, fmt.Errorf("ingest: label rules: %s: %w", rule.File, err)
	}
	return t, nil
}

// reload reads the file if it has changed, and reports whether the table did. A file that cannot be read is an error
// once, and looked at again when it has changed.
func (t *lookupTable) reload() (bool, error) {
	info, err := os.Stat(t.rule.File)
	if err == nil {
		if t.seen != nil && os.SameFile(info, t.seen) && info.ModTime().Equal(t.seen.ModTime()) && info.Size() == t.seen.Size() {
			return false, nil
		}
		t.seen = info
	}
	var rows map[string][]labels.Label
	if err == nil {
		rows, err = t.rule.read()
	}
	if err != nil {
		t.failures.Inc()
		return false, err
	}
	t.rows.Store(&rows)
	return true, nil
}

// add adds the labels of the row that b names.
func (t *lookupTable) add(b *labels.Builder) {
	for _, l := range (*t.rows.Load())[b.Get(t.rule.By)] {
		if b.Get(l.Name) == "" {
			b.Set(l.Name, l.Value)
		}
	}
}

func (r *LabelLookup) read() (map[string][]labels.Label, error) {
	f, err := os.Open(r.File)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := readAtMost(f, maxTableBytes)
	if err != nil {
		return nil, err
	}
	return r.parse(b)
}

// parse reads a table.
func (r *LabelLookup) parse(b []byte) (map[string][]labels.Label, error) {
	if filepath.Ext(r.File) == ".json" {
		return r.parseJSON(b)
	}
	return r.parseCSV(b)
}

func (r *LabelLookup) parseCSV(b []byte) (map[string][]labels.Label, error) {
	in := csv.NewReader(bytes.NewReader(b))
	in.ReuseRecord = true
	header, err := in.Read()
	if err != nil {
		return nil, fmt.Errorf("the line with the columns' names: %w", err)
	}
	columns := slices.Clone(header)
	if err := r.checkColumns(columns); err != nil {
		return nil, err
	}
	rows := make(map[string][]labels.Label)
	for {
		record, err := in.Read()
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		if err != nil {
			return nil, err
		}
		row := make(map[string]string, len(columns))
		for i, name := range columns {
			row[name] = record[i]
		}
		if err := r.put(rows, row); err != nil {
			return nil, err
		}
	}
}

func (r *LabelLookup) parseJSON(b []byte) (map[string][]labels.Label, error) {
	var all []map[string]string
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, fmt.Errorf("not a list of objects whose values are strings: %w", err)
	}
	rows := make(map[string][]labels.Label)
	for i, row := range all {
		if _, ok := row[r.By]; !ok {
			return nil, fmt.Errorf("object %d has no %q", i+1, r.By)
		}
		if err := r.put(rows, row); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// checkColumns refuses a table without what the rule names.
func (r *LabelLookup) checkColumns(columns []string) error {
	for _, name := range append([]string{r.By}, r.Add...) {
		if !slices.Contains(columns, name) {
			return fmt.Errorf("there is no column %q", name)
		}
	}
	return nil
}

// put adds a row.
func (r *LabelLookup) put(rows map[string][]labels.Label, row map[string]string) error {
	names := r.Add
	if len(names) == 0 {
		names = slices.Sorted(maps.Keys(row))
	}
	var ls []labels.Label
	for _, name := range names {
		if name == r.By || row[name] == "" {
			continue
		}
		if err := checkAddedLabel(name); err != nil {
			return err
		}
		ls = append(ls, labels.Label{Name: name, Value: strings.ToValidUTF8(row[name], "?")})
	}
	if rows[row[r.By]] = ls; len(rows) > maxTableRows {
		return fmt.Errorf("more than %d rows", maxTableRows)
	}
	return nil
}
