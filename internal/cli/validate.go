package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/spf13/cobra"

	"github.com/compressc/compressc/internal/origin"
	"github.com/compressc/compressc/internal/version"
	"github.com/compressc/compressc/lang"
	"github.com/compressc/compressc/planner"
)

func (a *app) validateCmd() *cobra.Command {
	var in inputs
	var asJSON, asSARIF, recursive bool
	c := &cobra.Command{
		Use: "validate [flags] [PIPELINE]", Short: "Check a pipeline without running anything",
		Long: `Checks syntax, references, arguments, and what every block makes of the models
that pass through it: shapes, group sizes, masks, number formats. It reads headers
and configuration files at most, never weights, and reports all problems at once.
Exit status 1 if there are errors.

-json prints what was found in the shape of "terraform validate -json", -sarif as
SARIF 2.1.0, which code hosts show beside the lines.`,
		Example: "  compressc validate\n  compressc validate -json examples/pipelines/smollm2\n  compressc validate -sarif -recursive . > findings.sarif",
		Args:    cobra.MaximumNArgs(1),
		RunE: a.reporting(&asJSON, func(_ *cobra.Command, args []string) error {
			if asJSON && asSARIF {
				return errors.New("-json and -sarif are two forms of one report; choose one")
			}
			paths := []string{pipelineArg(args)}
			if recursive {
				var err error
				if paths, err = pipelineFolders(paths[0]); err != nil {
					return err
				}
			}
			found := &findings{files: map[string]*hcl.File{}}
			for _, path := range paths {
				l, err := a.load(path, &in, false)
				if err != nil {
					return err
				}
				found.add(l)
			}
			return a.showFindings(found, asJSON, asSARIF)
		}),
	}
	in.flags(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON in the shape of terraform validate -json")
	c.Flags().BoolVar(&asSARIF, "sarif", false, "print SARIF 2.1.0, for code hosts")
	c.Flags().BoolVar(&recursive, "recursive", false, "check every folder at and below the named one that holds pipeline files")
	return c
}

// findings are what several pipelines have in common to report.
type findings struct {
	pipelines int
	diags     hcl.Diagnostics
	files     map[string]*hcl.File
	deferred  []*planner.Node
}

func (f *findings) add(l *loaded) {
	f.pipelines++
	f.diags = lang.Merge(f.diags, l.diags)
	maps.Copy(f.files, l.files())
	if l.expansion != nil {
		f.deferred = append(f.deferred, l.expansion.Deferred()...)
	}
}

func (a *app) showFindings(f *findings, asJSON, asSARIF bool) (err error) {
	switch {
	case asJSON:
		err = lang.WriteJSON(a.Out, f.diags, f.files)
	case asSARIF:
		err = lang.WriteSARIF(a.Out, f.diags, f.files, version.Number)
	default:
		err = a.showDiagnostics(f.diags, f.files)
	}
	switch {
	case err != nil:
		return err
	case f.diags.HasErrors():
		return exit(ExitError)
	case asJSON || asSARIF:
		return nil
	case f.pipelines == 1:
		fmt.Fprintln(a.Out, a.paintOut(green, "The pipeline is valid."))
	default:
		fmt.Fprintln(a.Out, a.paintOut(green, fmt.Sprintf("%d pipelines are valid.", f.pipelines)))
	}
	if d := f.deferred; len(d) > 0 {
		fmt.Fprintf(a.Out, "%d blocks could not be checked in full, because a source is not on this machine or a variable has no value: %s", len(d), d[0].Addr())
		if len(d) > 1 {
			fmt.Fprintf(a.Out, " and what follows from it")
		}
		fmt.Fprintln(a.Out, ".")
		if i := slices.IndexFunc(d, func(n *planner.Node) bool { return origin.Remote(n.Source()) }); i >= 0 {
			fmt.Fprintf(a.Out, "compressc lock fetches %s.\n", d[i].Source())
		}
	}
	return nil
}

// pipelineFolders returns the folders at and below dir that hold pipeline
// files, but those whose names begin with a dot.
func pipelineFolders(dir string) ([]string, error) {
	var folders []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if path != dir && strings.HasPrefix(d.Name(), ".") {
				return fs.SkipDir
			}
			return nil
		}
		if f := filepath.Dir(path); lang.IsPipelineFile(d.Name()) && !slices.Contains(folders, f) {
			folders = append(folders, f)
		}
		return nil
	})
	if err == nil && len(folders) == 0 {
		err = fmt.Errorf("no folder at or below %s holds a file whose name ends in %s", dir, lang.PipelineSuffix)
	}
	return folders, err
}
