package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/compressc/compressc/executor"
	"github.com/compressc/compressc/internal/record"
	"github.com/compressc/compressc/internal/version"
	"github.com/compressc/compressc/planner"
)

// resources are the flags that say what a run may use.
type resources struct {
	threads int
	memory  string
}

func (r *resources) flags(c *cobra.Command) {
	c.Flags().IntVar(&r.threads, "threads", 0, "threads to compute with; all by default")
	c.Flags().StringVar(&r.memory, "memory", "", "memory budget, such as 4GB; 80 % of the machine by default")
}

func (r *resources) bytes() (int64, error) {
	if r.memory == "" {
		return 0, nil
	}
	n, err := humanize.ParseBytes(r.memory)
	if err != nil {
		return 0, fmt.Errorf("-memory %s: expected a number of bytes such as 350MB: %w", r.memory, err)
	}
	return int64(n), nil
}

func (a *app) runCmd() *cobra.Command {
	var in inputs
	var res resources
	var progress string
	var failFast, asJSON bool
	c := &cobra.Command{
		Use: "run [PIPELINE]", Short: "Bring about what a pipeline says",
		Long: `Computes what the pipeline's evaluations, gates, exports and outputs need and what
is not in the cache yet. The first interrupt finishes what is under way and stops;
the second stops at once. Either way, and after a crash, the next run goes on from
there.`,
		Example: "  compressc run examples/pipelines/quickstart\n  compressc run -var sparsity=0.5 -memory 4GB",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			mem, err := res.bytes()
			if err != nil {
				return err
			}
			if res.threads < 0 {
				return fmt.Errorf("-threads %d: expected at least 1, or 0 for all", res.threads)
			}
			path := pipelineArg(args)
			l, err := a.ready(path, &in)
			if err != nil {
				return err
			}
			store, err := a.openStore()
			if err != nil {
				return err
			}
			defer store.Close()
			plan, err := planner.Build(l.expansion, l.resolver, store)
			if err != nil {
				return err
			}
			view, err := a.newProgress(progress, plan)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithCancel(c.Context())
			defer cancel()
			var ex *executor.Executor
			stop := make(chan os.Signal, 2)
			signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
			defer signal.Stop(stop)
			o := planner.RunOptions{Name: pipelineName(path), Version: version.Number,
				Executor: executor.Options{Store: store, Threads: res.threads, Memory: mem, FailFast: failFast, Producer: "compressc " + version.Number,
					Events: view.event,
					Logf:   func(format string, args ...any) { view.note(fmt.Sprintf(format, args...)) }},
				Started: func(e *executor.Executor) {
					ex = e
					go func() {
						if _, ok := <-stop; !ok {
							return
						}
						view.note("Interrupted: finishing what is under way. Interrupt again to stop at once.")
						ex.Stop()
						if _, ok := <-stop; ok {
							cancel()
						}
					}()
				},
				Stage: view.stage}
			view.start()
			rec, err := plan.Run(ctx, o)
			view.finish()
			if err != nil {
				var fit *executor.FitError
				if errors.As(err, &fit) {
					return fmt.Errorf("the run does not fit: %w", err)
				}
				return err
			}
			if asJSON {
				if err := printJSON(a.Out, rec); err != nil {
					return err
				}
			} else {
				a.printRecord(rec, true)
			}
			return exitOf(rec)
		},
	}
	in.flags(c)
	res.flags(c)
	c.Flags().StringVar(&progress, "progress", "auto", "how progress is shown: auto, tty, plain or json")
	c.Flags().BoolVar(&failFast, "fail-fast", false, "stop at the first failure; otherwise what does not depend on it is finished")
	c.Flags().BoolVar(&asJSON, "json", false, "print the run's record as JSON at the end")
	return c
}

// exitOf turns a record's status into the exit status.
func exitOf(rec *record.Record) error {
	switch rec.Status {
	case record.OK:
		return nil
	case record.GateFailed:
		return exit(ExitGate)
	case record.Interrupted:
		return exit(ExitInterrupted)
	}
	return exit(ExitAction)
}
