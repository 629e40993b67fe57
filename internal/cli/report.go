package cli

import (
	"bytes"
	"fmt"

	"github.com/google/renameio/v2/maybe"
	"github.com/spf13/cobra"

	"github.com/compressc/compressc/internal/report"
)

func (a *app) reportCmd() *cobra.Command {
	var out string
	c := &cobra.Command{
		Use: "report [flags] [RUN|PIPELINE]", Short: "Write what a run did and found as one HTML file",
		Long: `Writes one HTML file that holds all it shows: what was made of what, every
evaluation, metrics against sizes with their Pareto front, the layers' errors, losses,
where the time went, and the files that were written. It needs no network and runs no
script. The run is named as for show.`,
		Example: "  compressc report -o report.html\n  compressc report -o - examples/pipelines/quickstart > report.html",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			rec, err := a.recordOf(args)
			if err != nil {
				return err
			}
			if out == "-" {
				return report.Write(a.Out, rec)
			}
			var b bytes.Buffer
			if err := report.Write(&b, rec); err != nil {
				return err
			}
			if err := maybe.WriteFile(out, b.Bytes(), 0o644); err != nil {
				return err
			}
			fmt.Fprintf(a.Err, "%s tells of run %s.\n", out, rec.ID)
			return nil
		},
	}
	c.Flags().StringVarP(&out, "output", "o", "report.html", "the `FILE` to write, - for standard output")
	return c
}
