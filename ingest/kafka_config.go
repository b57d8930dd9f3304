package ingest

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// KafkaRules say which topics hold events and how their brokers are reached.
type KafkaRules struct {
	Brokers []string `yaml:"brokers"` // host:port of some
	Topics  []string `yaml:"topics"`
	// Group shares partitions among the nodes that name it; default meshd.
	Group string `yaml:"group"`
	// Start is where a group begins that has read nothing: earliest, the default, or latest.
	Start string `yaml:"start"`
	// Session is how long a node may be silent before others get its partitions, default 45s. One that is back by then has
	// them still, and counts nothing twice.
	Session model.Duration `yaml:"session"`

	TLS *struct {
		CA   string `yaml:"ca"`   // PEM file; default the system's authorities
		Cert string `yaml:"cert"` // PEM files of this node's own, both or none
		Key  string `yaml:"key"`
	} `yaml:"tls"`
	SASL *struct {
		Mechanism    string `yaml:"mechanism"` // plain, scram-sha-256 or scram-sha-512
		Username     string `yaml:"username"`
		PasswordFile string `yaml:"password_file"`
	} `yaml:"sasl"`
}

// maxTopicBytes keeps the names of sources of tokens short, where a broker has no ids of topics.
const maxTopicBytes = 200

// LoadKafkaRules reads a YAML file. Unknown keys are refused.
func LoadKafkaRules(file string) (*KafkaRules, error) {
	r := new(KafkaRules)
	if err := readYAML("kafka rules", file, r); err != nil {
		return nil, err
	}
	if err := r.complete(); err != nil {
		return nil, fmt.Errorf("ingest: kafka rules: %s: %w", file, err)
	}
	return r, nil
}

func (r *KafkaRules) complete() error {
	r.Group = cmp.Or(r.Group, "meshd")
	r.Start = cmp.Or(r.Start, "earliest")
	r.Session = cmp.Or(r.Session, model.Duration(45*time.Second))
	switch {
	case len(r.Brokers) == 0 || len(r.Topics) == 0:
		return errors.New("want brokers and topics")
	case slices.ContainsFunc(r.Topics, func(t string) bool { return t == "" || len(t) > maxTopicBytes }):
		return fmt.Errorf("a topic has 1 to %d bytes", maxTopicBytes)
	case r.Start != "earliest" && r.Start != "latest":
		return fmt.Errorf("start is %.64q, want earliest or latest", r.Start)
	case r.Session < model.Duration(6*time.Second):
		return fmt.Errorf("session is %s, want 6s at least: brokers take no less", r.Session)
	case r.TLS != nil && (r.TLS.Cert == "") != (r.TLS.Key == ""):
		return errors.New("tls: give cert and key, or none")
	case r.SASL != nil && !slices.Contains([]string{"plain", "scram-sha-256", "scram-sha-512"}, r.SASL.Mechanism):
		return fmt.Errorf("sasl: mechanism is %.64q, want plain, scram-sha-256 or scram-sha-512", r.SASL.Mechanism)
	}
	return nil
}

// options are those of a client; files are read now.
func (r *KafkaRules) options(instance string) ([]kgo.Opt, error) {
	start := kgo.NewOffset().AtStart()
	if r.Start == "latest" {
		start = kgo.NewOffset().AtEnd()
	}
	opts := []kgo.Opt{
		kgo.SeedBrokers(r.Brokers...), kgo.ClientID("meshd"), kgo.ConsumerGroup(r.Group), kgo.ConsumeTopics(r.Topics...),
		kgo.ConsumeResetOffset(start), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(), kgo.InstanceID(instance),
		kgo.SessionTimeout(time.Duration(r.Session)), kgo.RebalanceTimeout(2 * kafkaPatience),
		kgo.FetchMaxBytes(maxBodyBytes), kgo.FetchMaxPartitionBytes(1 << 20), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
	}
	if r.TLS != nil {
		c, err := r.tls()
		if err != nil {
			return nil, fmt.Errorf("tls: %w", err)
		}
		opts = append(opts, kgo.DialTLSConfig(c))
	}
	if r.SASL != nil {
		b, err := os.ReadFile(r.SASL.PasswordFile)
		if err != nil {
			return nil, fmt.Errorf("sasl: %w", err)
		}
		user, password := r.SASL.Username, strings.TrimSpace(string(b))
		switch r.SASL.Mechanism {
		case "plain":
			opts = append(opts, kgo.SASL(plain.Auth{User: user, Pass: password}.AsMechanism()))
		case "scram-sha-256":
			opts = append(opts, kgo.SASL(scram.Auth{User: user, Pass: password}.AsSha256Mechanism()))
		default:
			opts = append(opts, kgo.SASL(scram.Auth{User: user, Pass: password}.AsSha512Mechanism()))
		}
	}
	return opts, nil
}

func (r *KafkaRules) tls() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if r.TLS.CA != "" {
		b, err := os.ReadFile(r.TLS.CA)
		if err != nil {
			return nil, err
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(b) {
			return nil, fmt.Errorf("%s holds no certificate", r.TLS.CA)
		}
	}
	if r.TLS.Cert != "" {
		pair, err := tls.LoadX509KeyPair(r.TLS.Cert, r.TLS.Key)
		if err != nil {
			return nil, err
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}
