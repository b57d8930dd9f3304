package ingest

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"gopkg.in/yaml.v3"
)

// discoverer is one way to learn of targets. find is asked again every pause; on an error what it said last holds.
type discoverer interface {
	find(ctx context.Context) ([]targetGroup, error)
	pause() time.Duration
}

// discoveries returns the ways of a job that change.
func (j *ScrapeJob) discoveries(resolver *net.Resolver) ([]discoverer, error) {
	var all []discoverer
	for i := range j.Files {
		all = append(all, &j.Files[i])
	}
	for i := range j.HTTP {
		h := &j.HTTP[i]
		client, err := config.NewClientFromConfig(h.Client, j.JobName)
		if err != nil {
			return nil, err
		}
		h.client = client
		all = append(all, h)
	}
	for i := range j.DNS {
		j.DNS[i].resolver = resolver
		all = append(all, &j.DNS[i])
	}
	return all, nil
}

// fileSD finds targets in files: JSON or YAML lists of groups.
type fileSD struct {
	Files           []string       `yaml:"files"`            // paths; * in the last part
	RefreshInterval model.Duration `yaml:"refresh_interval"` // default 5s
}

func (f *fileSD) complete() error {
	f.RefreshInterval = cmp.Or(f.RefreshInterval, model.Duration(5*time.Second))
	if len(f.Files) == 0 || f.RefreshInterval <= 0 {
		return errors.New("file_sd_configs: want files, and a refresh_interval above 0")
	}
	for _, p := range f.Files {
		if _, err := filepath.Match(p, ""); err != nil {
			return fmt.Errorf("file_sd_configs: %q is no pattern of paths", p)
		}
		if ext := filepath.Ext(p); ext != ".json" && ext != ".yml" && ext != ".yaml" {
			return fmt.Errorf("file_sd_configs: %q: want a name that ends in .json, .yml or .yaml", p)
		}
	}
	return nil
}

func (f *fileSD) pause() time.Duration { return time.Duration(f.RefreshInterval) }

func (f *fileSD) find(context.Context) ([]targetGroup, error) {
	var all []targetGroup
	for _, pattern := range f.Files {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			groups, err := readGroups(path)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			for i := range groups {
				groups[i].source = "file " + path
				groups[i].Labels = withLabel(groups[i].Labels, "__meta_filepath", path)
			}
			all = append(all, groups...)
		}
	}
	return all, nil
}

func readGroups(path string) ([]targetGroup, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := readAtMost(f, maxBodyBytes)
	if err != nil {
		return nil, err
	}
	return parseGroups(b, filepath.Ext(path) == ".json")
}

// parseGroups reads a list of groups.
func parseGroups(b []byte, isJSON bool) (groups []targetGroup, err error) {
	if isJSON {
		err = json.Unmarshal(b, &groups)
	} else {
		err = yaml.Unmarshal(b, &groups)
	}
	if err != nil {
		return nil, fmt.Errorf("not a list of {targets, labels}: %w", err)
	}
	return groups, nil
}

// readAtMost reads all of src; errTooLong beyond limit bytes.
func readAtMost(src io.Reader, limit int) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(src, int64(limit)+1))
	if err == nil && len(b) > limit {
		err = errTooLong
	}
	return b, err
}

// httpSD asks an endpoint for targets.
type httpSD struct {
	URL             string                  `yaml:"url"`
	RefreshInterval model.Duration          `yaml:"refresh_interval"` // default 1m
	Client          config.HTTPClientConfig `yaml:",inline"`

	client *http.Client
}

// UnmarshalYAML fills in what Prometheus has for keys that are not given.
func (h *httpSD) UnmarshalYAML(unmarshal func(any) error) error {
	type plain httpSD
	p := plain{Client: config.DefaultHTTPClientConfig}
	if err := unmarshal(&p); err != nil {
		return err
	}
	*h = httpSD(p)
	return nil
}

