package replaytest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"testing"
	"time"
)

// Access is the way into a broker through its listener that wants TLS and a password.
type Access struct {
	Addr     string
	CA       string // a file: whom clients trust
	User     string
	Password string // a file
}

// NewSecureBroker prepares a broker as NewBroker does, which takes clients with TLS and with SASL only at a second listener: by PLAIN and
// by both kinds of SCRAM.
func NewSecureBroker(t *testing.T, root string) (*Broker, Access) {
	t.Helper()
	const user, password = "meshd", "no secret: a test has it"
	secure := freeAddr(t)
	dir := t.TempDir()
	access := Access{Addr: secure, CA: dir + "/ca.pem", User: user, Password: dir + "/password"}
	store := dir + "/broker.pem"
	cert, key := selfSigned(t)
	for name, content := range map[string][]byte{access.CA: cert, store: append(key, cert...), access.Password: []byte(password + "\n")} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const modules = "org.apache.kafka.common.security."
	b := prepare(t, root, setup{
		listener: ",SASL_SSL://" + secure,
		settings: fmt.Sprintf(`listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL
ssl.keystore.type=PEM
ssl.keystore.location=%[1]s
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.sasl_ssl.plain.sasl.jaas.config=%[2]splain.PlainLoginModule required user_%[3]s="%[4]s";
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config=%[2]sscram.ScramLoginModule required;
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=%[2]sscram.ScramLoginModule required;
`, store, modules, user, password),
		format: []string{
			"--add-scram", "SCRAM-SHA-256=[name=" + user + `,password="` + password + `"]`,
			"--add-scram", "SCRAM-SHA-512=[name=" + user + `,password="` + password + `"]`,
		},
	})
	return b, access
}

// selfSigned makes the certificate of a broker on this machine, and its key, both in PEM.
func selfSigned(t *testing.T) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "broker"}, // Java refuses one without a name
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}
