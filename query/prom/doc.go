// Package prom answers PromQL over the history of the mesh: the Prometheus engine, unmodified, over a storage that is a
// history.Source, and the HTTP API of Prometheus in the shapes that Grafana, promtool and client libraries expect.
//
// What a series of each kind looks like to the engine:
//
//   - counter: a cumulative step function that rises at the end of each window. rate and increase are exact: a storage is
//     told which ranges will be evaluated, so it gives samples at both edges of each instead of samples somewhere within
//     (schedule.go). Without a range, it is the lifetime total as of each moment, and never goes stale.
//   - distribution: the same as a native histogram of schema 6.
//   - updown: a gauge of what was added minus what was removed, as of each moment.
//   - gauge: the newest sample of each window; its least, greatest and mean for min_, max_ and avg_over_time.
//   - observed, histogram: the snapshots of the source at their own times. Runs of a source and several sources are added.
//   - unique: how many distinct values a window saw; last_over_time of a range is how many the whole range saw.
//   - set: none. /v1/total answers for sets.
//
// Labels are those of the series with region and, where the query names it, node. Names keep their dots.
//
// It owns nothing of the mesh and starts no goroutine. It promises that no answer is silently cut short: what is beyond a
// limit is an error, what is missing of a region is a warning.
package prom