func (h *httpSD) complete() error {
	h.RefreshInterval = cmp.Or(h.RefreshInterval, model.Duration(time.Minute))
	if (!strings.HasPrefix(h.URL, "http://") && !strings.HasPrefix(h.URL, "https://")) || h.RefreshInterval <= 0 {
		return fmt.Errorf("http_sd_configs: want a URL of http or https, not %q, and a refresh_interval above 0", h.URL)
	}
	return h.Client.Validate()
}

func (h *httpSD) pause() time.Duration { return time.Duration(h.RefreshInterval) }

func (h *httpSD) find(ctx context.Context) ([]targetGroup, error) {
	ctx, cancel := context.WithTimeout(ctx, h.pause())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, h.URL, http.NoBody)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", typeJSON)
	r.Header.Set("X-Prometheus-Refresh-Interval-Seconds", strconv.FormatFloat(h.pause().Seconds(), 'f', -1, 64))
	resp, err := h.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %s", h.URL, resp.Status)
	}
	b, err := readAtMost(resp.Body, maxBodyBytes)
	if err != nil {
		return nil, err
	}
	groups, err := parseGroups(b, true)
	for i := range groups {
		groups[i].source = h.URL
		groups[i].Labels = withLabel(groups[i].Labels, "__meta_url", h.URL)
	}
	return groups, err
}

// dnsSD looks names up.
type dnsSD struct {
	Names           []string       `yaml:"names"`
	Type            string         `yaml:"type"` // SRV, A or AAAA; default SRV
	Port            int            `yaml:"port"` // of A and AAAA
	RefreshInterval model.Duration `yaml:"refresh_interval"`

	resolver *net.Resolver
}

func (d *dnsSD) complete() error {
	d.RefreshInterval = cmp.Or(d.RefreshInterval, model.Duration(30*time.Second))
	d.Type = strings.ToUpper(cmp.Or(d.Type, "SRV"))
	switch {
	case len(d.Names) == 0 || d.RefreshInterval <= 0:
		return errors.New("dns_sd_configs: want names, and a refresh_interval above 0")
	case !slices.Contains([]string{"SRV", "A", "AAAA"}, d.Type):
		return fmt.Errorf("dns_sd_configs: type is %q, want SRV, A or AAAA", d.Type)
	case d.Type != "SRV" && (d.Port < 1 || d.Port > 65535):
		return fmt.Errorf("dns_sd_configs: type %s needs a port", d.Type)
	}
	return nil
}

func (d *dnsSD) pause() time.Duration { return time.Duration(d.RefreshInterval) }

func (d *dnsSD) find(ctx context.Context) ([]targetGroup, error) {
	ctx, cancel := context.WithTimeout(ctx, d.pause())
	defer cancel()
	var all []targetGroup
	for _, name := range d.Names {
		g := targetGroup{source: "dns " + name, Labels: map[string]string{"__meta_dns_name": name}}
		var err error
		if g.Targets, err = d.look(ctx, name); err != nil {
			return nil, err
		}
		slices.Sort(g.Targets)
		all = append(all, g)
	}
	return all, nil
}

// look returns the targets of a name. A name that does not exist has none.
func (d *dnsSD) look(ctx context.Context, name string) (targets []string, err error) {
	if d.Type == "SRV" {
		var records []*net.SRV
		_, records, err = d.resolver.LookupSRV(ctx, "", "", name)
		for _, r := range records {
			targets = append(targets, net.JoinHostPort(strings.TrimSuffix(r.Target, "."), strconv.Itoa(int(r.Port))))
		}
	} else {
		network := map[string]string{"A": "ip4", "AAAA": "ip6"}[d.Type]
		var addrs []net.IP
		addrs, err = d.resolver.LookupIP(ctx, network, name)
		for _, ip := range addrs {
			targets = append(targets, net.JoinHostPort(ip.String(), strconv.Itoa(d.Port)))
		}
	}
	none := new(net.DNSError)
	if errors.As(err, &none) && none.IsNotFound {
		return nil, nil
	}
	return targets, err
}

// withLabel returns m with one more label. It changes m.
func withLabel(m map[string]string, name, value string) map[string]string {
	if m == nil {
		m = make(map[string]string)
	}
	m[name] = value
	return m
}
