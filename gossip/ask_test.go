package gossip

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// answerer says what Config.Asked does in these tests.
type answerer struct {
	running, ended atomic.Int64
}

// asked answers "echo X" with X, "lots" with messages until nobody wants them, and "hang" never.
func (a *answerer) asked(ctx context.Context, peer Peer, question []byte, answer func([]byte) error) error {
	a.running.Add(1)
	defer func() {
		a.running.Add(-1)
		a.ended.Add(1)
	}()
	text := string(question)
	switch {
	case strings.HasPrefix(text, "echo "):
		if err := answer([]byte(text[5:])); err != nil {
			return err
		}
		return answer([]byte("to " + peer.Node))
	case text == "lots":
		for ctx.Err() == nil {
			if err := answer(make([]byte, 64<<10)); err != nil {
				break
			}
		}
	case text == "hang":
		<-ctx.Done()
	}
	return errors.New("broken off")
}

func TestAsk(t *testing.T) {
	for _, from := range []string{"edge", "hub"} {
		t.Run("from the "+from, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var asked answerer
				m, h, e := pair(t, func(c *Config) { c.Asked = asked.asked })
				defer m.stop()
				a, b := e, h
				if from == "hub" {
					a, b = h, e
				}
				for range 2 * maxStreams { // streams that stayed open would be too many
					var got []string
					if err := a.Ask(t.Context(), a.id(b.cfg.Node), []byte("echo hello"), func(msg []byte) error {
						got = append(got, string(msg))
						return nil
					}); err != nil || strings.Join(got, ",") != "hello,to "+a.cfg.Node {
						t.Fatalf("%q, %v", got, err)
					}
				}
				if n := a.sessionByID(a.id(b.cfg.Node)); !n.has(n.bulkConn) || n.bulkConn == nil {
					t.Error("no bulk connection was made")
				}
			})
		})
	}
}

// An answer that nobody reads any more stops where it is made, whether it is being written or not yet begun.
func TestAQuestionThatIsGivenUpStopsTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked answerer
		m, h, e := pair(t, func(c *Config) { c.Asked = asked.asked })
		defer m.stop()
		for i, question := range []string{"lots", "hang"} {
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() {
				done <- e.Ask(ctx, e.id("eu-h1"), []byte(question), func([]byte) error { return nil })
			}()
			m.until("asked", time.Second, func() bool { return asked.running.Load() == 1 })
			time.Sleep(100 * time.Millisecond)
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", question, err)
			}
			m.until("the hub stops", time.Second, func() bool { return asked.ended.Load() == int64(i+1) })
		}
		stop := errors.New("enough")
		if err := e.Ask(t.Context(), e.id("eu-h1"), []byte("lots"), func([]byte) error { return stop }); !errors.Is(err, stop) {
			t.Errorf("%v, want the reader's own error", err)
		}
		m.until("the hub stops", time.Second, func() bool { return asked.running.Load() == 0 })
		if len(h.ended())+len(e.ended()) > 0 {
			t.Errorf("sessions ended: %v %v", h.ended(), e.ended())
		}
	})
}

// An answer that is not read is slowed down, in the way of nobody, and ends in time.
func TestAnAnswerThatIsNotReadIsInNobodysWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked answerer
		m, h, e := pair(t, func(c *Config) { c.Asked = asked.asked })
		defer m.stop()
		read := make(chan struct{})
		done := make(chan error, 1)
		go func() {
			done <- e.Ask(t.Context(), e.id("eu-h1"), []byte("lots"), func([]byte) error { <-read; return nil })
		}()
		m.until("asked", time.Second, func() bool { return asked.running.Load() == 1 })
		time.Sleep(time.Second)
		h.Send(h.id("eu-e1"), false, []byte("passes by"))
		h.Send(h.id("eu-e1"), true, bytes.Repeat([]byte("b"), 90))
		m.until("messages", time.Second, func() bool {
			return e.received("eu-h1", "passes by") && e.received("eu-h1", strings.Repeat("b", 90))
		})
		time.Sleep(AnswerWithin)
		m.until("the hub stops", time.Second, func() bool { return asked.running.Load() == 0 })
		close(read)
		if err := <-done; err == nil {
			t.Error("what was broken off looks whole")
		}
	})
}

func TestQuestionsThatAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _, e := pair(t, func(*Config) {})
		defer m.stop()
		take := func([]byte) error { return nil }
		if err := e.Ask(t.Context(), 99, nil, take); !errors.Is(err, ErrNoSession) {
			t.Errorf("without a session: %v", err)
		}
		err := e.Ask(t.Context(), e.id("eu-h1"), []byte("echo"), take)
		if _, refusal := errors.AsType[*refusedError](err); !refusal {
			t.Errorf("of who answers nobody: %v", err)
		}
		// On a connection of its own, without a session.
		conn, gr, err := e.connect(t.Context(), m.nodes["eu-h1"].addr, kindAsk, linkConfig())
		if no, refusal := errors.AsType[*refusedError](err); !refusal || no.code != refuseNoSession {
			t.Errorf("without a session: %v, %v, %v", conn, gr, err)
		}
	})
}
