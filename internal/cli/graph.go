package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/compressc/compressc/internal/didyoumean"
	"github.com/compressc/compressc/internal/drawing"
	"github.com/compressc/compressc/planner"
)

var graphFormats = []string{"dot", "mermaid", "svg", "json"}

func (a *app) graphCmd() *cobra.Command {
	var in inputs
	var format string
	var points bool
	c := &cobra.Command{
		Use: "graph [flags] [PIPELINE]", Short: "Draw what is made of what",
		Long: `Prints the pipeline's blocks and what each is made of: as text for Graphviz (dot), as
Mermaid, which GitHub and GitLab draw in Markdown, as an SVG picture, or as JSON. Gates and what
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
			g := planner.Graph(l.expansion, points)
			switch format {
			case "mermaid":
				return drawing.Mermaid(a.Out, g)
			case "svg":
				return drawing.SVG(a.Out, g)
			case "json":
				return printJSON(a.Out, g)
			}
			return drawing.Dot(a.Out, g)
		},
	}
	in.flags(c)
	c.Flags().StringVar(&format, "format", "dot", "dot, mermaid, svg or json")
	c.Flags().BoolVar(&points, "points", false, "draw each point of a sweep by itself")
	return c
}
