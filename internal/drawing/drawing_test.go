package drawing

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"github.com/compressc/compressc/internal/record"
)

// anyDrawing draws an acyclic graph in dependency order.
func anyGraph(t *rapid.T) *record.Graph {
	g := &record.Graph{}
	n := rapid.IntRange(1, 12).Draw(t, "boxes")
	for i := range n {
		g.Boxes = append(g.Boxes, record.Box{Kind: rapid.SampledFrom([]string{"model", "prune", "gate", "select", "output"}).Draw(t, "kind"),
			Address: fmt.Sprintf("verb.name%d[%s]", i, rapid.StringMatching(`[a-z<>&"\\]{0,6}`).Draw(t, "text")), Method: rapid.SampledFrom([]string{"", "method"}).Draw(t, "method"),
			Points: rapid.IntRange(1, 3).Draw(t, "points")})
		for j := range i {
			if rapid.IntRange(0, 3).Draw(t, "joined") == 0 {
				g.Edges = append(g.Edges, record.Edge{From: j, To: i, Gates: rapid.Bool().Draw(t, "gates")})
			}
		}
	}
	return g
}

// In the picture every box stands below what it is made of, boxes of a row do
// not overlap, and all is within the frame.
func TestLayout(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := anyGraph(t)
		boxes, width, height := layoutOf(g)
		for _, e := range g.Edges {
			if boxes[e.From].y+svgBoxH >= boxes[e.To].y {
				t.Fatalf("box %d does not stand below box %d", e.To, e.From)
			}
		}
		for i, b := range boxes {
			if b.x < 0 || b.x+b.w > width || b.y < 0 || b.y+svgBoxH > height {
				t.Fatalf("box %d leaves the frame: %+v in %v × %v", i, b, width, height)
			}
			for j, c := range boxes[:i] {
				if b.row == c.row && b.x < c.x+c.w && c.x < b.x+b.w {
					t.Fatalf("boxes %d and %d overlap", i, j)
				}
			}
		}
	})
}

// Whatever the names are, the SVG is XML and each box and line is in it.
func TestSVGParses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := anyGraph(t)
		var b bytes.Buffer
		if err := SVG(&b, g); err != nil {
			t.Fatal(err)
		}
		rects, paths := 0, 0
		dec := xml.NewDecoder(&b)
		for {
			tok, err := dec.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if s, ok := tok.(xml.StartElement); ok {
				switch s.Name.Local {
				case "rect":
					rects++
				case "path":
					paths++
				}
			}
		}
		// One rectangle is the ground, one path the arrow's tip.
		if rects != len(g.Boxes)+1 || paths != len(g.Edges)+1 {
			t.Fatalf("%d rectangles and %d paths for %d boxes and %d edges", rects, paths, len(g.Boxes), len(g.Edges))
		}
	})
}

func TestDrawings(t *testing.T) {
	g := &record.Graph{
		Boxes: []record.Box{{Address: "model.base", Kind: "model", Points: 1}, {Address: "prune.sparse", Kind: "prune", Method: "wanda", Points: 2},
			{Address: "gate.g", Kind: "gate", Points: 1}, {Address: `export.x["a"]`, Kind: "export", Method: "gguf", Points: 1}},
		Edges: []record.Edge{{From: 0, To: 1}, {From: 1, To: 2}, {From: 1, To: 3}, {From: 2, To: 3, Gates: true}},
	}
	for name, draw := range map[string]func(io.Writer, *record.Graph) error{"graph.dot": Dot, "graph.mmd": Mermaid} {
		var b bytes.Buffer
		if err := draw(&b, g); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", name)
		if os.Getenv("COMPRESSC_UPDATE") != "" {
			if err := os.WriteFile(path, b.Bytes(), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if b.String() != string(want) {
			t.Errorf("%s:\n%s", name, b.String())
		}
	}
}
