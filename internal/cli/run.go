package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/compressc/compressc/executor"
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/record"
	"github.com/compressc/compressc/internal/telemetry"
	"github.com/compressc/compressc/internal/version"
	"github.com/compressc/compressc/planner"
)

// resources are the flags that say what a run may use.
type resources struct {
	threads int
	memory  string
}

func (r *resources) flags(c *cobra.Command) {
	c.Flags().IntVar(&r.threads, "threads", 0, "`N` threads to compute with; all by default")
	c.Flags().StringVar(&r.memory, "memory", "", "memory budget as a `SIZE` such as 4GB; 80 % of the machine by default")
}

// check returns the memory budget in bytes, 0 for the default.
func (r *resources) check() (int64, error) {
	if r.threads < 0 {
		return 0, fmt.Errorf("-threads %d: expected at least 1, or 0 for all", r.threads)
	}
	if r.memory == "" {
		return 0, nil
	}
	n, err := parseBytes("-memory", r.memory, "350MB")
	if err == nil && n == 0 {
		err = errors.New("-memory 0: expected more than nothing; leave the flag out for most of the machine")
	}
	return n, err
}

// parseBytes reads a size given to a flag.
func parseBytes(flag, text, example string) (int64, error) {
	n, err := humanize.ParseBytes(text)
	if err != nil || n > 1<<62 {
		return 0, fmt.Errorf("%s %s: expected a number of bytes such as %s", flag, text, example)
	}
	return int64(n), nil
}

func (a *app) runCmd() *cobra.Command {
	var in inputs
	var cut cutFlags
	var res resources
	var rem remoteFlags
	var exe executorFlags
	var kind string
	var failFast, asJSON bool
	var keep []string
	var timeout time.Duration
	var sampleText, limit string
	c := &cobra.Command{
		Use: "run [flags] [PIPELINE|PLAN]", Short: "Bring about what a pipeline says",
		Long: `Computes what the pipeline's evaluations, gates, exports and outputs need and what
is not in the cache yet, and prints what was measured. Progress goes to standard
error, results to standard output.

PLAN is a file that plan -out wrote: the run does exactly what was planned, from the
text and the values as they were, and refuses where a source has changed since.

The first interrupt finishes what is under way and stops; the second stops at once.
Either way, and after a crash, the next run goes on from there. When an action
fails, what does not depend on it is still finished.

Exit status: 0 done; 1 an error; 3 a gate failed; 4 an action failed; 130
interrupted.`,
		Example: `  compressc run examples/pipelines/quickstart
  compressc run -var sparsity=0.5 -memory 4GB
  compressc run -remote-cache grpcs://cache.example.com
  compressc run -executor grpc://scheduler:8980
  compressc run -target evaluate.ppl -point rank.rank=16
  compressc run -progress plain -json > result.json`,
		Args: cobra.MaximumNArgs(1),
		RunE: a.reporting(&asJSON, func(c *cobra.Command, args []string) error {
			if timeout < 0 {
				return fmt.Errorf("-action-timeout %v: expected more than nothing; leave the flag out for no bound", timeout)
			}
			mem, err := res.check()
			if err != nil {
				return err
			}
			sample, err := parseSample(sampleText)
			if err != nil {
				return err
			}
			return a.run(c.Context(), pipelineArg(args), &in, runFlags{sample: sample, cut: cut, remote: rem, executor: exe, threads: res.threads, memory: mem, progress: kind, failFast: failFast, timeout: timeout, keep: keep, limit: limit, json: asJSON})
		}),
	}
	in.flags(c)
	cut.flags(c)
	res.flags(c)
	rem.flags(c)
	exe.flags(c)
	c.Flags().StringVar(&kind, "progress", "auto", "how progress is shown: `KIND` auto, tty, plain or json (an event a line)")
	c.Flags().DurationVar(&timeout, "action-timeout", 0, "fail an action that computes for longer than this `TIME`, such as 30m; no bound by default")
	c.Flags().StringVar(&sampleText, "verify-sample", "", "run `1/N` of what is on record again and compare, whatever it takes; 0 for none. By default 1/500 in runs that have work to do, as far as that takes less than a twentieth of their time")
	c.Flags().StringArrayVar(&keep, "keep", nil, "also store the values between the steps of the block at an `ADDRESS` such as quantize.w4, hidden states among them, which are not kept otherwise; may be given several times")
	c.Flags().StringVar(&limit, "cache-limit", "", "afterwards evict what the cache holds above this `SIZE`, such as 50GB, as cache gc -size does; 0 for no limit (also COMPRESSC_CACHE_LIMIT; default a quarter of the cache's disk)")
	c.Flags().BoolVar(&failFast, "fail-fast", false, "stop at the first failure; otherwise what does not depend on it is finished")
	c.Flags().BoolVar(&asJSON, "json", false, "print the run's record as JSON at the end; errors in the pipeline as validate -json does")
	return c
}

