package simulate

import (
	_ "embed"
	"encoding/csv"
	"fmt"
	"strconv"
	"strings"
	"time"

	"meshd/simulations"
)

// rttCSV is the committed table of published round-trip times; its head says whose and when.
//
//go:embed rtt.csv
var rttCSV string

// MaxRegions is how many regions the table has.
const MaxRegions = 20

// Regions returns the names of the first n regions of the table and the one-way delays between them: half of the
// published round trips.
func Regions(n int) ([]string, simulations.Table, error) {
	if n < 1 || n > MaxRegions {
		return nil, nil, fmt.Errorf("regions %d: the table of delays has 1 to %d", n, MaxRegions)
	}
	r := csv.NewReader(strings.NewReader(rttCSV))
	r.Comment = '#'
	rows, err := r.ReadAll()
	if err != nil {
		return nil, nil, fmt.Errorf("table of delays: %w", err)
	}
	names := rows[0][1 : n+1]
	table := make(simulations.Table, n)
	for i, row := range rows[1 : n+1] {
		for _, cell := range row[1 : n+1] {
			ms, err := strconv.ParseFloat(cell, 64)
			if err != nil {
				return nil, nil, fmt.Errorf("table of delays: row %s: %w", row[0], err)
			}
			table[i] = append(table[i], time.Duration(ms*float64(time.Millisecond)/2))
		}
	}
	return names, table, nil
}
