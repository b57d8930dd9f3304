package replay

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// defaultKeep is how long an embedded log keeps what a snapshot has replaced: as long as hourly windows are kept, which are in
// no snapshot.
const defaultKeep = 366 * 24 * time.Hour

// embeddedReserve is the free space that an embedded log leaves on its disk: what the data directory keeps on its own, should they
// share it.
const embeddedReserve = 256 << 20

// Options are what a Location leaves open.
type Options struct {
	Mesh      string
	ReadOnly  bool                                             // open a log beside the process that writes it
	FreeSpace func(dir string) (free, total uint64, err error) // measures the disk of an embedded log; nil = no reserve
	Warn      func(error)                                      // is told what is wrong and no reason to refuse the log; nil = nobody is
}

// Location says where a log is, as people write it: see ParseLocation.
type Location struct {
	text     string
	embedded *EmbeddedConfig
	kafka    *KafkaConfig
	ca       string // files and names of the Kafka client
	user     string
	password string
	mech     string
}

// String returns the text that was parsed. It holds no secret: passwords are in files.
func (l *Location) String() string { return l.text }

// ParseLocation reads embedded:DIR or kafka:HOST:PORT,HOST:PORT/TOPIC. Behind a question mark may be settings, as in a URL:
// keep=30d how long the log keeps what it may delete; for Kafka also partitions=N and replicas=N of a topic that is created, tls=on
// or tls-ca=FILE, and user=NAME with password-file=FILE and mechanism=plain, scram-sha-256 (which is the default) or
// scram-sha-512.
func ParseLocation(text string) (*Location, error) {
	l := &Location{text: text}
	err := l.parse(text)
	if err != nil {
		return nil, fmt.Errorf("replay: log %q: %w", text, err)
	}
	return l, nil
}

func (l *Location) parse(text string) error {
	engine, rest, _ := strings.Cut(text, ":")
	where, raw, _ := strings.Cut(rest, "?")
	settings, err := url.ParseQuery(raw)
	if err != nil {
		return err
	}
	take := func(name string) string {
		v := settings.Get(name)
		settings.Del(name)
		return v
	}
	keep, err := parseKeep(take("keep"))
	if err != nil {
		return err
	}
	switch engine {
	case "embedded":
		if where == "" {
			return errors.New("want embedded:DIR")
		}
		if keep == 0 {
			keep = defaultKeep
		}
		l.embedded = &EmbeddedConfig{Dir: where, KeepFor: keep}
	case "kafka":
		brokers, topic, ok := strings.Cut(where, "/")
		if !ok || brokers == "" || topic == "" {
			return errors.New("want kafka:HOST:PORT,HOST:PORT/TOPIC")
		}
		l.kafka = &KafkaConfig{Brokers: strings.Split(brokers, ","), Topic: topic, KeepFor: keep}
		if err := l.parseKafka(take); err != nil {
			return err
		}
	default:
		return errors.New("want embedded:DIR or kafka:HOST:PORT,HOST:PORT/TOPIC")
	}
	for name := range settings {
		return fmt.Errorf("setting %q is unknown: there are keep, and for Kafka partitions, replicas, tls, tls-ca, user, password-file and mechanism", name)
	}
	return nil
}

func (l *Location) parseKafka(take func(string) string) error {
	for _, n := range []struct {
		name string
		to   *int
	}{{"partitions", &l.kafka.Partitions}, {"replicas", &l.kafka.Replicas}} {
		if v := take(n.name); v != "" {
			i, err := strconv.Atoi(v)
			if err != nil || i < 1 || i > 10_000 {
				return fmt.Errorf("%s=%s: want a number from 1 to 10000", n.name, v)
			}
			*n.to = i
		}
	}
	secure := take("tls")
	l.ca, l.user, l.password, l.mech = take("tls-ca"), take("user"), take("password-file"), take("mechanism")
	switch {
	case secure != "" && secure != "on":
		return fmt.Errorf("tls=%s: want on", secure)
	case (l.user == "") != (l.password == ""):
		return errors.New("user and password-file: give both or none")
	case l.mech != "" && l.user == "":
		return errors.New("mechanism: it needs user and password-file")
	}
	if secure == "on" || l.ca != "" {
		l.kafka.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	switch l.mech {
	case "", "plain", "scram-sha-256", "scram-sha-512":
		return nil
	}
	return fmt.Errorf("mechanism=%s: want plain, scram-sha-256 or scram-sha-512", l.mech)
}

// parseKeep reads a duration that may count days.
func parseKeep(v string) (time.Duration, error) {
	if v == "" {
		return 0, nil
	}
	if days, ok := strings.CutSuffix(v, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil && n > 0 {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	}
	if d, err := time.ParseDuration(v); err == nil && d > 0 {
		return d, nil
	}
	return 0, fmt.Errorf("keep=%s: want a time such as 30d or 12h", v)
}

// Open opens the log. The caller must Close it.
func (l *Location) Open(ctx context.Context, o Options) (Log, error) {
	if l.embedded != nil {
		cfg := *l.embedded
		cfg.Mesh, cfg.ReadOnly, cfg.Damaged = o.Mesh, o.ReadOnly, o.Warn
		if o.FreeSpace != nil {
			cfg.ReserveBytes, cfg.FreeSpace = embeddedReserve, o.FreeSpace
		}
		log, err := OpenEmbedded(cfg)
		if err != nil {
			return nil, err // and no Log that holds a nil pointer
		}
		return log, nil
	}
	cfg := *l.kafka
	cfg.Mesh, cfg.Warn = o.Mesh, o.Warn
	if err := l.credentials(&cfg); err != nil {
		return nil, fmt.Errorf("replay: log %q: %w", l.text, err)
	}
	log, err := OpenKafka(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return log, nil
}

// credentials reads the files that a Kafka client needs, at each opening: they may have changed.
func (l *Location) credentials(cfg *KafkaConfig) error {
	if l.ca != "" {
		pem, err := os.ReadFile(l.ca)
		if err != nil {
			return err
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return fmt.Errorf("%s holds no certificate in PEM", l.ca)
		}
		cfg.TLS = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}
	}
	if l.user == "" {
		return nil
	}
	raw, err := os.ReadFile(l.password)
	if err != nil {
		return err
	}
	secret := strings.TrimRight(string(raw), "\r\n")
	switch l.mech {
	case "plain":
		cfg.SASL = plain.Auth{User: l.user, Pass: secret}.AsMechanism()
	case "scram-sha-512":
		cfg.SASL = scram.Auth{User: l.user, Pass: secret}.AsSha512Mechanism()
	default:
		cfg.SASL = scram.Auth{User: l.user, Pass: secret}.AsSha256Mechanism()
	}
	return nil
}
