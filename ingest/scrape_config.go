package ingest

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
)

// ScrapeRules say what a node scrapes: the keys of a Prometheus configuration that are about scraping, with Prometheus'
// names and meanings, and three of our own.
type ScrapeRules struct {
	// Split says who scrapes a target of several nodes that have the same rules: "none", the default, each of them, which
	// counts as if one did; "hubs": the hubs of the region that are there share the targets, so all of them need the rules.
	Split string `yaml:"split"`
	// Nodes, if given, are the names of the hubs that share: the others of the region leave targets to them.
	Nodes []string `yaml:"nodes"`
	// Replicas is how many hubs scrape one target under "hubs", default 1.
	Replicas int `yaml:"replicas"`

	Global struct {
		ScrapeInterval model.Duration `yaml:"scrape_interval"` // default 1m, as Prometheus'
		ScrapeTimeout  model.Duration `yaml:"scrape_timeout"`  // default 10s
	} `yaml:"global"`
	ScrapeConfigs []*ScrapeJob `yaml:"scrape_configs"`
}

// ScrapeJob is a list of targets and how they are scraped.
type ScrapeJob struct {
	JobName         string         `yaml:"job_name"`
	ScrapeInterval  model.Duration `yaml:"scrape_interval"`
	ScrapeTimeout   model.Duration `yaml:"scrape_timeout"`
	MetricsPath     string         `yaml:"metrics_path"` // default /metrics
	Scheme          string         `yaml:"scheme"`       // default http
	Params          url.Values     `yaml:"params"`
	HonorLabels     bool           `yaml:"honor_labels"`
	HonorTimestamps *bool          `yaml:"honor_timestamps"` // default true

	// CountersBeginWithProcess takes the target's process_start_time_seconds for the start of its counters that have none
	// of their own, so that nothing is missed after a restart. Wrong for exporters that count what others do.
	CountersBeginWithProcess bool `yaml:"counters_begin_with_process"`
	// Classic keeps the buckets of classic histograms that are native ones too.
	Classic bool `yaml:"always_scrape_classic_histograms"`

	BodySizeLimit         string `yaml:"body_size_limit"` // default and at most 8 MiB, decompressed
	SampleLimit           int    `yaml:"sample_limit"`    // default and at most 99,995: one batch
	TargetLimit           int    `yaml:"target_limit"`
	LabelLimit            int    `yaml:"label_limit"`
	LabelNameLengthLimit  int    `yaml:"label_name_length_limit"`
	LabelValueLengthLimit int    `yaml:"label_value_length_limit"`

	RelabelConfigs       relabelRules `yaml:"relabel_configs"`
	MetricRelabelConfigs relabelRules `yaml:"metric_relabel_configs"`

	Static []targetGroup `yaml:"static_configs"`
	Files  []fileSD      `yaml:"file_sd_configs"`
	HTTP   []httpSD      `yaml:"http_sd_configs"`
	DNS    []dnsSD       `yaml:"dns_sd_configs"`

	Client config.HTTPClientConfig `yaml:",inline"`

	bodyBytes int
}

// targetGroup is a list of targets that share labels, as all ways of discovery give them.
type targetGroup struct {
	Targets []string          `yaml:"targets" json:"targets"`
	Labels  map[string]string `yaml:"labels" json:"labels"`
	source  string            // which group it is, for __meta_ labels and errors
}

const (
	splitNone = "none"
	splitHubs = "hubs"

	// maxScrapeJobs and maxScrapeTargets bound what one node does: a target that is scraped every 15 s and has 1,000 series
	// takes about 200 KB for their names, so that 10,000 are more than a node of any size should have.
	maxScrapeJobs    = 1_000
	maxScrapeTargets = 10_000
	// maxScrapeSamples leaves room for the series about the scrape itself in its batch.
	maxScrapeSamples = maxItems - ownScrapeSeries
	// minScrapeInterval keeps a misspelt unit from becoming an attack.
	minScrapeInterval = 100 * time.Millisecond
)

// LoadScrapeRules reads a YAML file. Unknown keys are refused: those of a Prometheus configuration that are not about
// scraping too.
func LoadScrapeRules(file string) (*ScrapeRules, error) {
	r := new(ScrapeRules)
	if err := readYAML("scrape rules", file, r); err != nil {
		return nil, err
	}
	if err := r.complete(); err != nil {
		return nil, fmt.Errorf("ingest: scrape rules: %s: %w", file, err)
	}
	return r, nil
}

// UnmarshalYAML fills in what Prometheus has for keys that are not given.
func (j *ScrapeJob) UnmarshalYAML(unmarshal func(any) error) error {
	type plain ScrapeJob
	p := plain{Client: config.DefaultHTTPClientConfig}
	if err := unmarshal(&p); err != nil {
		return err
	}
	*j = ScrapeJob(p)
	return nil
}

