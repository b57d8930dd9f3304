package ingest

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"meshd/internal/mutant"
)

// target is one endpoint that is scraped.
type target struct {
	job      *ScrapeJob
	url      string
	labels   labels.Labels // of its series: job, instance and what the rules made
	interval time.Duration
	timeout  time.Duration
	key      string // its identity: two that agree in it are one
}

// targetsOf returns the targets of a group, without those that the rules drop, and what is wrong with the others.
func (j *ScrapeJob) targetsOf(g *targetGroup) (targets []*target, bad []error) {
	for _, addr := range g.Targets {
		t, err := j.target(addr, g.Labels)
		switch {
		case err != nil:
			bad = append(bad, fmt.Errorf("target %.200q: %w", addr, err))
		case t != nil:
			targets = append(targets, t)
		}
	}
	return targets, bad
}

// target makes a target of an address, as Prometheus does: labels say how it is scraped, the rules may change all of
// them. nil: the rules drop it.
func (j *ScrapeJob) target(addr string, group map[string]string) (*target, error) {
	b := labels.NewBuilder(labels.EmptyLabels())
	for _, l := range [][2]string{
		{model.JobLabel, j.JobName},
		{model.ScrapeIntervalLabel, j.ScrapeInterval.String()},
		{model.ScrapeTimeoutLabel, j.ScrapeTimeout.String()},
		{model.MetricsPathLabel, j.MetricsPath},
		{model.SchemeLabel, j.Scheme},
	} {
		b.Set(l[0], l[1])
	}
	for name, values := range j.Params {
		if len(values) > 0 {
			b.Set(model.ParamLabelPrefix+name, values[0])
		}
	}
	for name, value := range group {
		b.Set(name, value)
	}
	b.Set(model.AddressLabel, addr)
	if !j.RelabelConfigs.apply(b) {
		return nil, nil
	}
	return j.finish(b)
}

// finish makes a target of the labels that the rules left.
func (j *ScrapeJob) finish(b *labels.Builder) (*target, error) {
	t := &target{job: j}
	var err error
	addr := b.Get(model.AddressLabel)
	switch {
	case addr == "":
		return nil, errors.New("no address")
	case strings.ContainsAny(addr, "/ ?#@"):
		return nil, fmt.Errorf("%.200q is not host:port", addr)
	}
	if t.interval, err = positive(b, model.ScrapeIntervalLabel); err != nil {
		return nil, err
	}
	if t.timeout, err = positive(b, model.ScrapeTimeoutLabel); err != nil {
		return nil, err
	}
	if t.interval < minScrapeInterval || t.timeout > t.interval {
		return nil, fmt.Errorf("interval %s, timeout %s: want %s at least, and no longer a timeout than the interval", t.interval, t.timeout, minScrapeInterval)
	}
	query := maps.Clone(j.Params)
	if query == nil {
		query = url.Values{}
	}
	ls := b.Labels()
	ls.Range(func(l labels.Label) {
		if name, ok := strings.CutPrefix(l.Name, model.ParamLabelPrefix); ok {
			query[name] = append([]string{l.Value}, query[name][min(1, len(query[name])):]...)
		}
		if strings.HasPrefix(l.Name, model.ReservedLabelPrefix) {
			b.Del(l.Name)
		}
		if !model.LabelValue(l.Value).IsValid() || !model.UTF8Validation.IsValidLabelName(l.Name) {
			err = fmt.Errorf("label %.64q is not UTF-8", l.Name)
		}
	})
	if err != nil {
		return nil, err
	}
	b.Set(model.InstanceLabel, cmp.Or(b.Get(model.InstanceLabel), addr))
	scheme := ls.Get(model.SchemeLabel)
	if scheme != "http" && scheme != "https" {
		return nil, fmt.Errorf("scheme is %.64q, want http or https", scheme)
	}
	path, more, _ := strings.Cut(ls.Get(model.MetricsPathLabel), "?")
	u := url.URL{Scheme: scheme, Host: addr, Path: path, RawQuery: query.Encode()}
	if more != "" {
		u.RawQuery = strings.Trim(more+"&"+u.RawQuery, "&")
	}
	t.url, t.labels = u.String(), b.Labels()
	t.key = t.url + "\xff" + t.labels.String()
	return t, nil
}

func positive(b *labels.Builder, name string) (time.Duration, error) {
	d, err := model.ParseDuration(b.Get(name))
	if err == nil && d <= 0 {
		err = errors.New("want more than 0")
	}
	if err != nil {
		return 0, fmt.Errorf("label %s is %.64q: %w", name, b.Get(name), err)
	}
	return time.Duration(d), nil
}

// offset is when in each interval the target is scraped: spread, and the same on every node and after every restart.
func (t *target) offset() time.Duration {
	return time.Duration(xxhash.Sum64String(t.key) % uint64(t.interval))
}

// wait returns how long it is from now to the target's next turn.
func (t *target) wait(now time.Time) time.Duration {
	into := time.Duration(uint64(now.UnixNano())%uint64(t.interval)) - t.offset()
	if into < 0 {
		into += t.interval
	}
	return t.interval - into
}

// ownersOf returns the n nodes that scrape what key names, by rendezvous hashing: when a node comes or goes, only
// targets that it gets, or had, move. nodes are names, in any order.
func ownersOf(key string, nodes []string, n int) []string {
	weight := func(node string) uint64 {
		h := xxhash.New()
		_, _ = h.Write(binary.AppendUvarint(nil, uint64(len(node))))
		_, _ = h.WriteString(node)
		_, _ = h.WriteString(key)
		return h.Sum64()
	}
	if mutant.On("targets shared by remainder") {
		sorted := slices.Sorted(slices.Values(nodes))
		first := int(xxhash.Sum64String(key) % uint64(len(sorted)))
		return append(sorted[first:], sorted[:first]...)[:min(n, len(sorted))]
	}
	sorted := slices.Clone(nodes)
	slices.SortFunc(sorted, func(a, b string) int {
		return cmp.Or(cmp.Compare(weight(b), weight(a)), cmp.Compare(a, b))
	})
	return sorted[:min(n, len(sorted))]
}
