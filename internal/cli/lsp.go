package cli

import (
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/spf13/cobra"

	"github.com/compressc/compressc/internal/git"
	"github.com/compressc/compressc/internal/spell"
	"github.com/compressc/compressc/internal/version"
	"github.com/compressc/compressc/lang"
	"github.com/compressc/compressc/lang/lock"
	"github.com/compressc/compressc/lang/server"
	"github.com/compressc/compressc/passes/all"
	"github.com/compressc/compressc/planner"
)

// lspDebounce is how long a text is left alone before it is checked: about the
// pause between two words of somebody who types.
const lspDebounce = 150 * time.Millisecond

func (a *app) lspCmd() *cobra.Command {
	return &cobra.Command{
		Use: "lsp", Short: "Serve an editor: completion, hover, checks, names, formatting",
		Long: `Speaks the Language Server Protocol over standard input and output. It is started
by an editor, not by hand; docs/editor.md says how to set up Visual Studio Code,
Neovim and Helix.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			reg, err := lang.NewRegistry(all.Passes()...)
			if err != nil {
				return err
			}
			s := server.New(server.Options{Registry: reg, Version: version.Number, Debounce: lspDebounce, Check: a.checkFolder, Modules: a.moduleDir,
				Logf: func(format string, args ...any) { fmt.Fprintf(a.Err, format+"\n", args...) }})
			if err := s.Run(a.In, a.Out); errors.Is(err, server.ErrNoShutdown) {
				return exit(ExitError) // as the protocol wants it
			} else if err != nil {
				return err
			}
			return nil
		},
	}
}

// checkFolder does what validate does, with the texts of an editor.
func (a *app) checkFolder(dir string, overlay map[string][]byte) server.Checked {
	l, err := a.load(dir, &inputs{overlay: overlay}, false)
	if err != nil {
		return server.Checked{Diags: hcl.Diagnostics{{Severity: hcl.DiagError, Summary: "The folder could not be checked", Detail: err.Error()}}}
	}
	c := server.Checked{Pipeline: l.pipeline, Diags: l.diags, Facts: map[string]string{}, Metrics: map[string][]server.Metric{}}
	if l.expansion == nil {
		return c
	}
	for _, n := range l.expansion.Nodes {
		addr := n.Block.Addr()
		if m := planner.RecordModel(n); m != nil && c.Facts[addr] == "" {
			c.Facts[addr] = modelFact(n, m.Parameters, m.Bytes, m.BitsPerWeight, m.Sparsity, len(l.expansion.Of(n.Block)))
		}
		if r := n.Result.Report; r != nil && c.Metrics[addr] == nil {
			for _, m := range r.Metrics {
				c.Metrics[addr] = append(c.Metrics[addr], server.Metric{Name: m.Name, Doc: m.Doc})
			}
		}
	}
	return c
}

// moduleDir finds the folder of a module from git as a check of the pipeline in
// dir does.
func (a *app) moduleDir(dir, source string) string {
	s, err := git.ParseSource(source)
	if err != nil {
		return ""
	}
	pins, err := lock.Read(dir)
	if err != nil {
		return ""
	}
	f, err := a.moduleFinder(pins)
	if err != nil {
		return ""
	}
	at, _ := f.Find(lang.ModuleCall{Text: source, Source: s})
	return at.Dir
}

// modelFact is what a hover says of a model; of several points, of the first.
func modelFact(n *planner.Node, parameters, bytes int64, bits, sparsity float64, points int) string {
	text := fmt.Sprintf("%s parameters, %s, %.3g bits per weight", countText(parameters), spell.Bytes(bytes), bits)
	if sparsity > 0 {
		text += fmt.Sprintf(", %.3g %% zeros", 100*sparsity)
	}
	if points > 1 {
		text += fmt.Sprintf(", at the first of %d points, %s", points, n.Point)
	}
	return text + "."
}
