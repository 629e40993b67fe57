package cli

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/internal/spell"
)

func (a *app) cacheExportCmd() *cobra.Command {
	var out string
	var all bool
	c := &cobra.Command{
		Use: "export -o FILE [RUN|PIPELINE]", Short: "Write what a run is made of into an archive",
		Long: `Writes the results that a run used, with its record, into one file for
compressc cache import on another machine, where the pipeline then has nothing left
to compute. The run is named as for show. Source models are not in it.`,
		Example: "  compressc cache export -o prod.tar.zst pipelines/prod\n  compressc cache export -o - | ssh other compressc cache import -",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) (err error) {
			switch {
			case out == "":
				return errors.New("-o is missing: the file to write, - for standard output")
			case all && len(args) > 0:
				return fmt.Errorf("-all is every run, %s is one: leave one of the two out", args[0])
			}
			s, err := a.openStore()
			if err != nil {
				return err
			}
			defer s.Close()
			var ids []string
			if !all {
				runs, err := s.Runs()
				if err != nil {
					return err
				}
				run, err := findRun(runs, args)
				if err != nil {
					return err
				}
				if run.Open {
					return fmt.Errorf("run %s was not finished; run the pipeline again first", run.ID)
				}
				ids = []string{run.ID}
			}
			var r cache.ArchiveReport
			write := func(w io.Writer) (err error) {
				r, err = s.Export(c.Context(), w, ids...)
				return err
			}
			if out == "-" {
				err = write(a.Out)
			} else {
				err = replaceFile(out, write)
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(a.Err, "Wrote %s.\n", archived(r))
			return nil
		},
	}
	c.Flags().StringVarP(&out, "output", "o", "", "the `FILE` to write, - for standard output")
	c.Flags().BoolVar(&all, "all", false, "write what all runs on record are made of")
	return c
}

func (a *app) cacheImportCmd() *cobra.Command {
	return &cobra.Command{
		Use: "import FILE", Short: "Take in the results of an archive",
		Long: `Takes in what compressc cache export wrote, - for standard input. Bytes are checked
against their digests. That an action yields what the archive says is taken on trust:
import what you would run. A result that is here with other bytes stays, and is named.`,
		Example: "  compressc cache import prod.tar.zst",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			in := a.In
			if args[0] != "-" {
				f, err := os.Open(args[0])
				if err != nil {
					return err
				}
				defer f.Close()
				in = f
			}
			s, err := a.openStore()
			if err != nil {
				return err
			}
			defer s.Close()
			r, err := s.Import(c.Context(), in)
			if err == nil || r.Entries.Files+r.Blobs.Files+r.Runs > 0 {
				fmt.Fprintf(a.Out, "Took in %s", archived(r))
				if r.Kept > 0 {
					fmt.Fprintf(a.Out, "; %s here already", spell.Plural(r.Kept, "was", "were"))
				}
				fmt.Fprintln(a.Out, ".")
			}
			return err
		},
	}
}

func archived(r cache.ArchiveReport) string {
	return fmt.Sprintf("%s, %s and %s of %s", spell.Plural(r.Runs, "run", "runs"), spell.Plural(r.Entries.Files, "result", "results"),
		spell.Plural(r.Blobs.Files, "blob", "blobs"), spell.Bytes(r.Blobs.Bytes))
}
