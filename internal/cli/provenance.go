package cli

import (
	"fmt"

	"github.com/google/renameio/v2/maybe"
	"github.com/spf13/cobra"

	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/provenance"
	"github.com/compressc/compressc/internal/version"
)

func (a *app) provenanceCmd() *cobra.Command {
	var out string
	c := &cobra.Command{
		Use: "provenance [flags] [RUN|PIPELINE]", Short: "State what a run's files are made of, for others to check",
		Long: `Prints an in-toto statement with a SLSA provenance predicate about the files that a
run exported. Its subjects are the files and every tensor in them by the SHA-256 of
their bytes; it names the pipeline's text and variables, the digests of all sources,
and of every step between. The files are read again: one that has changed since the
run is an error. The statement is not signed; cosign attest and the like do that. The
run is named as for show.`,
		Example: "  compressc provenance -o model.intoto.json\n  compressc provenance | jq '.subject[] | select(.name | endswith(\"q_proj.weight\"))'",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			rec, err := a.recordOf(args)
			if err != nil {
				return err
			}
			info := version.Get(linalg.NumericsVersion, "")
			text, err := provenance.Statement(rec, provenance.Program{Version: info.Version, Revision: info.Revision, Numerics: info.Numerics})
			if err != nil {
				return err
			}
			if out == "" || out == "-" {
				_, err := a.Out.Write(text)
				return err
			}
			if err := maybe.WriteFile(out, text, 0o644); err != nil {
				return err
			}
			fmt.Fprintf(a.Err, "%s states what the files of run %s are made of.\n", out, rec.ID)
			return nil
		},
	}
	c.Flags().StringVarP(&out, "output", "o", "", "the `FILE` to write instead of standard output")
	return c
}
