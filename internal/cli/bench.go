package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/spf13/cobra"

	"github.com/compressc/compressc/internal/bench"
	"github.com/compressc/compressc/internal/linalg"
)

func (a *app) benchCmd() *cobra.Command {
	var asJSON bool
	var threads int
	var each time.Duration
	c := &cobra.Command{
		Use: "bench", Short: "Measure how fast this machine is",
		Long: `Measures products, factorizations, a decoder block forward and backward, hashing
and the disk of the cache, and keeps the figures in the cache's folder. plan and
run estimate times from what earlier runs took, and from these figures where no
run has timed such work yet. Results never depend on them.

Close other programs first: a figure is the shortest time that was seen.`,
		Example: "  compressc bench\n  compressc bench -threads 1 -json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if threads < 0 {
				return fmt.Errorf("-threads %d: expected at least 1, or 0 for all", threads)
			}
			if each < 0 {
				return fmt.Errorf("-each %s: expected a time such as 500ms", each)
			}
			s, err := a.openStore()
			if err != nil {
				return err
			}
			defer s.Close()
			ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt)
			defer stop()
			pool := linalg.NewPool(threads)
			defer pool.Close()
			f, err := bench.Measure(ctx, bench.Options{Pool: pool, Dir: s.Dir(), Each: each, Now: time.Now().UTC()})
			if context.Cause(ctx) != nil {
				return exit(ExitInterrupted)
			}
			if err != nil {
				return err
			}
			if err := f.Save(s.Dir()); err != nil {
				return err
			}
			if asJSON {
				return printJSON(a.Out, f)
			}
			fmt.Fprintf(a.Out, "%s, %s kernels, %d threads\n", f.Machine.Platform, f.Machine.Kernels, f.Threads)
			t := newTable(4, "", "work", ">time", ">rate")
			for _, g := range f.Figures {
				t.row(g.Name, g.Work, time.Duration(g.Seconds*1e9).Round(time.Microsecond).String(), fmt.Sprintf("%.4g %s", g.Rate, g.Unit))
			}
			t.write(a.Out, "  ", a.colored(a.Out))
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.Flags().IntVar(&threads, "threads", 0, "`N` threads to compute with; all by default")
	c.Flags().DurationVar(&each, "each", 500*time.Millisecond, "about how much `TIME` each figure may take")
	return c
}
