package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/compressc/compressc/internal/didyoumean"
	"github.com/compressc/compressc/lang"
	"github.com/compressc/compressc/planner"
)

var graphFormats = []string{"dot", "mermaid", "svg"}

func (a *app) graphCmd() *cobra.Command {
	var in inputs
	var format string
	var points bool
	c := &cobra.Command{
		Use: "graph [flags] [PIPELINE]", Short: "Draw what is made of what",
		Long: `Prints the pipeline's blocks and what each is made of: as text for Graphviz (dot), as
Mermaid, which GitHub and GitLab draw in Markdown, or as an SVG picture. Gates and what
they hold back are joined by dashed lines. -points draws every block at each point of
its sweeps. It needs neither weights nor a cache.`,
		Example: "  compressc graph -format svg > pipeline.svg\n  compressc graph -points | dot -Tpdf > points.pdf",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if !slices.Contains(graphFormats, format) {
				return fmt.Errorf("-format %s: expected %s.%s", format, strings.Join(graphFormats, ", "), didyoumean.Hint(format, graphFormats))
			}
			l, err := a.load(pipelineArg(args), &in, false)
			if err != nil {
				return err
			}
			if err := a.showDiagnostics(l.diags, l.files()); err != nil {
				return err
			}
			if l.diags.HasErrors() {
				return exit(ExitError)
			}
			d := newDrawing(l.expansion, points)
			switch format {
			case "mermaid":
				d.mermaid(a.Out)
			case "svg":
				d.svg(a.Out)
			default:
				d.dot(a.Out)
			}
			return nil
		},
	}
	in.flags(c)
	c.Flags().StringVar(&format, "format", "dot", "dot, mermaid or svg")
	c.Flags().BoolVar(&points, "points", false, "draw each point of a sweep by itself")
	return c
}

// drawing is a directed graph to be drawn: boxes in an order in which each
// comes after those it is made of.
type drawing struct {
	boxes []drawBox
	edges []drawEdge
}

type drawBox struct {
	kind lang.Kind
	// title is the address, note the method or what else there is to say.
	title, note string
}

// drawEdge leads from one box to another, by index.
type drawEdge struct {
	from, to int
	// dashed edges decide whether a box is brought about, and give it nothing.
	dashed bool
}

// newDrawing takes a pipeline's blocks, or its nodes with points set. What
// nothing needs is left out.
func newDrawing(e *planner.Expansion, points bool) *drawing {
	d := &drawing{}
	index := map[string]int{}
	name := func(n *planner.Node) string {
		if points {
			return n.Addr()
		}
		return n.Block.Addr()
	}
	count := map[string]map[string]bool{}
	for _, n := range e.Nodes {
		if !n.Needed {
			continue
		}
		id := name(n)
		if count[id] == nil {
			count[id] = map[string]bool{}
			index[id] = len(d.boxes)
			d.boxes = append(d.boxes, drawBox{kind: n.Block.Kind, title: id, note: n.Block.Method})
		}
		count[id][n.Addr()] = true
	}
	seen := map[drawEdge]bool{}
	add := func(from, to *planner.Node, dashed bool) {
		i, ok := index[name(from)]
		j, also := index[name(to)]
		edge := drawEdge{i, j, dashed}
		if !ok || !also || i == j || seen[edge] || dashed && seen[drawEdge{i, j, false}] {
			return
		}
		seen[edge] = true
		d.edges = append(d.edges, edge)
	}
	for _, n := range e.Nodes {
		if !n.Needed {
			continue
		}
		for _, from := range slices.Concat(n.DependsOn, n.Watches) {
			add(from, n, false)
		}
		for _, from := range n.Candidates {
			add(from, n, false)
		}
		for _, from := range n.Requires {
			add(from, n, true)
		}
	}
	for i := range d.boxes {
		b := &d.boxes[i]
		if n := len(count[b.title]); n > 1 {
			b.note = strings.TrimSpace(fmt.Sprintf("%s × %d", b.note, n))
		}
	}
	slices.SortStableFunc(d.edges, func(x, y drawEdge) int {
		if x.to != y.to {
			return x.to - y.to
		}
		return x.from - y.from
	})
	return d
}

// look is how the kinds of blocks differ in a drawing.
type look struct {
	dotShape       string
	mermaid        [2]string
	fill, stroke   string
	rounded, round bool
}

func lookOf(k lang.Kind, title string) look {
	switch {
	case k == lang.KindModel || k == lang.KindData:
		return look{"cylinder", [2]string{"[(", ")]"}, "#e8f0fe", "#1a56b0", false, true}
	case k == lang.KindGate:
		return look{"diamond", [2]string{"{{", "}}"}, "#fdecea", "#b3261e", true, false}
	case k == lang.KindSelect:
		return look{"diamond", [2]string{"{{", "}}"}, "#fff4e0", "#9a6700", true, false}
	case k == lang.KindOutput:
		return look{"note", [2]string{"([", "])"}, "#f3f3f3", "#555555", true, false}
	case strings.HasPrefix(title, "evaluate."):
		return look{"box", [2]string{"([", "])"}, "#e6f4ea", "#137333", true, false}
	case strings.HasPrefix(title, "export."):
		return look{"folder", [2]string{"[/", "/]"}, "#f3e8fd", "#6b21a8", false, false}
	}
	return look{"box", [2]string{"[", "]"}, "#ffffff", "#444444", false, false}
}

func (d *drawing) dot(w io.Writer) {
	fmt.Fprintln(w, "digraph pipeline {\n  rankdir = TB\n  node [fontname = \"Helvetica\", fontsize = 11, style = filled]")
	for i, b := range d.boxes {
		l := lookOf(b.kind, b.title)
		label := dotText(b.title)
		if b.note != "" {
			label += `\n` + dotText(b.note)
		}
		fmt.Fprintf(w, "  n%d [label = \"%s\", shape = %s, fillcolor = \"%s\", color = \"%s\"]\n", i, label, l.dotShape, l.fill, l.stroke)
	}
	for _, e := range d.edges {
		style := ""
		if e.dashed {
			style = " [style = dashed]"
		}
		fmt.Fprintf(w, "  n%d -> n%d%s\n", e.from, e.to, style)
	}
	fmt.Fprintln(w, "}")
}

// dotText spells a text inside a quoted string of the DOT language.
func dotText(s string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s)
}

func (d *drawing) mermaid(w io.Writer) {
	fmt.Fprintln(w, "flowchart TB")
	for i, b := range d.boxes {
		l := lookOf(b.kind, b.title)
		label := mermaidText(b.title)
		if b.note != "" {
			label += "<br/>" + mermaidText(b.note)
		}
		fmt.Fprintf(w, "  n%d%s\"%s\"%s\n", i, l.mermaid[0], label, l.mermaid[1])
		fmt.Fprintf(w, "  style n%d fill:%s,stroke:%s\n", i, l.fill, l.stroke)
	}
	for _, e := range d.edges {
		arrow := "-->"
		if e.dashed {
			arrow = "-.->"
		}
		fmt.Fprintf(w, "  n%d %s n%d\n", e.from, arrow, e.to)
	}
}

// mermaidText spells a text inside a quoted label; Mermaid has character
// references of its own.
func mermaidText(s string) string {
	return strings.NewReplacer(`"`, "#quot;", "<", "#lt;", ">", "#gt;", "\n", " ").Replace(s)
}
