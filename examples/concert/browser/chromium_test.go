package browser_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

var chromium = flag.String("chromium", "", "the `path` of a Chromium; that of chromedp's choice if empty")

// within bounds the wait for what a viewer has to see, on a busy machine.
const within = 5 * time.Minute

// tab is a window of a Chromium of its own, with an empty folder for its user.
type tab struct {
	*testing.T
	ctx context.Context

	over <-chan struct{} // closed when the system has ended; nil for a page without one

	mu      sync.Mutex // guards console
	console []string
}

// open opens a page in a new Chromium, in a window of a size.
func open(t *testing.T, url string, width, height int64) *tab {
	t.Helper()
	options := []chromedp.ExecAllocatorOption{
		chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.WSURLReadTimeout(within),
	}
	if *chromium != "" {
		options = append(options, chromedp.ExecPath(*chromium))
	}
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	w := &tab{T: t, ctx: ctx}
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start Chromium: %v", err)
	}
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Errorf("end Chromium: %v", err)
		}
	})
	go w.listen(chromedp.Console(ctx))
	w.do(chromedp.EmulateViewport(width, height), chromedp.Navigate(url))
	return w
}

func (w *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	w.Helper()
	if err := chromedp.Do(w.ctx, steps...); err != nil {
		w.Fatal(err)
	}
}

// listen notes the messages of the console, until the browser ends.
func (w *tab) listen(messages iter.Seq2[chromedp.ConsoleMessage, error]) {
	for m, err := range messages {
		if err != nil {
			return
		}
		w.mu.Lock()
		w.console = append(w.console, fmt.Sprint(m.Type, " ", m))
		w.mu.Unlock()
	}
}

// checkConsole fails if the console has a message that has none of the texts in it.
func (w *tab) checkConsole(allowed ...string) {
	w.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range w.console {
		if !slices.ContainsFunc(allowed, func(text string) bool { return strings.Contains(m, text) }) {
			w.Errorf("the console has %q", m)
		}
	}
}

// eval returns the value of an expression of JavaScript.
func eval[T any](w *tab, expression string) T {
	w.Helper()
	out, err := chromedp.Run(w.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		w.Fatalf("%s: %v", expression, err)
	}
	return out
}

// sees waits until an expression of JavaScript is true.
func (w *tab) sees(what, expression string) {
	w.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	late := time.After(within)
	for !eval[bool](w, expression) {
		select {
		case <-tick.C:
			continue
		case <-w.over:
		case <-late:
		}
		w.Fatalf("the page never shows %s; it shows:\n%s", what, eval[string](w, "document.body.innerText"))
	}
}

// showsText waits until one of the elements of a selector has a text in it.
func (w *tab) showsText(selector, text string) {
	w.Helper()
	expression := fmt.Sprintf("[...document.querySelectorAll(%s)].some(e => (e.innerText ?? e.textContent).includes(%s))", quote(selector), quote(text))
	w.sees(fmt.Sprintf("%q in %s", text, selector), expression)
}

func quote(text string) string {
	var out bytes.Buffer
	_ = json.NewEncoder(&out).Encode(text) // a string always encodes
	return strings.TrimSpace(out.String())
}

// prefer sets the color scheme that the viewer prefers.
func (w *tab) prefer(scheme string) {
	w.Helper()
	_, err := chromedp.Call(w.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	})
	if err != nil {
		w.Fatal(err)
	}
}

// markPage marks the page, so that checkPageIsTheSame notices when it was loaded again.
func (w *tab) markPage() {
	w.Helper()
	eval[bool](w, "window.marked = true")
}

func (w *tab) checkPageIsTheSame() {
	w.Helper()
	if !eval[bool](w, "window.marked === true") {
		w.Error("the page was loaded again")
	}
}
