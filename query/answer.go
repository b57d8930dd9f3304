package query

import (
	"fmt"
	"time"
)

// The JSON of the answers. Field names and their meaning are public: they are only ever added to.

// TotalAnswer is the body of GET /v1/total, also when its status is 503 because the coverage fell short.
type TotalAnswer struct {
	Results []Result `json:"results"` // sorted by metric, kind and labels; with top by value, largest first
	// Periods is set if the question is about time.
	Periods  []PeriodAnswer `json:"periods,omitempty"`
	Warnings []string       `json:"warnings,omitempty"` // what the answer could not do as asked
	Coverage Coverage       `json:"coverage"`
	Error    string         `json:"error,omitempty"` // set if the coverage is less than was asked for
}

// Result is the total of one metric name and kind over one group of series.
type Result struct {
	Metric string            `json:"metric"`
	Kind   string            `json:"kind"`
	Labels map[string]string `json:"labels"` // those that by names; absent ones are left out
	Amount

	encoded []byte // Labels in JSON, where many results share them
}

// Amount is a value as JSON carries it. Which fields are set depends on the kind.
type Amount struct {
	// Value is the one number that stands for the total: the amount of a counter, added minus removed of an updown, the
	// newest setting of a gauge (or what agg picks), the count of a distribution (or what agg picks), the estimate of a
	// unique, the number of elements of a set, the sum over sources of observed.
	Value float64 `json:"value"`
	// ValueExact is Value as a decimal without rounding: counter, updown and observed.
	ValueExact string `json:"value_exact,omitempty"`

	*UpDown
	*Summary
	*Sketch

	Elements *[]string `json:"elements,omitempty"` // set: the first 1,000, sorted; Value counts all
	// RelativeError is the largest one of a quantile, or the standard error of a unique's estimate.
	RelativeError float64 `json:"relative_error,omitempty"`
}

// UpDown holds the two monotone parts of an updown.
type UpDown struct {
	Added        float64 `json:"added"`
	AddedExact   string  `json:"added_exact"`
	Removed      float64 `json:"removed"`
	RemovedExact string  `json:"removed_exact"`
}

// Summary holds the aggregates of gauges (over the live nodes) and of distributions (over the samples).
type Summary struct {
	Count    uint64   `json:"count"`
	Sum      float64  `json:"sum"`
	SumExact string   `json:"sum_exact,omitempty"` // distributions
	Min      *float64 `json:"min"`                 // null if nothing was counted; Max and Avg too
	Max      *float64 `json:"max"`
	Avg      *float64 `json:"avg"`
	// Expected is, for gauges, how many nodes of the regions were expected to set it.
	Expected *uint64 `json:"expected,omitempty"`
	// Newest is, for gauges, when the newest setting was made.
	Newest *Time `json:"newest,omitempty"`
}

// Sketch holds what is particular to distributions.
type Sketch struct {
	Quantiles map[string]float64 `json:"quantiles,omitempty"` // keyed as the caller wrote them
	// Scale is that of the buckets that quantiles were read from: 6 means a relative error of at most 0.55%. A smaller
	// one means that the samples spread too far for that, see RelativeError.
	Scale int `json:"scale"`
}

// Coverage says, region by region, how complete and how old an answer is (promise I13).
type Coverage struct {
	Regions  []RegionCoverage `json:"regions"`
	Complete bool             `json:"complete"` // every node of every region is heard and contained
	// Withheld says, at an edge that asked its hubs for some series only, which it has, and at one that no hub answers, that it
	// has its own windows only: what else exists is not in the answer. Empty where all that was asked for is there.
	Withheld string `json:"withheld,omitempty"`
}

// RegionCoverage is the coverage of one region.
type RegionCoverage struct {
	Region        string   `json:"region"`
	NodesExpected int      `json:"nodes_expected"` // ever seen, not forgotten or removed
	NodesHeard    int      `json:"nodes_heard"`
	CompleteUntil Time     `json:"complete_until"` // all that was written before is contained; null: unknown
	AgeMs         int64    `json:"age_ms"`         // of CompleteUntil, in milliseconds
	Missing       []string `json:"missing"`        // the first 20 names
	OldestMissing Time     `json:"oldest_missing"` // null: nothing is missing
	Lost          uint64   `json:"lost"`           // samples lost before they were counted
	// ClocksOff is how many heard nodes have a wall clock out of bounds: 0.5 s ahead of their hub's or 1.5 s behind.
	ClocksOff int           `json:"clocks_off"`
	Clocks    []ClockOffset `json:"clocks"` // the first 20 of them
	// Lacks says what of the answer stays in that region by rollup rules: metrics, or labels that were asked for.
	Lacks []string `json:"lacks,omitempty"`
}

// ClockOffset is by how much a node's wall clock is ahead of that of the hub that measured it.
type ClockOffset struct {
	Node     string  `json:"node"`
	OffsetMs float64 `json:"offset_ms"`
}

// ExplainAnswer is the body of GET /v1/explain.
type ExplainAnswer struct {
	Series   []Explained `json:"series"`
	Coverage Coverage    `json:"coverage"`
}

// Explained is one series and how each region's value was found.
type Explained struct {
	Metric  string            `json:"metric"`
	Kind    string            `json:"kind"`
	Labels  map[string]string `json:"labels"`
	Answers []ExplainedRegion `json:"answers"`
}

// ExplainedRegion is the value in one region, the rule that gave it and the cells that it was applied to.
type ExplainedRegion struct {
	Region string `json:"region"`
	Rule   string `json:"rule"`
	Amount
	Inputs []ExplainedInput `json:"inputs"`
}

// ExplainedInput is one cell.
type ExplainedInput struct {
	Origin  string `json:"origin"` // class/region/node/incarnation, the last one shortened
	Seq     uint64 `json:"seq"`
	Covered uint64 `json:"covered"`
	Note    string `json:"note,omitempty"`
	Amount
}

// Time is an instant that JSON writes as RFC 3339 with milliseconds in UTC, and as null if it is unknown.
type Time struct{ time.Time }

const timeLayout = "2006-01-02T15:04:05.000Z07:00"

// MarshalJSON writes "2026-01-02T03:04:05.678Z" or null.
func (t Time) MarshalJSON() ([]byte, error) {
	if t.IsZero() {
		return []byte("null"), nil
	}
	return []byte(`"` + t.UTC().Format(timeLayout) + `"`), nil
}

// UnmarshalJSON is the inverse of MarshalJSON.
func (t *Time) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*t = Time{}
		return nil
	}
	x, err := time.Parse(`"`+time.RFC3339Nano+`"`, string(b))
	if err != nil {
		return fmt.Errorf("query: %s is not a time: %w", b, err)
	}
	*t = Time{x}
	return nil
}

// timeOfMillis returns the instant ms milliseconds after the Unix epoch.
func timeOfMillis(ms int64) Time { return Time{time.UnixMilli(ms).UTC()} }
