package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/compressc/compressc/planner"
)

func (a *app) planCmd() *cobra.Command {
	var in inputs
	var out string
	var cut cutFlags
	var rem remoteFlags
	var explain string
	var asJSON, detailed bool
	c := &cobra.Command{
		Use: "plan [flags] [PIPELINE]", Short: "Say what a run would do, and what of it is done already",
		Long: `Works out every action that the pipeline needs and looks up which of their results
are in the cache. Nothing is computed; a source is read through once, for its digest.
Times are those on record or estimates from the number of operations, and memory is
what the largest action states. With -remote-cache, results on the server count as well.

With -detailed-exitcode the exit status is 2 if a run would have something to do and
0 if not. A gate that needs no run is decided here; one that fails ends in exit
status 3. With -json errors are printed as validate -json prints them.`,
		Example: "  compressc plan\n  compressc plan -json -var sparsity=0.5 | jq .actions\n  compressc plan -target evaluate.ppl -point rank.rank=16",
		Args:    cobra.MaximumNArgs(1),
		RunE: a.reporting(&asJSON, func(c *cobra.Command, args []string) error {
			l, err := a.ready(pipelineArg(args), &in, asJSON)
			if err != nil {
				return err
			}
			if err := l.expansion.Cut(cut.targets, cut.points); err != nil {
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
			servers, err := rem.open(c.Context(), nil, store, func(s string) { fmt.Fprintf(a.Err, "%s %s\n", a.paint(yellow, "Remote:"), s) })
			if err != nil {
				return err
			}
			defer servers.close()
			if err := plan.Consult(c.Context(), store, servers.cache, plan.Steps); err != nil {
				return err
			}
			if explain != "" {
				return a.why(plan, store, explain, asJSON)
			}
			r := newPlanReport(plan, store, pipelineName(pipelineArg(args)))
			if asJSON {
				if err := printJSON(a.Out, r); err != nil {
					return err
				}
			} else {
				a.showPlan(r)
			}
			a.warnOfRoom(store, r.WriteBytes)
			if out != "" {
				if err := savePlan(out, pipelineArg(args), l, &in, cut, plan, r); err != nil {
					return err
				}
				fmt.Fprintf(a.Err, "Saved. To do exactly this: compressc run %s\n", out)
			}
			switch {
			case r.gateFailed():
				return exit(ExitGate)
			case detailed && r.Work:
				return exit(ExitWork)
			}
			return nil
		}),
	}
	in.flags(c)
	cut.flags(c)
	rem.flags(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print the plan as JSON")
	c.Flags().StringVar(&explain, "explain", "", "instead, say why `NODE` would run or not, as why does")
	c.Flags().StringVar(&out, "out", "", "save the plan to `FILE`, for run")
	c.Flags().BoolVar(&detailed, "detailed-exitcode", false, "exit with 2 if there is work to do")
	return c
}
