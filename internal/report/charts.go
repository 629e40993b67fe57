package report

import (
	"bytes"
	"fmt"
	"html/template"
	"image/color"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/compressc/compressc/internal/record"
	"github.com/compressc/compressc/internal/spell"
)

// chart is a picture with what it shows.
type chart struct {
	Title, Note string
	Legend      []legend
	SVG         template.HTML
}

// legend says what a colour stands for.
type legend struct{ Name, Color string }

// palette is that of Okabe and Ito, which people with any colour vision can
// tell apart.
var palette = []color.RGBA{{0, 114, 178, 255}, {213, 94, 0, 255}, {0, 158, 115, 255}, {204, 121, 167, 255}, {230, 159, 0, 255}, {86, 180, 233, 255}, {90, 90, 90, 255}}

func charts(rec *record.Record) ([]chart, error) {
	var out []chart
	var drawn [][]spot
	for _, metric := range spell.Metrics(rec.Evaluations) {
		spots := spotsOf(rec, metric)
		if len(spots) < 2 || slices.ContainsFunc(drawn, func(d []spot) bool { return sameRanking(d, spots) }) {
			continue
		}
		drawn = append(drawn, spots)
		c, err := tradeOff(metric, spots)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	for _, n := range rec.Nodes {
		if len(n.Losses) < 2 {
			continue
		}
		c, err := losses(n)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

// spot is a model's place in a trade-off.
type spot struct {
	name  string
	label string
	x, y  float64
}

// spotsOf places the models that a metric was measured on.
func spotsOf(rec *record.Record, metric string) []spot {
	var spots []spot
	for _, e := range rec.Evaluations {
		y := e.Metrics[metric]
		if y == nil || e.Model == nil {
			continue
		}
		label := spell.Point(e.Point, rec.Axes)
		if label == "" {
			label = strings.TrimPrefix(e.Name, "evaluate.")
		}
		spots = append(spots, spot{e.Name, label, float64(e.Model.Bytes) / 1e6, *y})
	}
	return spots
}

// sameRanking reports whether two metrics order the same models in the same
// way, as perplexity and its logarithm do: one picture says it all.
func sameRanking(x, y []spot) bool {
	if len(x) != len(y) {
		return false
	}
	for i := range x {
		for j := range i {
			if x[i].name != y[i].name || x[i].label != y[i].label || (x[i].y < x[j].y) != (y[i].y < y[j].y) {
				return false
			}
		}
	}
	return true
}

// tradeOff draws a metric over the sizes of models.
func tradeOff(metric string, spots []spot) (chart, error) {
	c := chart{Title: metric + " and size", Note: "The line joins the models that no other beats in both size and " + metric + "."}
	p := newPlot("size in MB", metric)
	if err := addFront(p, front(spots)); err != nil {
		return chart{}, err
	}
	var names []string
	for _, s := range spots {
		if !slices.Contains(names, s.name) {
			names = append(names, s.name)
		}
	}
	for i, name := range names {
		col := palette[i%len(palette)]
		if err := addSpots(p, name, spots, col); err != nil {
			return chart{}, err
		}
		c.Legend = append(c.Legend, legend{name, fmt.Sprintf("#%02x%02x%02x", col.R, col.G, col.B)})
	}
	// Labels stand right of their spots and need room.
	p.X.Max += (p.X.Max - p.X.Min) / 7
	var err error
	c.SVG, err = render(p, 22*vg.Centimeter, 11*vg.Centimeter)
	return c, err
}

// front returns the spots that no other spot equals or beats in both numbers,
// by rising size. Smaller is better.
func front(spots []spot) []spot {
	sorted := slices.Clone(spots)
	slices.SortStableFunc(sorted, func(a, b spot) int {
		switch {
		case a.x < b.x || a.x == b.x && a.y < b.y:
			return -1
		case a.x == b.x && a.y == b.y:
			return 0
		}
		return 1
	})
	var out []spot
	for _, s := range sorted {
		if len(out) == 0 || s.y < out[len(out)-1].y {
			out = append(out, s)
		}
	}
	return out
}

func addFront(p *plot.Plot, list []spot) error {
	if len(list) < 2 {
		return nil
	}
	xys := make(plotter.XYs, len(list))
	for i, s := range list {
		xys[i] = plotter.XY{X: s.x, Y: s.y}
	}
	l, err := plotter.NewLine(xys)
	if err != nil {
		return err
	}
	l.Color = color.RGBA{150, 150, 150, 255}
	l.Dashes = []vg.Length{vg.Points(4), vg.Points(3)}
	p.Add(l)
	return nil
}

func addSpots(p *plot.Plot, name string, spots []spot, c color.RGBA) error {
	var xys plotter.XYs
	var labels []string
	for _, s := range spots {
		if s.name == name {
			xys = append(xys, plotter.XY{X: s.x, Y: s.y})
			labels = append(labels, s.label)
		}
	}
	dots, err := plotter.NewScatter(xys)
	if err != nil {
		return err
	}
	dots.GlyphStyle = draw.GlyphStyle{Color: c, Radius: vg.Points(3.5), Shape: draw.CircleGlyph{}}
	p.Add(dots)
	if len(xys) <= 24 {
		texts, err := plotter.NewLabels(plotter.XYLabels{XYs: xys, Labels: labels})
		if err != nil {
			return err
		}
		for i := range texts.TextStyle {
			texts.TextStyle[i].Font.Size = vg.Points(8)
			texts.TextStyle[i].Font.Variant = "Sans"
		}
		texts.Offset = vg.Point{X: vg.Points(5), Y: vg.Points(3)}
		p.Add(texts)
	}
	return nil
}

// losses draws a training run.
func losses(n record.Node) (chart, error) {
	p := newPlot("step", "loss in nats a token")
	xys := make(plotter.XYs, len(n.Losses))
	for i, y := range n.Losses {
		xys[i] = plotter.XY{X: float64(i + 1), Y: y}
	}
	l, err := plotter.NewLine(xys)
	if err != nil {
		return chart{}, fmt.Errorf("%s: %w", n.Name, err)
	}
	l.Color = palette[0]
	l.Width = vg.Points(1.5)
	p.Add(l)
	svg, err := render(p, 22*vg.Centimeter, 7*vg.Centimeter)
	return chart{Title: spell.Address(n.Name, n.Point), SVG: svg}, err
}

func newPlot(x, y string) *plot.Plot {
	p := plot.New()
	p.X.Label.Text, p.Y.Label.Text = x, y
	for _, f := range []*font.Font{&p.X.Label.TextStyle.Font, &p.Y.Label.TextStyle.Font, &p.X.Tick.Label.Font, &p.Y.Tick.Label.Font} {
		f.Variant = "Sans"
		f.Size = vg.Points(9)
	}
	p.X.Tick.Marker, p.Y.Tick.Marker = plot.TickerFunc(ticks), plot.TickerFunc(ticks)
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = color.RGBA{230, 230, 230, 255}, color.RGBA{230, 230, 230, 255}
	p.Add(grid)
	return p
}

// ticks are the library's, spelled with as many digits as tell them apart.
func ticks(low, high float64) []plot.Tick {
	list := plot.DefaultTicks{}.Ticks(low, high)
	for i := range list {
		if !list[i].IsMinor() {
			list[i].Label = strconv.FormatFloat(list[i].Value, 'g', 5, 64)
		}
	}
	return list
}

// render returns the plot as an <svg> element.
func render(p *plot.Plot, w, h vg.Length) (template.HTML, error) {
	c := vgsvg.New(w, h)
	p.Draw(draw.New(c))
	var b bytes.Buffer
	if _, err := c.WriteTo(&b); err != nil {
		return "", err
	}
	text := b.String()
	if i := strings.Index(text, "<svg"); i > 0 {
		text = text[i:] // the XML declaration has no place in HTML
	}
	return template.HTML(text), nil // the library escapes texts
}
