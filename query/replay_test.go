package query

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	"meshd/crdt"
	"meshd/internal/wire"
	"meshd/node"
)

// joiner counts what it is given, and waits or refuses when it is told to.
type joiner struct {
	frames  int
	err     error
	entered chan struct{} // nil: it does not wait
	leave   chan struct{}
}

func (j *joiner) Replay(_ context.Context, msgs []node.Decoded) node.Result {
	if j.entered != nil {
		j.entered <- struct{}{}
		<-j.leave
	}
	if j.err != nil {
		return node.Result{Err: j.err}
	}
	j.frames += len(msgs)
	return node.Result{Accepted: len(msgs), Ahead: 1}
}

// parts is n messages, each a frame with labels that take some space.
func parts(t *testing.T, n int) (msgs []node.Decoded) {
	t.Helper()
	for i := range n {
		f := &wire.Frame{Origin: crdt.Origin{Class: crdt.ClassNode, Region: "eu", Node: "n", Inc: crdt.Incarnation{1}}, To: 1, Head: 1}
		for ref := range uint32(2000) {
			f.Defs = append(f.Defs, wire.Def{Ref: ref, Seq: 1, Series: crdt.Series{Name: fmt.Sprintf("m%d.%x", i, uint64(ref+1)*0x9e3779b97f4a7c15), Kind: crdt.KindCounter}})
		}
		raw, err := wire.AppendFrame(nil, f)
		if err != nil {
			t.Fatal(err)
		}
		msgs = append(msgs, node.Decoded{Msg: &wire.FrameMsg{Raw: raw}, Frame: f})
	}
	return msgs
}

// TestAHubIsFedWithALog: parts go in several requests if they are large, and each refusal says whether to come again.
func TestAHubIsFedWithALog(t *testing.T) {
	j := &joiner{}
	tokens := filepath.Join(t.TempDir(), "tokens")
	writeTokens(t, tokens, "admin a\nread,write rw\n")
	s, err := New(Config{Source: &fakeSource{}, Registry: prometheus.NewRegistry(), Replayer: j, TokenFile: tokens})
	if err != nil {
		t.Fatal(err)
	}
	ts := httptest.NewServer(s)
	defer ts.Close()
	client := func(token string) *Client {
		c, err := NewClient(ts.URL, token)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	msgs := parts(t, 100)
	c := client("a")
	if res := c.Replay(t.Context(), msgs); res.Err != nil || res.Accepted != 100 || j.frames != 100 || res.Ahead < 2 {
		t.Errorf("%+v, and %d frames came: want 100 in some requests", res, j.frames)
	}
	var status *StatusError
	if res := client("rw").Replay(t.Context(), msgs[:1]); !errors.As(res.Err, &status) || status.Code != http.StatusForbidden {
		t.Errorf("without the role: %v", res.Err)
	}
	for _, row := range []struct {
		err  error
		code int
		busy bool
	}{{node.ErrBusy, 503, true}, {node.ErrClosed, 503, true}, {node.ErrReplay, 409, false}} {
		j.err = row.err
		res := c.Replay(t.Context(), msgs[:1])
		if !errors.As(res.Err, &status) || status.Code != row.code || errors.Is(res.Err, node.ErrBusy) != row.busy {
			t.Errorf("%v becomes %v", row.err, res.Err)
		}
	}
	for body, says := range map[string]string{"\x05ab": "cut short", "\x01\xff": "message 0"} {
		err := c.send(t.Context(), http.MethodPost, "/v1/replay", []byte(body), &ReplayAnswer{})
		if !errors.As(err, &status) || status.Code != http.StatusBadRequest || !strings.Contains(status.Text, says) {
			t.Errorf("%q: %v", body, err)
		}
	}
}

// TestOnePartOfALogAtATime: a second sender waits, and so does the first one's next part when it does not wait for the answer.
func TestOnePartOfALogAtATime(t *testing.T) {
	j := &joiner{entered: make(chan struct{}), leave: make(chan struct{})}
	s, err := New(Config{Source: &fakeSource{}, Registry: prometheus.NewRegistry(), Replayer: j})
	if err != nil {
		t.Fatal(err)
	}
	msgs := parts(t, 1)
	raw, err := msgs[0].Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	body := string(append([]byte{byte(len(raw))&0x7f | 0x80, byte(len(raw)>>7)&0x7f | 0x80, byte(len(raw) >> 14)}, raw...))
	post := func(ctx context.Context) int {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodPost, "/v1/replay", strings.NewReader(body)))
		return w.Code
	}
	ctx, gone := context.WithCancel(t.Context())
	first := make(chan int)
	go func() { first <- post(ctx) }()
	<-j.entered
	gone()
	leave := sync.OnceFunc(func() { close(j.leave) })
	go func() { // so that a second part that gets in does not wait for ever
		select {
		case <-j.entered:
			leave()
		case <-t.Context().Done():
		}
	}()
	if code := post(t.Context()); code != http.StatusServiceUnavailable {
		t.Errorf("a second part is answered with %d while the first is being joined", code)
	}
	leave()
	if code := <-first; code != http.StatusOK {
		t.Errorf("the first part is answered with %d", code)
	}
}

// TestParseReplay: any bytes are refused or taken, and what a client writes is read.
func TestParseReplay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		if msgs, err := parseReplay(rapid.SliceOf(rapid.Byte()).Draw(t, "body")); err == nil && len(msgs) > 0 {
			if _, err := msgs[0].Append(nil); err != nil {
				t.Fatal(err)
			}
		}
	})
}
