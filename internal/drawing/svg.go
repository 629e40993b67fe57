package drawing

import (
	"bufio"
	"fmt"
	"html"
	"io"
	"slices"

	"github.com/rivo/uniseg"

	"github.com/compressc/compressc/internal/record"
)

// Measures of the picture, in pixels. A letter of the 13 px font is about 7.3
// wide.
const (
	svgLetter = 7.3
	svgBoxH   = 42
	svgGapX   = 26
	svgGapY   = 44
	svgMargin = 20
)

// placed is a box with its place: row and order give x and y.
type placed struct {
	row, order int
	x, y, w    float64
}

// layout puts every box into the row below all that it is made of, and orders
// the rows so that few lines cross: a layered drawing after Sugiyama, with the
// barycentre heuristic.
func layoutOf(g *record.Graph) (boxes []placed, width, height float64) {
	boxes = make([]placed, len(g.Boxes))
	var rows [][]int
	for i := range g.Boxes {
		for _, e := range g.Edges {
			if e.To == i {
				boxes[i].row = max(boxes[i].row, boxes[e.From].row+1)
			}
		}
		for len(rows) <= boxes[i].row {
			rows = append(rows, nil)
		}
		boxes[i].order = len(rows[boxes[i].row])
		rows[boxes[i].row] = append(rows[boxes[i].row], i)
		text := max(uniseg.StringWidth(g.Boxes[i].Address), uniseg.StringWidth(note(g.Boxes[i])))
		boxes[i].w = max(90, float64(float64(text)*svgLetter)+24)
	}
	for pass := range 8 {
		for r := range rows {
			if pass%2 == 1 {
				r = len(rows) - 1 - r
			}
			sortRow(g, rows[r], boxes, pass%2 == 0)
		}
	}
	for _, row := range rows {
		w := float64(-svgGapX)
		for _, i := range row {
			w += boxes[i].w + svgGapX
		}
		width = max(width, w)
	}
	for r, row := range rows {
		x := float64(-svgGapX)
		for _, i := range row {
			x += boxes[i].w + svgGapX
		}
		x = svgMargin + (width-x)/2
		for _, i := range row {
			boxes[i].x, boxes[i].y = x, float64(svgMargin+r*(svgBoxH+svgGapY))
			x += boxes[i].w + svgGapX
		}
	}
	return boxes, width + 2*svgMargin, float64(2*svgMargin + len(rows)*(svgBoxH+svgGapY) - svgGapY)
}

// sortRow orders a row by the mean place of what its boxes are joined to: above
// on the way down, below on the way up.
func sortRow(g *record.Graph, row []int, boxes []placed, down bool) {
	mean := map[int]float64{}
	for _, i := range row {
		sum, n := 0.0, 0
		for _, e := range g.Edges {
			from, to := e.From, e.To
			if !down {
				from, to = to, from
			}
			if to == i {
				sum += float64(boxes[from].order)
				n++
			}
		}
		mean[i] = float64(boxes[i].order)
		if n > 0 {
			mean[i] = sum / float64(n)
		}
	}
	slices.SortStableFunc(row, func(x, y int) int {
		switch {
		case mean[x] < mean[y]:
			return -1
		case mean[x] > mean[y]:
			return 1
		}
		return 0
	})
	for k, i := range row {
		boxes[i].order = k
	}
}

// SVG writes the graph as a picture.
func SVG(out io.Writer, g *record.Graph) error {
	w := bufio.NewWriter(out)
	boxes, width, height := layoutOf(g)
	fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%.0f" viewBox="0 0 %.0f %.0f" font-family="Helvetica, Arial, sans-serif">`+"\n", width, height, width, height)
	fmt.Fprintln(w, `<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="#777"/></marker></defs>`)
	fmt.Fprintln(w, `<rect width="100%" height="100%" fill="white"/>`)
	for _, e := range g.Edges {
		from, to := boxes[e.From], boxes[e.To]
		x1, y1 := from.x+from.w/2, from.y+svgBoxH
		x2, y2 := to.x+to.w/2, to.y-1
		dash := ""
		if e.Gates {
			dash = ` stroke-dasharray="5 4"`
		}
		fmt.Fprintf(w, `<path d="M%.1f %.1f C%.1f %.1f %.1f %.1f %.1f %.1f" fill="none" stroke="#777"%s marker-end="url(#tip)"/>`+"\n",
			x1, y1, x1, y1+svgGapY/2, x2, y2-svgGapY/2, x2, y2, dash)
	}
	for i, b := range g.Boxes {
		p, l := boxes[i], lookOf(b.Kind)
		radius := 3
		if l.rounded || l.round {
			radius = 14
		}
		fmt.Fprintf(w, `<rect x="%.1f" y="%.1f" width="%.1f" height="%d" rx="%d" fill="%s" stroke="%s"/>`+"\n", p.x, p.y, p.w, svgBoxH, radius, l.fill, l.stroke)
		y := p.y + svgBoxH/2 + 4
		if note := note(b); note != "" {
			y -= 8
			fmt.Fprintf(w, `<text x="%.1f" y="%.1f" font-size="11" fill="#555" text-anchor="middle">%s</text>`+"\n", p.x+p.w/2, y+16, html.EscapeString(note))
		}
		fmt.Fprintf(w, `<text x="%.1f" y="%.1f" font-size="13" text-anchor="middle">%s</text>`+"\n", p.x+p.w/2, y, html.EscapeString(b.Address))
	}
	fmt.Fprintln(w, "</svg>")
	return w.Flush()
}
