package cli

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/compressc/compressc/lang"
)

// anyDrawing draws an acyclic graph in dependency order.
func anyDrawing(t *rapid.T) *drawing {
	d := &drawing{}
	n := rapid.IntRange(1, 12).Draw(t, "boxes")
	for i := range n {
		d.boxes = append(d.boxes, drawBox{kind: rapid.SampledFrom([]lang.Kind{lang.KindModel, lang.KindVerb, lang.KindGate, lang.KindSelect, lang.KindOutput}).Draw(t, "kind"),
			title: fmt.Sprintf("verb.name%d[%s]", i, rapid.StringMatching(`[a-z<>&"\\]{0,6}`).Draw(t, "text")), note: rapid.SampledFrom([]string{"", "method × 3"}).Draw(t, "note")})
		for j := range i {
			if rapid.IntRange(0, 3).Draw(t, "joined") == 0 {
				d.edges = append(d.edges, drawEdge{j, i, rapid.Bool().Draw(t, "dashed")})
			}
		}
	}
	return d
}

// In the picture every box stands below what it is made of, boxes of a row do
// not overlap, and all is within the frame.
func TestLayout(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := anyDrawing(t)
		boxes, width, height := d.layout()
		for _, e := range d.edges {
			if boxes[e.from].y+svgBoxH >= boxes[e.to].y {
				t.Fatalf("box %d does not stand below box %d", e.to, e.from)
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
		d := anyDrawing(t)
		var b bytes.Buffer
		d.svg(&b)
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
		if rects != len(d.boxes)+1 || paths != len(d.edges)+1 {
			t.Fatalf("%d rectangles and %d paths for %d boxes and %d edges", rects, paths, len(d.boxes), len(d.edges))
		}
	})
}

func TestDrawings(t *testing.T) {
	d := &drawing{
		boxes: []drawBox{{lang.KindModel, "model.base", ""}, {lang.KindVerb, `prune.sparse`, "wanda × 2"}, {lang.KindGate, "gate.g", ""}, {lang.KindVerb, `export.x["a"]`, "gguf"}},
		edges: []drawEdge{{0, 1, false}, {1, 2, false}, {1, 3, false}, {2, 3, true}},
	}
	var dot, mermaid bytes.Buffer
	d.dot(&dot)
	d.mermaid(&mermaid)
	golden(t, "graph.dot", dot.String())
	golden(t, "graph.mmd", mermaid.String())
	if strings.Count(dot.String(), "->") != 4 {
		t.Errorf("not four edges:\n%s", dot.String())
	}
}
