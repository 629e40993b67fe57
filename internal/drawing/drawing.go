// Package drawing draws what is made of what: as text for Graphviz, as Mermaid,
// or as a picture in SVG that needs no other program.
package drawing

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/compressc/compressc/internal/record"
)

// note is what a box says below its address.
func note(b record.Box) string {
	if b.Points > 1 {
		return strings.TrimSpace(fmt.Sprintf("%s × %d", b.Method, b.Points))
	}
	return b.Method
}

// look is how the kinds of blocks differ in a drawing.
type look struct {
	dotShape       string
	mermaid        [2]string
	fill, stroke   string
	rounded, round bool
}

func lookOf(kind string) look {
	switch kind {
	case "model", "data", "adapter":
		return look{"cylinder", [2]string{"[(", ")]"}, "#e8f0fe", "#1a56b0", false, true}
	case "gate":
		return look{"diamond", [2]string{"{{", "}}"}, "#fdecea", "#b3261e", true, false}
	case "select", "search":
		return look{"diamond", [2]string{"{{", "}}"}, "#fff4e0", "#9a6700", true, false}
	case "output":
		return look{"note", [2]string{"([", "])"}, "#f3f3f3", "#555555", true, false}
	case "evaluate":
		return look{"box", [2]string{"([", "])"}, "#e6f4ea", "#137333", true, false}
	case "export":
		return look{"folder", [2]string{"[/", "/]"}, "#f3e8fd", "#6b21a8", false, false}
	}
	return look{"box", [2]string{"[", "]"}, "#ffffff", "#444444", false, false}
}

// Dot writes the graph as text for Graphviz.
func Dot(out io.Writer, g *record.Graph) error {
	w := bufio.NewWriter(out)
	fmt.Fprintln(w, "digraph pipeline {\n  rankdir = TB\n  node [fontname = \"Helvetica\", fontsize = 11, style = filled]")
	for i, b := range g.Boxes {
		l := lookOf(b.Kind)
		label := dotText(b.Address)
		if note := note(b); note != "" {
			label += `\n` + dotText(note)
		}
		fmt.Fprintf(w, "  n%d [label = \"%s\", shape = %s, fillcolor = \"%s\", color = \"%s\"]\n", i, label, l.dotShape, l.fill, l.stroke)
	}
	for _, e := range g.Edges {
		style := ""
		if e.Gates {
			style = " [style = dashed]"
		}
		fmt.Fprintf(w, "  n%d -> n%d%s\n", e.From, e.To, style)
	}
	fmt.Fprintln(w, "}")
	return w.Flush()
}

// dotText spells a text inside a quoted string of the DOT language.
func dotText(s string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s)
}

// Mermaid writes the graph as a Mermaid flowchart.
func Mermaid(out io.Writer, g *record.Graph) error {
	w := bufio.NewWriter(out)
	fmt.Fprintln(w, "flowchart TB")
	for i, b := range g.Boxes {
		l := lookOf(b.Kind)
		label := mermaidText(b.Address)
		if note := note(b); note != "" {
			label += "<br/>" + mermaidText(note)
		}
		fmt.Fprintf(w, "  n%d%s\"%s\"%s\n", i, l.mermaid[0], label, l.mermaid[1])
		fmt.Fprintf(w, "  style n%d fill:%s,stroke:%s\n", i, l.fill, l.stroke)
	}
	for _, e := range g.Edges {
		arrow := "-->"
		if e.Gates {
			arrow = "-.->"
		}
		fmt.Fprintf(w, "  n%d %s n%d\n", e.From, arrow, e.To)
	}
	return w.Flush()
}

// mermaidText spells a text inside a quoted label; Mermaid has character
// references of its own.
func mermaidText(s string) string {
	return strings.NewReplacer(`"`, "#quot;", "<", "#lt;", ">", "#gt;", "\n", " ").Replace(s)
}
