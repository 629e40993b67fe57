package cli

import (
	"errors"
	"fmt"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/internal/didyoumean"
	"github.com/compressc/compressc/internal/spell"
)

func (a *app) cachePinCmd() *cobra.Command {
	var list, asJSON bool
	var name string
	c := &cobra.Command{
		Use: "pin [RUN|PIPELINE]", Short: "Keep what a run is made of from gc",
		Long: `Keeps the results that a run used, and its record, from cache gc until
compressc cache unpin. The run is named as for show.`,
		Example: "  compressc cache pin -name release-1 pipelines/prod\n  compressc cache pin -list",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			s, err := a.openStore()
			if err != nil {
				return err
			}
			defer s.Close()
			if list {
				return a.listPins(s, asJSON)
			}
			all, err := s.Runs()
			if err != nil {
				return err
			}
			run, err := findRun(all, args)
			if err != nil {
				return err
			}
			p := cache.Pin{Name: name, What: fmt.Sprintf("run %s of %s", run.ID, run.Pipeline), Roots: run.Roots}
			if p.Name == "" {
				p.Name = run.ID
			}
			if err := s.Pin(p); err != nil {
				return err
			}
			fmt.Fprintf(a.Out, "Pinned %s as %s: %s.\n", p.What, p.Name, spell.Plural(len(p.Roots), "result", "results"))
			return nil
		},
	}
	c.Flags().StringVar(&name, "name", "", "the pin's `NAME`; the run's ID by default. A pin of the same name is replaced")
	c.Flags().BoolVar(&list, "list", false, "list the pins")
	c.Flags().BoolVar(&asJSON, "json", false, "with -list, print JSON")
	return c
}

func (a *app) listPins(s *cache.Store, asJSON bool) error {
	pins, err := s.Pins()
	if err != nil {
		return err
	}
	if asJSON {
		if pins == nil {
			pins = []cache.Pin{} // an empty list in JSON, not null
		}
		return printJSON(a.Out, pins)
	}
	if len(pins) == 0 {
		fmt.Fprintln(a.Out, "There are no pins.")
		return nil
	}
	t := newTable(4, "NAME", ">KEEPS", "SINCE", "WHAT")
	for _, p := range pins {
		t.row(p.Name, humanize.Comma(int64(len(p.Roots))), p.Time.Local().Format("2006-01-02 15:04"), p.What)
	}
	t.write(a.Out, "", a.colored(a.Out))
	return nil
}

func (a *app) cacheUnpinCmd() *cobra.Command {
	return &cobra.Command{
		Use: "unpin NAME", Short: "Let gc have again what was pinned",
		Example: "  compressc cache unpin release-1",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			s, err := a.openStore()
			if err != nil {
				return err
			}
			defer s.Close()
			err = s.Unpin(args[0])
			if !errors.Is(err, cache.ErrNotFound) {
				return err
			}
			pins, err := s.Pins()
			if err != nil {
				return err
			}
			var names []string
			for _, p := range pins {
				names = append(names, p.Name)
			}
			return fmt.Errorf("there is no pin %q.%s compressc cache pin -list lists them", args[0], didyoumean.Hint(args[0], names))
		},
	}
}

func (a *app) cacheAdoptCmd() *cobra.Command {
	var name string
	c := &cobra.Command{
		Use: "adopt PATH", Short: "Copy the tensors of a source into the cache",
		Long: `Copies the tensors of the model or data at PATH, a file or a folder that a run or
compressc lock has read, into the cache, where runs read them from then on: of a
source on a slow or a network disk, for one, or of one that may change. They stay
until the pin that this sets, named by -name, is taken away.`,
		Example: "  compressc cache adopt /mnt/models/llama -name llama",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if name == "" {
				return errors.New("-name is missing: the name of the pin that keeps the copy, for compressc cache unpin")
			}
			s, err := a.openStore()
			if err != nil {
				return err
			}
			defer s.Close()
			n, err := s.Adopt(c.Context(), name, args[0])
			if err != nil {
				return err
			}
			if n.Files == 0 {
				return fmt.Errorf("%s: the cache knows of no tensor there. It does once a run or compressc lock has read the source", args[0])
			}
			fmt.Fprintf(a.Out, "Copied %s of %s; compressc cache unpin %s lets them go.\n", spell.Plural(n.Files, "tensor", "tensors"), spell.Bytes(n.Bytes), name)
			return nil
		},
	}
	c.Flags().StringVar(&name, "name", "", "the `NAME` of the pin that keeps the copy")
	return c
}
