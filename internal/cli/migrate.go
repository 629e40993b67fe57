package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/compressc/compressc/internal/didyoumean"
	"github.com/compressc/compressc/internal/migrate"
)

func (a *app) migrateCmd() *cobra.Command {
	var from, out string
	var opt migrate.Options
	c := &cobra.Command{
		Use: "migrate [flags] FILE", Short: "Make a pipeline from another tool's configuration",
		Long: `Reads a recipe of llm-compressor, a configuration of mergekit, a workflow of Olive,
or the quantize_config.json of GPTQModel or AutoGPTQ (a config.json that holds one,
too), and prints a pipeline that does the same. The content of the file says which it
is. "-" reads standard input.

What has no counterpart is said on standard error and left in the pipeline as a
comment. What the file does not say, such as the calibration texts, becomes a
variable; -model and -data say it at once.`,
		Example: "  compressc migrate recipe.yaml\n  compressc migrate -model hf://Qwen/Qwen2.5-0.5B -data calib.txt -out w4.pipeline.hcl quantize_config.json",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			kind := migrate.Kind(from)
			if from != "" && !slices.Contains(migrate.Kinds, kind) {
				return fmt.Errorf("-from %s: there is no such kind.%s Kinds are %s", from, didyoumean.Hint(from, kindNames()), strings.Join(kindNames(), ", "))
			}
			src, err := a.readArg(args[0])
			if err != nil {
				return err
			}
			r, err := migrate.Convert(src, kind, opt)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			if err := a.writeNew(out, r.Pipeline); err != nil {
				return err
			}
			for _, n := range r.Notes {
				fmt.Fprintf(a.Err, "%s %s\n", a.paint(yellow, "Not migrated:"), n)
			}
			return nil
		},
	}
	c.Flags().StringVar(&from, "from", "", "the `KIND` of file: "+strings.Join(kindNames(), ", ")+"; its content says so by default")
	c.Flags().StringVar(&opt.Model, "model", "", "the `SOURCE` of the model, over what the file says")
	c.Flags().StringVar(&opt.Data, "data", "", "the `FILE` of the calibration texts")
	c.Flags().StringVar(&out, "out", "", "write a new `FILE` instead of standard output")
	return c
}

func kindNames() []string {
	names := make([]string, len(migrate.Kinds))
	for i, k := range migrate.Kinds {
		names[i] = string(k)
	}
	return names
}

// readArg reads a file, or standard input for "-".
func (a *app) readArg(name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(a.In)
	}
	return os.ReadFile(name)
}

// writeNew writes a file that must not be there yet, or standard output.
func (a *app) writeNew(name string, data []byte) error {
	if name == "" {
		_, err := a.Out.Write(data)
		return err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already; name another file, or remove it", name)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}
