//go:build slow && linux

package replay_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"meshd/replay"
	"meshd/replay/replaytest"
)

// broker is a real Kafka broker, which is its own controller.
type broker struct {
	dir  string
	libs string
	addr string
	cmd  *exec.Cmd
}

// newBroker prepares a broker from what tools/kafka/fetch.sh fetched.
func newBroker(t *testing.T) *broker {
	t.Helper()
	lib, err := filepath.Abs("../build/kafka")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(lib, "complete")); err != nil {
		t.Skip("no broker: run tools/kafka/fetch.sh, which needs Java 17 and Maven")
	}
	b := &broker{dir: t.TempDir(), libs: filepath.Join(lib, "*"), addr: freeAddr(t)}
	controller := freeAddr(t)
	if err := os.WriteFile(b.file("server.properties"), fmt.Appendf(nil, `process.roles=broker,controller
node.id=1
controller.quorum.voters=1@%[2]s
listeners=PLAINTEXT://%[1]s,CONTROLLER://%[2]s
advertised.listeners=PLAINTEXT://%[1]s
controller.listener.names=CONTROLLER
log.dirs=%[3]s
offsets.topic.replication.factor=1
`, b.addr, controller, b.file("data")), 0o600); err != nil {
		t.Fatal(err)
	}
	id := base64.RawURLEncoding.EncodeToString([]byte("a mesh of tests!"))
	if out, err := exec.Command("java", "-cp", b.libs, "kafka.tools.StorageTool", "format", "-t", id, "-c", b.file("server.properties")).CombinedOutput(); err != nil {
		t.Fatalf("format the broker's disk: %v\n%s", err, out)
	}
	t.Cleanup(b.kill)
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

func (b *broker) file(name string) string { return filepath.Join(b.dir, name) }

// start starts the broker and waits until it takes connections.
func (b *broker) start(t *testing.T) {
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
		conn, err := d.DialContext(ctx, "tcp", b.addr)
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

// kill ends the broker as a crash does.
func (b *broker) kill() {
	if b.cmd != nil {
		_ = b.cmd.Process.Kill()
		_ = b.cmd.Wait()
		b.cmd = nil
	}
}

func TestRealKafkaConforms(t *testing.T) {
	b := newBroker(t)
	b.start(t)
	c := &clock{time.Now().Add(-time.Hour).Truncate(time.Second)}
	n := 0
	topics := map[string]string{}
	replaytest.Run(t, replaytest.Engine{
		Open: func(t *testing.T) replay.Log {
			if topics[t.Name()] == "" {
				n++
				topics[t.Name()] = fmt.Sprint("conform-", n)
			}
			return openKafka(t, replay.KafkaConfig{Brokers: []string{b.addr}, Topic: topics[t.Name()], Mesh: "m", Partitions: 3, Replicas: 1, Now: c.time})
		},
		Advance: c.advance,
	})
}

// A writer that keeps trying loses nothing when the broker is killed again and again.
func TestRealKafkaKilledWhileAppending(t *testing.T) {
	b := newBroker(t)
	b.start(t)
	k := openKafka(t, replay.KafkaConfig{Brokers: []string{b.addr}, Topic: "t", Mesh: "m", Partitions: 2, Replicas: 1})
	acked := make(chan int)
	go func() {
		defer close(acked)
		for n := range 60 {
			for {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				_, err := k.Append(ctx, []replay.Record{frame(n)})
				cancel()
				if err == nil || errors.Is(err, replay.ErrClosed) {
					break
				}
			}
			acked <- n
		}
	}()
	for n := range acked {
		if n%20 == 10 {
			b.kill()
			b.start(t)
		}
	}
	got, err := read(t, k, nil)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 60 {
		if !slices.Contains(got, n) {
			t.Errorf("record %d was acknowledged and is missing", n)
		}
	}
}
