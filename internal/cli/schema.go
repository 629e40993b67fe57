package cli

import (
	"github.com/spf13/cobra"

	"github.com/compressc/compressc/lang"
	"github.com/compressc/compressc/passes/all"
)

func (a *app) schemaCmd() *cobra.Command {
	return &cobra.Command{
		Use: "schema", Short: "Print a JSON Schema of pipelines in JSON",
		Long: `Prints a JSON Schema (draft 2020-12) of the JSON form, *.pipeline.hcl.json, for
editors and for programs that write pipelines: block types, methods, arguments with
their types, ranges and defaults. What it cannot say (references, and what each block
makes of the models that pass through it) is for validate.`,
		Example: "  compressc schema > pipeline.schema.json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			reg, err := lang.NewRegistry(all.Passes()...)
			if err != nil {
				return err
			}
			return lang.WriteJSONSchema(a.Out, reg)
		},
	}
}
