package browser

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience bounds every wait for the page: it asks every 2 s, and the machine may be busy.
const patience = 60 * time.Second

// tab is one page of a browser. Everything that goes wrong in the page or leaves for another site fails the test.
type tab struct {
	t    *testing.T
	ctx  context.Context
	site string

	mu       sync.Mutex
	problems []string
}

func open(t *testing.T, site, path string) *tab {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.WindowSize(1200, 1000), chromedp.UserDataDir(t.TempDir()))
	// Not the context of the test, which ends before its clean-up: the browser is told to close and waited for, since it writes
	// into its folder until it ends.
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(stop)
	ctx, _ := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Errorf("close the browser: %v", err)
		}
	})
	b := &tab{t: t, ctx: ctx, site: site}
	chromedp.ListenTarget(ctx, b.watch)
	if err := chromedp.Run(ctx, network.Enable(), runtime.Enable(), chromedp.Navigate(site+path)); err != nil {
		t.Fatalf("open %s: %v (is Chromium installed? `make browser` installs it on Debian)", site, err)
	}
	t.Cleanup(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, p := range b.problems {
			t.Error(p)
		}
	})
	return b
}

func (b *tab) watch(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		b.problems = append(b.problems, "the page threw: "+e.ExceptionDetails.Error())
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.APITypeError {
			b.problems = append(b.problems, fmt.Sprintf("the page logged an error: %s", e.Args[0].Value))
		}
	case *network.EventRequestWillBeSent:
		if !strings.HasPrefix(e.Request.URL, b.site) && strings.HasPrefix(e.Request.URL, "http") {
			b.problems = append(b.problems, "the page asked another site: "+e.Request.URL)
		}
	}
}

func (b *tab) do(actions ...chromedp.Action) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Run(ctx, actions...); err != nil {
		b.picture("failed")
		b.t.Fatal(err)
	}
}

// eval returns what a JavaScript expression is.
func eval[T any](b *tab, js string) (v T) {
	b.t.Helper()
	b.do(chromedp.Evaluate(js, &v))
	return v
}

// wait waits until a JavaScript expression is true.
func (b *tab) wait(what, js string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Run(ctx, chromedp.Poll(js, nil, chromedp.WithPollingInterval(100*time.Millisecond), chromedp.WithPollingTimeout(patience))); err != nil {
		b.picture("failed")
		b.t.Fatalf("waiting for %s: %v; the page says %q", what, err, eval[string](b, "document.body.innerText"))
	}
}

func (b *tab) size(width, height int64) {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(width, height))
}

func (b *tab) dark() {
	b.t.Helper()
	b.do(emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}))
}

// picture writes what is seen to build/NAME.png at the top of the repository.
func (b *tab) picture(name string) {
	var png []byte
	if err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot(&png)); err != nil {
		b.t.Logf("no picture: %v", err)
		return
	}
	file := filepath.Join("..", "..", "build", "page_"+name+".png")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		b.t.Logf("no picture: %v", err)
		return
	}
	if err := os.WriteFile(file, png, 0o644); err != nil {
		b.t.Logf("no picture: %v", err)
	}
}
