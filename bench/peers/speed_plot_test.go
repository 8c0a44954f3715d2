package peers_test

import (
	"bytes"
	"testing"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
)

// line is a line of a plot.
type line struct {
	name   string
	points plotter.XYs
}

func (l *line) add(x, y float64) { l.points = append(l.points, plotter.XY{X: x, Y: y}) }

// plotted is a plot.
type plotted struct {
	title, x, y string
	logX        bool
	least       float64 // where a logarithmic y axis begins; 0 for a linear one, which begins at 0
	falls       bool    // the legend goes to the right
	lines       []line
}

// plot draws p for the document, as an SVG.
func (r *report) plot(t *testing.T, name string, p plotted) {
	t.Helper()
	drawn := plot.New()
	drawn.Title.Text, drawn.X.Label.Text, drawn.Y.Label.Text = p.title, p.x, p.y
	drawn.Legend.Top, drawn.Legend.Left = true, !p.falls
	drawn.Add(plotter.NewGrid())
	for i, l := range p.lines {
		drawing, points, err := plotter.NewLinePoints(l.points)
		if err != nil {
			t.Fatal(err)
		}
		drawing.Color, drawing.Width, drawing.Dashes = plotutil.Color(i), vg.Points(1.5), plotutil.Dashes(i/len(plotutil.DefaultColors))
		points.Color, points.Shape, points.Radius = plotutil.Color(i), plotutil.Shape(i), vg.Points(2)
		drawn.Add(drawing, points)
		drawn.Legend.Add(l.name, drawing, points)
	}
	drawn.Y.Min = 0
	drawn.Y.Max *= 1.3 // room for the legend
	if p.logX {
		drawn.X.Scale, drawn.X.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	}
	if p.least > 0 {
		drawn.Y.Min, drawn.Y.Max = p.least, 100*drawn.Y.Max
		drawn.Y.Scale, drawn.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	}
	w, err := drawn.WriterTo(7*vg.Inch, 4*vg.Inch, "svg")
	if err != nil {
		t.Fatal(err)
	}
	var svg bytes.Buffer
	if _, err := w.WriteTo(&svg); err != nil {
		t.Fatal(err)
	}
	if r.plots == nil {
		r.plots = make(map[string][]byte)
	}
	r.plots[name] = svg.Bytes()
}
