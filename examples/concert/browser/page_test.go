// Package browser tests the page of the concert service in Chromium, as a viewer sees it.
package browser_test

import (
	"fmt"
	"net/url"
	"testing"

	"github.com/nearside-go/nearside/examples/concert/system/page"
)

// serve serves the page at an address, with no system behind it.
func serve(t *testing.T, addr string) *page.Page {
	t.Helper()
	p, err := page.Serve(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// snapshot is a state of the system in which all is well.
func snapshot() page.Snapshot {
	side := func(name string, queries float64, busy bool) page.Side {
		s := page.Side{Busy: busy, Queries: queries, Requests: 1234, Each: 0.25, Queued: 7, Dead: 3, Sold: 56}
		for n := range 3 {
			s.Instances = append(s.Instances, page.Instance{Name: fmt.Sprintf("%s-%d", name, n+1), Version: 1, State: "ready"})
		}
		return s
	}
	return page.Snapshot{
		Scenario: "an instance is killed", Cached: side("nearside", 120, true), Plain: side("plain", 0, false),
		Local: 0.9, Remote: 0.075, Source: 0.025, Redis: "in use",
	}
}

// figure is the selector of a figure of a side.
func figure(side, of string) string { return "#" + side + " [data-of=" + of + "]" }

func TestAViewerSeesTheStateAndItsChanges(t *testing.T) {
	p := serve(t, "127.0.0.1:0")
	s := snapshot()
	p.Show(s)
	w := open(t, p.URL(), 1280, 800)
	w.markPage()
	for selector, text := range map[string]string{
		"#link":                      "live",
		"#scenario":                  "an instance is killed",
		"#cached .turn":              "users are active here now",
		"#plain .turn":               "wait for their turn",
		figure("cached", "queries"):  "120",
		figure("cached", "requests"): "1,234",
		figure("cached", "each"):     "0.25",
		figure("cached", "queued"):   "7",
		figure("cached", "dead"):     "3",
		figure("plain", "sold"):      "56",
		"#cached .label":             "3 of 3 ready",
		"#local":                     "90.0 %",
		"#remote":                    "7.5 %",
		"#source":                    "2.5 %",
		"#redis":                     "in use",
	} {
		w.showsText(selector, text)
	}

	s.Cached.Instances[1].State = "no answer"
	s.Cached.Queries, s.Redis = 345, "away"
	p.Show(s)
	p.Event(page.Step, "nearside-2 is killed (SIGKILL)")
	w.showsText("#cached .instances li:nth-child(2)", "nearside-2 (v1): no answer")
	w.showsText("#cached .label", "2 of 3 ready")
	w.showsText(figure("cached", "queries"), "345")
	w.showsText("#redis", "away")
	w.showsText("#events li:first-child", "nearside-2 is killed (SIGKILL)")
	if red, ready := textColor(w, "#cached .no b"), textColor(w, "#cached .ready b"); red == ready {
		t.Errorf("an instance that does not answer has the color of one that is ready, %s", red)
	}

	s.Cached.Instances = append(s.Cached.Instances[:1:1], page.Instance{Name: "nearside-4", Version: 2, State: "starting"})
	s.Cached.Failed, s.Cached.Busy, s.Plain.Busy, s.Plain.Queries = 1, false, true, 2345
	p.Show(s)
	p.Show(s)
	p.Event(page.Wrong, "1 of <b>1,234</b> requests failed")
	w.showsText("#cached .instances", "nearside-4 (v2): starting")
	w.sees("that nearside-2 is gone", `!document.querySelector("#cached .instances").innerText.includes("nearside-2")`)
	w.showsText("#cached .wrong", "failed requests")
	w.showsText("#plain .turn", "users are active here now")
	w.showsText(figure("plain", "queries"), "2,345")
	w.showsText("#events .wrong", "1 of <b>1,234</b> requests failed") // as text
	w.sees("a curve for each side", `document.querySelectorAll("#graph .curve").length === 2`)
	w.showsText("#graph", "2,000")
	w.checkPageIsTheSame()
	w.checkConsole()
}

// TestThePageConnectsAgain: the server goes away, and another one comes at its address.
func TestThePageConnectsAgain(t *testing.T) {
	p := serve(t, "127.0.0.1:0")
	address, err := url.Parse(p.URL())
	if err != nil {
		t.Fatal(err)
	}
	p.Show(snapshot())
	p.Event(page.Step, "of the first server")
	w := open(t, p.URL(), 1280, 800)
	w.markPage()
	w.showsText("#link", "live")
	w.showsText("#events", "of the first server")
	w.checkConsole()
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	w.showsText("#link", "no answer from the system")

	next := serve(t, address.Host)
	s := snapshot()
	s.Cached.Queries = 77
	next.Show(s)
	next.Event(page.Step, "of the second server")
	w.showsText("#link", "live")
	w.showsText(figure("cached", "queries"), "77")
	w.showsText("#events", "of the second server")
	if n := eval[int](w, `document.querySelectorAll("#events li").length`); n != 1 {
		t.Errorf("the page shows %d events, want that of the second server alone", n)
	}
	w.checkPageIsTheSame()
	w.checkConsole("net::ERR_") // the browser notes each attempt that fails
}

// TestASilentSystemIsNoticed: the connection is open, and nothing comes.
func TestASilentSystemIsNoticed(t *testing.T) {
	p := serve(t, "127.0.0.1:0")
	p.Show(snapshot())
	w := open(t, p.URL(), 1280, 800)
	w.showsText("#link", "live")
	w.showsText("#link", "no answer from the system") // nothing comes any more
	p.Show(snapshot())
	w.showsText("#link", "live")
	w.checkConsole()
}

func textColor(w *tab, selector string) string {
	w.Helper()
	return eval[string](w, fmt.Sprintf("getComputedStyle(document.querySelector(%s)).color", quote(selector)))
}

func TestWhatFitsOnAScreen(t *testing.T) {
	p := serve(t, "127.0.0.1:0")
	s := snapshot()
	for n := range 4 {
		s.Cached.Instances = append(s.Cached.Instances, page.Instance{Name: fmt.Sprintf("nearside-%d", 100+n), Version: 2, State: "draining"})
	}
	s.Cached.Sold, s.Plain.Sold = 123456, 123456
	p.Show(s)
	p.Event(page.Wrong, "without any cache: GET /api/categories/4/concerts at 127.0.0.1:45678: 503 "+longWord)
	for _, size := range []struct{ width, height int64 }{{1280, 800}, {768, 1024}, {390, 844}, {320, 568}} {
		t.Run(fmt.Sprintf("%dx%d", size.width, size.height), func(t *testing.T) {
			w := open(t, p.URL(), size.width, size.height)
			w.showsText("#link", "live")
			w.showsText("#events", longWord)
			if n := eval[int64](w, "document.documentElement.scrollWidth"); n > size.width {
				t.Errorf("the page is %d wide", n)
			}
			if wide := eval[[]string](w, tooWide); len(wide) > 0 {
				t.Errorf("these end outside of the window: %q", wide)
			}
			if size.width == 1280 {
				if bottom := eval[float64](w, `document.querySelector("#graph").getBoundingClientRect().bottom`); bottom > float64(size.height) {
					t.Errorf("the graph ends at %v, below the window", bottom)
				}
			}
			w.checkConsole()
		})
	}
}

const longWord = "aWordThatIsMuchLongerThanThePhoneIsWideAndHasNoPlaceAtWhichItCouldBeBroken"

// tooWide names the elements that end to the right of the window.
const tooWide = `[...document.querySelectorAll("body *")].
	filter(e => e.getBoundingClientRect().right > innerWidth + 0.5).map(e => e.tagName + "." + e.id)`

// TestTextIsReadable: in both color schemes all text has the contrast that WCAG 2.2 asks for in
// its criterion 1.4.3, which is 4.5.
func TestTextIsReadable(t *testing.T) {
	p := serve(t, "127.0.0.1:0")
	s := snapshot()
	for n, state := range []string{"no answer", "starting", "draining"} {
		s.Cached.Instances[n].State = state
	}
	s.Plain.Twice, s.Redis = 1, "away"
	p.Show(s)
	for _, kind := range []page.Kind{page.Scenario, page.Step, page.Result, page.Wrong} {
		p.Event(kind, "an event")
	}
	w := open(t, p.URL(), 1280, 800)
	w.showsText("#events .scenario", "an event")
	backgrounds := make(map[string]bool)
	for _, scheme := range []string{"light", "dark"} {
		w.prefer(scheme)
		for _, text := range eval[[]string](w, hardToRead) {
			t.Errorf("%s: %s", scheme, text)
		}
		backgrounds[eval[string](w, "getComputedStyle(document.body).backgroundColor")] = true
	}
	if len(backgrounds) != 2 {
		t.Errorf("the backgrounds are %v, want two", backgrounds)
	}
}

// hardToRead returns the texts whose contrast to their background is too small, by the formulas
// of WCAG 2.2 for relative luminance and contrast ratio.
const hardToRead = `(() => {
	const channels = css => css.match(/[\d.]+/g).map(Number);
	const luminance = css => channels(css).slice(0, 3).map(c => c / 255).
		map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4).
		reduce((sum, c, k) => sum + c * [0.2126, 0.7152, 0.0722][k], 0);
	const behind = e => { // the color of the nearest element that has one
		const css = getComputedStyle(e).backgroundColor;
		return channels(css)[3] === 0 ? behind(e.parentElement) : css;
	};
	const hard = [];
	for (const e of document.querySelectorAll("body *")) {
		const own = [...e.childNodes].some(n => n.nodeType === Node.TEXT_NODE && n.data.trim() !== "");
		if (!own || e.matches("script, template, style")) continue;
		const style = getComputedStyle(e), text = e instanceof SVGElement ? style.fill : style.color;
		const [a, b] = [luminance(text), luminance(behind(e))];
		const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
		if (ratio < 4.5) hard.push(e.textContent.trim() + ": " + ratio.toFixed(2));
	}
	return hard;
})()`
