package replaytest

import (
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// Broker is a real Apache Kafka broker, a process of its own that is its own controller. It ends with the test at the latest.
type Broker struct {
	dir  string
	libs string
	Addr string // where clients find it, also after a restart
	cmd  *exec.Cmd
}

// NewBroker prepares a broker from what tools/kafka/fetch.sh fetched into root/build, and skips the test where there is nothing.
func NewBroker(t *testing.T, root string) *Broker {
	t.Helper()
	return prepare(t, root, setup{})
}

// setup is what a broker has that not all have.
type setup struct {
	listener string   // behind the others', from its comma on
	settings string   // lines of server.properties
	format   []string // arguments of the tool that formats its disk
}

func prepare(t *testing.T, root string, more setup) *Broker {
	t.Helper()
	lib, err := filepath.Abs(filepath.Join(root, "build/kafka"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(lib, "complete")); err != nil {
		if os.Getenv("REQUIRE_KAFKA") != "" { // no variable of meshd: those begin with MESHD_
			t.Fatal("no broker, and one is required: tools/kafka/fetch.sh fetches it with Java 17 and Maven")
		}
		t.Skip("no broker: run tools/kafka/fetch.sh, which needs Java 17 and Maven")
	}
	b := &Broker{dir: t.TempDir(), libs: filepath.Join(lib, "*"), Addr: freeAddr(t)}
	controller := freeAddr(t)
	// The controller takes a broker back that was killed once the session of its last life is over: 9 s by default.
	if err := os.WriteFile(b.file("server.properties"), fmt.Appendf(nil, `process.roles=broker,controller
node.id=1
controller.quorum.voters=1@%[2]s
listeners=PLAINTEXT://%[1]s,CONTROLLER://%[2]s%[4]s
advertised.listeners=PLAINTEXT://%[1]s%[4]s
controller.listener.names=CONTROLLER
log.dirs=%[3]s
offsets.topic.replication.factor=1
auto.create.topics.enable=false
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
%[5]s`, b.Addr, controller, b.file("data"), more.listener, more.settings), 0o600); err != nil {
		t.Fatal(err)
	}
	id := base64.RawURLEncoding.EncodeToString([]byte("a mesh of tests!"))
	format := append([]string{"-cp", b.libs, "kafka.tools.StorageTool", "format", "-t", id, "-c", b.file("server.properties")}, more.format...)
	if out, err := exec.Command("java", format...).CombinedOutput(); err != nil {
		t.Fatalf("format the broker's disk: %v\n%s", err, out)
	}
	t.Cleanup(b.Kill)
	return b
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (b *Broker) file(name string) string { return filepath.Join(b.dir, name) }

// Start starts the broker and waits until it takes connections.
func (b *Broker) Start(t *testing.T) {
	t.Helper()
	out, err := os.Create(b.file("broker.out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	b.cmd = exec.Command("java", "-Xmx512m", "-cp", b.libs, "kafka.Kafka", b.file("server.properties"))
	b.cmd.Stdout, b.cmd.Stderr = out, out
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	for {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", b.Addr)
		if err == nil {
			_ = conn.Close()
			return
		}
		if ctx.Err() != nil {
			text, _ := os.ReadFile(b.file("broker.out"))
			t.Fatalf("the broker did not start: %v\n%s", err, text)
		}
		time.Sleep(100 * time.Millisecond) // between attempts to reach another process
	}
}

// Kill ends the broker as a crash does.
func (b *Broker) Kill() {
	if b.cmd != nil {
		_ = b.cmd.Process.Kill()
		_ = b.cmd.Wait()
		b.cmd = nil
	}
}
