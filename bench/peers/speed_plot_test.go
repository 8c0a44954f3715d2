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

// drawn is an SVG of the document.
type drawn struct {
	name, title string
	svg         []byte
}

// plot draws p for the document, as an SVG.
func (r *report) plot(t *testing.T, name string, p plotted) {
	t.Helper()
	drawing := plot.New()
	drawing.Title.Text, drawing.X.Label.Text, drawing.Y.Label.Text = p.title, p.x, p.y
	drawing.Legend.Top, drawing.Legend.Left = true, !p.falls
	drawing.Add(plotter.NewGrid())
	for i, l := range p.lines {
		stroke, points, err := plotter.NewLinePoints(l.points)
		if err != nil {
			t.Fatal(err)
		}
		stroke.Color, stroke.Width, stroke.Dashes = plotutil.Color(i), vg.Points(1.5), plotutil.Dashes(i/len(plotutil.DefaultColors))
		points.Color, points.Shape, points.Radius = plotutil.Color(i), plotutil.Shape(i), vg.Points(2)
		drawing.Add(stroke, points)
		drawing.Legend.Add(l.name, stroke, points)
	}
	drawing.Y.Min = 0
	drawing.Y.Max *= 1.3 // room for the legend
	if p.logX {
		drawing.X.Scale, drawing.X.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	}
	if p.least > 0 {
		drawing.Y.Min, drawing.Y.Max = p.least, 100*drawing.Y.Max
		drawing.Y.Scale, drawing.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	}
	w, err := drawing.WriterTo(7*vg.Inch, 4*vg.Inch, "svg")
	if err != nil {
		t.Fatal(err)
	}
	var svg bytes.Buffer
	if _, err := w.WriteTo(&svg); err != nil {
		t.Fatal(err)
	}
	r.plots = append(r.plots, drawn{name, p.title, svg.Bytes()})
}
