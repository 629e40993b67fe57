package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/compressc/compressc/lang"
)

func (a *app) validateCmd() *cobra.Command {
	var in inputs
	var asJSON bool
	c := &cobra.Command{
		Use: "validate [PIPELINE]", Short: "Check a pipeline without running anything",
		Long: `Checks syntax, references, arguments, and what every block makes of the models
that pass through it: shapes, group sizes, masks, number formats. It reads headers
and configuration files at most, never weights, and reports all problems at once.
Exit status 1 if there are errors.`,
		Example: "  compressc validate\n  compressc validate -json examples/pipelines/smollm2",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			l, err := a.load(pipelineArg(args), &in, false)
			if err != nil {
				return err
			}
			if asJSON {
				if err := lang.WriteJSON(a.Out, l.diags, l.files()); err != nil {
					return err
				}
			} else if err := a.showDiagnostics(l.diags, l.files()); err != nil {
				return err
			}
			if l.diags.HasErrors() {
				return exit(ExitError)
			}
			if asJSON {
				return nil
			}
			fmt.Fprintln(a.Out, a.paintOut(green, "The pipeline is valid."))
			if d := l.expansion.Deferred(); len(d) > 0 {
				fmt.Fprintf(a.Out, "%d blocks could not be checked in full, because a source is not on this machine or a variable has no value: %s", len(d), d[0].Addr())
				if len(d) > 1 {
					fmt.Fprintf(a.Out, " and what follows from it")
				}
				fmt.Fprintln(a.Out, ".")
			}
			return nil
		},
	}
	in.flags(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON in the shape of terraform validate -json")
	return c
}