type runFlags struct {
	cut            cutFlags
	remote         remoteFlags
	executor       executorFlags
	threads        int
	memory         int64
	progress       string
	sample         executor.Sample
	failFast, json bool
	timeout        time.Duration
	keep           []string
	limit          string
}

func (a *app) run(ctx context.Context, path string, in *inputs, f runFlags) error {
	if _, err := a.newProgress(f.progress, nil, nil); err != nil {
		return err
	}
	name := pipelineName(path)
	var err error
	if in.saved, err = readPlan(path); err != nil {
		return err
	}
	if in.saved != nil {
		if len(in.order) > 0 || len(f.cut.targets) > 0 || len(f.cut.points) > 0 {
			return fmt.Errorf("%s is a saved plan, which has its variables, targets and points; leave out -var, -var-file, -target and -point, or run the pipeline itself", path)
		}
		name, f.cut = in.saved.Pipeline, cutFlags{in.saved.Targets, in.saved.Points}
	}
	l, err := a.ready(path, in, f.json)
	if err != nil {
		return err
	}
	if err := l.expansion.Cut(f.cut.targets, f.cut.points); err != nil {
		return err
	}
	if err := l.expansion.Keep(f.keep); err != nil {
		return err
	}
	store, err := a.openStore()
	if err != nil {
		return err
	}
	defer store.Close()
	limit, err := cacheLimit(store, f.limit)
	if err != nil {
		return err
	}
	plan, err := planner.Build(l.expansion, l.resolver, store)
	if err != nil {
		return err
	}
	if in.saved != nil {
		if err := in.saved.check(path, plan); err != nil {
			return err
		}
	}
	forecast := plan.Predict(store, plan.Roots())
	a.warnOfRoom(store, forecast.Bytes)
	view, err := a.newProgress(f.progress, plan, forecast)
	if err != nil {
		return err
	}
	tell, err := telemetry.Start(ctx, name, version.Number, view.note)
	if err != nil {
		return err
	}
	told := record.Failed
	defer func() { tell.End(told) }()
	ctx, stop, release := interrupts(ctx, view.note)
	defer release()
	view.start()
	rem, err := f.remote.open(ctx, &f.executor, store, view.note)
	if err != nil {
		view.finish()
		return err
	}
	defer rem.close()
	rec, err := plan.Run(ctx, planner.RunOptions{Name: name, Version: version.Number, Stop: stop, Stage: view.stage, Exporting: view.exporting,
		Executor: executor.Options{Store: store, Remote: rem.cache, Dispatch: rem.dispatch, Threads: f.threads, Memory: f.memory, FailFast: f.failFast, Timeout: f.timeout, Sample: f.sample, Producer: "compressc " + version.Number,
			Cost:   func(a *action.Action) float64 { return forecast.Costs[a] },
			Events: telling(view.event, tell),
			Logf:   func(format string, args ...any) { view.note(fmt.Sprintf(format, args...)) }}})
	rem.flush(ctx, view.note)
	trim(ctx, store, limit, view.note)
	view.finish()
	if err != nil {
		return err
	}
	told = rec.Status
	if err := a.showFailures(rec); err != nil {
		return err
	}
	if f.json {
		if err := printJSON(a.Out, rec); err != nil {
			return err
		}
	} else {
		a.showRecord(rec, false)
	}
	if rec.Status == record.Interrupted {
		fmt.Fprintln(a.Err, "Interrupted. What was finished is kept: run again to go on from here.")
	}
	return exitOf(rec)
}

// interrupts turns signals into a stop (the first), a cancelled context (the
// second) and the end of the process (the third). release gives the signals
// back.
func interrupts(ctx context.Context, note func(string)) (_ context.Context, stop <-chan struct{}, release func()) {
	ctx, cancel := context.WithCancel(ctx)
	signals := make(chan os.Signal, 3)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	stopping, done := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := 1; ; n++ {
			select {
			case <-done:
				return
			case <-signals:
			}
			switch n {
			case 1:
				note("Interrupted: finishing what is under way. Interrupt again to stop at once.")
				close(stopping)
			case 2:
				note("Interrupted again: stopping at once.")
				cancel()
			default:
				os.Exit(ExitInterrupted)
			}
		}
	})
	return ctx, stopping, func() {
		signal.Stop(signals)
		close(done)
		wg.Wait()
		cancel()
	}
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
