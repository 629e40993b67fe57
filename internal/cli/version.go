package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/linalg/kernel"
	"github.com/compressc/compressc/internal/version"
)

func (a *app) versionCmd() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "version", Short: "Print the program's version",
		Long: "Prints the program's version, the version of the numeric contract that is part of\nevery cache key, and the instruction set whose kernels are in use. The bits of a\nresult depend on the contract, never on the instruction set.",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			i := version.Get(linalg.NumericsVersion, string(kernel.Active()))
			if asJSON {
				return printJSON(a.Out, i)
			}
			fmt.Fprintf(a.Out, "compressc %s (%s, %s)\nnumerics %s, %s kernels\n", i.Version, i.Platform, i.Go, i.Numerics, i.Kernels)
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}
