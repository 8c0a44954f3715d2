package browser_test

import (
	"bufio"
	"bytes"
	"flag"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/chromedp/chromedp"
)

var screenshot = flag.String("screenshot", "", "write what the page shows in a whole run to this `file`, as PNG")

// play builds the system, plays its scenarios again and again, and opens its page.
func play(t *testing.T, args ...string) *tab {
	t.Helper()
	program := filepath.Join(t.TempDir(), "concert")
	build := exec.Command("go", "build", "-o", program, ".")
	build.Dir, build.Env = "../system", append(os.Environ(), "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the system: %v\n%s", err, out)
	}
	system := exec.Command(program, append([]string{"-serve", "-page", "127.0.0.1:0"}, args...)...)
	system.Env = append(os.Environ(), "CONCERT_LAUNCHED=1") // it ends with its standard input
	var complaints strings.Builder
	system.Stderr = &complaints
	if _, err := system.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := system.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := system.Start(); err != nil {
		t.Fatal(err)
	}
	url := pageIn(t, out)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := system.Wait(); err != nil {
			t.Errorf("the system: %v\n%s", err, complaints.String())
		}
	}()
	t.Cleanup(func() {
		_ = system.Process.Signal(syscall.SIGTERM) // its status says whether it ended by that
		<-ended
	})
	w := open(t, url, 1280, 800)
	w.over = ended
	return w
}

// pageIn returns the address of the page in the output of the system.
func pageIn(t *testing.T, out io.Reader) string {
	t.Helper()
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "Watch it at "); ok {
			go func() {
				for lines.Scan() { // so that the system is not held up
				}
			}()
			address, _, _ := strings.Cut(rest, " ")
			return strings.TrimSuffix(address, ".")
		}
	}
	t.Fatal("no line has the address of the page")
	return ""
}

func TestTheScenarioAsItIsPlayed(t *testing.T) {
	w := play(t, "-short")
	w.markPage()
	w.showsText("#cached .label", "3 of 3 ready")
	w.showsText("#plain .label", "3 of 3 ready")
	w.showsText("#events .step", "is killed (SIGKILL)")
	w.showsText("#events .result", "without any cache: ")
	w.sees("another instance in the place of the one that was killed", `document.querySelector("#cached .instances").innerText.includes("nearside-4")`)
	for _, side := range []string{"cached", "plain"} {
		w.sees("queries for each request", positive(figure(side, "each")))
		w.sees("seats that are sold", positive(figure(side, "sold")))
	}
	w.sees("reads that the local tier answers", positive("#local"))
	w.sees("a curve for each side", `["--with", "--without"].every(color => document.querySelector("#graph .curve[stroke*='" + color + ")']"))`)
	w.showsText("#scenario", "scale 1, 4, 2 by load")
	w.showsText("#events .step", "dead letters after")
	for _, side := range []string{"cached", "plain"} {
		if got := eval[string](w, text(figure(side, "twice"))); got != "0" {
			t.Errorf("%s: %s seats were sold twice", side, got)
		}
	}
	w.checkPageIsTheSame()
	w.checkConsole()
}

func text(selector string) string { return "document.querySelector(" + quote(selector) + ").innerText" }

// positive is an expression that is true once an element shows a number above 0.
func positive(selector string) string { return "parseFloat(" + text(selector) + ") > 0" }

// TestScreenshot waits until an instance drains in the rolling update, which comes after enough
// of other scenarios.
func TestScreenshot(t *testing.T) {
	if *screenshot == "" {
		t.Skip("no -screenshot")
	}
	w := play(t)
	w.prefer("light")
	w.showsText("#scenario", "rolling update")
	w.showsText("#cached .instances", "draining")
	picture, err := chromedp.Run(w.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		t.Fatal(err)
	}
	if err := write(*screenshot, picture); err != nil {
		t.Fatal(err)
	}
	w.checkConsole()
}

// write writes a PNG in the 256 colors that it has most of, which takes far fewer bytes.
func write(file string, picture []byte) error {
	pixels, err := png.Decode(bytes.NewReader(picture))
	if err != nil {
		return err
	}
	bounds := pixels.Bounds()
	counts := make(map[color.Color]int)
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			counts[pixels.At(x, y)]++
		}
	}
	colors := slices.SortedFunc(maps.Keys(counts), func(a, b color.Color) int { return counts[b] - counts[a] })
	out := image.NewPaletted(bounds, colors[:min(256, len(colors))])
	draw.Draw(out, bounds, pixels, bounds.Min, draw.Src)
	var text bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&text, out); err != nil {
		return err
	}
	return os.WriteFile(file, text.Bytes(), 0o644)
}