func (r *ScrapeRules) complete() error {
	r.Split = cmp.Or(r.Split, splitNone)
	r.Replicas = cmp.Or(r.Replicas, 1)
	switch {
	case r.Split != splitNone && r.Split != splitHubs:
		return fmt.Errorf("split is %q, want %s or %s", r.Split, splitNone, splitHubs)
	case r.Split == splitNone && (len(r.Nodes) > 0 || r.Replicas != 1):
		return errors.New("nodes and replicas are for split: hubs")
	case r.Replicas < 1:
		return fmt.Errorf("replicas is %d, want at least 1", r.Replicas)
	case len(r.ScrapeConfigs) > maxScrapeJobs:
		return fmt.Errorf("%d jobs, want at most %d", len(r.ScrapeConfigs), maxScrapeJobs)
	}
	r.Global.ScrapeInterval = cmp.Or(r.Global.ScrapeInterval, model.Duration(time.Minute))
	r.Global.ScrapeTimeout = cmp.Or(r.Global.ScrapeTimeout, model.Duration(10*time.Second))
	seen := make(map[string]bool)
	for i, j := range r.ScrapeConfigs {
		if j == nil || j.JobName == "" {
			return fmt.Errorf("job %d has no job_name", i+1)
		}
		if seen[j.JobName] {
			return fmt.Errorf("two jobs are called %q", j.JobName)
		}
		seen[j.JobName] = true
		if err := j.complete(r); err != nil {
			return fmt.Errorf("job %q: %w", j.JobName, err)
		}
	}
	return nil
}

func (j *ScrapeJob) complete(r *ScrapeRules) error {
	j.ScrapeInterval = cmp.Or(j.ScrapeInterval, r.Global.ScrapeInterval)
	j.ScrapeTimeout = cmp.Or(j.ScrapeTimeout, min(r.Global.ScrapeTimeout, j.ScrapeInterval))
	j.MetricsPath = cmp.Or(j.MetricsPath, "/metrics")
	j.Scheme = cmp.Or(j.Scheme, "http")
	if j.HonorTimestamps == nil {
		j.HonorTimestamps = new(bool)
		*j.HonorTimestamps = true
	}
	switch interval, timeout := time.Duration(j.ScrapeInterval), time.Duration(j.ScrapeTimeout); {
	case interval < minScrapeInterval:
		return fmt.Errorf("scrape_interval is %s, want at least %s", interval, minScrapeInterval)
	case timeout <= 0 || timeout > interval:
		return fmt.Errorf("scrape_timeout is %s, want at most the interval, %s", timeout, interval)
	case j.Scheme != "http" && j.Scheme != "https":
		return fmt.Errorf("scheme is %q, want http or https", j.Scheme)
	}
	if err := j.completeLimits(); err != nil {
		return err
	}
	if err := j.RelabelConfigs.check("relabel_configs"); err != nil {
		return err
	}
	if err := j.MetricRelabelConfigs.check("metric_relabel_configs"); err != nil {
		return err
	}
	for i := range j.HTTP {
		if err := j.HTTP[i].complete(); err != nil {
			return err
		}
	}
	for i := range j.Files {
		if err := j.Files[i].complete(); err != nil {
			return err
		}
	}
	for i := range j.DNS {
		if err := j.DNS[i].complete(); err != nil {
			return err
		}
	}
	return j.Client.Validate()
}

func (j *ScrapeJob) completeLimits() error {
	limits := []int{j.SampleLimit, j.TargetLimit, j.LabelLimit, j.LabelNameLengthLimit, j.LabelValueLengthLimit}
	if slices.Min(limits) < 0 {
		return errors.New("limits must not be negative")
	}
	if j.SampleLimit = cmp.Or(j.SampleLimit, maxScrapeSamples); j.SampleLimit > maxScrapeSamples {
		return fmt.Errorf("sample_limit is %d, want at most %d: split the target", j.SampleLimit, maxScrapeSamples)
	}
	if j.TargetLimit = cmp.Or(j.TargetLimit, maxScrapeTargets); j.TargetLimit > maxScrapeTargets {
		return fmt.Errorf("target_limit is %d, want at most %d", j.TargetLimit, maxScrapeTargets)
	}
	j.bodyBytes = maxBodyBytes
	if j.BodySizeLimit == "" {
		return nil
	}
	n, err := humanize.ParseBytes(j.BodySizeLimit)
	if err != nil || n == 0 || n > maxBodyBytes {
		return fmt.Errorf("body_size_limit is %q, want a size of at most 8MiB", j.BodySizeLimit)
	}
	j.bodyBytes = int(n)
	return nil
}
