package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/internal/didyoumean"
	"github.com/compressc/compressc/internal/spell"
	"github.com/compressc/compressc/planner"
)

func (a *app) whyCmd() *cobra.Command {
	var in inputs
	var asJSON bool
	c := &cobra.Command{
		Use: "why [flags] NODE [PIPELINE]", Short: "Say why a block would run, or not",
		Long: `For every part of a block: is its result in the cache and, if not, in which field of
its key the nearest result there differs. NODE is a block's address, with its point
where a sweep reaches it: quantize.w4, 'compensate.c[rank.rank=16]'; without the
point all of the block's points are told. Nothing is computed.`,
		Example: "  compressc why quantize.w4\n  compressc why -var bits=3 'compensate.final[rank.rank=16]' pipelines/sweep",
		Args:    cobra.RangeArgs(1, 2),
		RunE: a.reporting(&asJSON, func(c *cobra.Command, args []string) error {
			l, err := a.ready(pipelineArg(args[1:]), &in, asJSON)
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
			return a.why(plan, store, args[0], asJSON)
		}),
	}
	in.flags(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// explained is a node with its reasons.
type explained struct {
	Node    string           `json:"node"`
	Reasons []planner.Reason `json:"reasons"`
}

// why prints the reasons of a node, or of all points of a block.
func (a *app) why(plan *planner.Plan, store *cache.Store, name string, asJSON bool) error {
	var all []explained
	var names []string
	for _, s := range plan.Steps {
		addr := s.Node.Addr()
		names = append(names, addr)
		if addr != name && s.Node.Block.Addr() != name {
			continue
		}
		reasons, err := plan.Why(store, s)
		if err != nil {
			return err
		}
		all = append(all, explained{addr, reasons})
	}
	if len(all) == 0 {
		return fmt.Errorf("the plan has no node %s.%s It has %s", name, didyoumean.Hint(name, names), strings.Join(names, ", "))
	}
	if asJSON {
		return printJSON(a.Out, all)
	}
	for _, e := range all {
		fmt.Fprintln(a.Out, a.paint(bold, e.Node))
		for _, r := range e.Reasons {
			a.showReason(r)
		}
		if len(e.Reasons) == 0 {
			fmt.Fprintln(a.Out, "  nothing to compute of its own: it is decided from what it refers to, or lies where it is.")
		}
	}
	return nil
}

func (a *app) showReason(r planner.Reason) {
	parts := slices.DeleteFunc(slices.Clone(r.Parts), func(s string) bool { return s == "" })
	if n := len(parts); n > 3 {
		parts = []string{parts[0], "…", parts[n-1]}
	}
	what := r.Kernel
	if len(parts) > 0 {
		what += ", " + strings.Join(parts, ", ")
	}
	fmt.Fprintf(a.Out, "  %s: ", what)
	switch r.State {
	case "cached":
		fmt.Fprintln(a.Out, "cached.")
	case "unneeded":
		fmt.Fprintln(a.Out, "not needed.")
	case "again":
		fmt.Fprintln(a.Out, "on record; its bytes are not kept and are made again, because something that reads them runs.")
	default:
		if r.Nearest == "" {
			fmt.Fprintln(a.Out, "runs: there is no result of this kernel yet.")
		} else if len(r.Differs) == 0 && len(r.Waits) == 0 {
			fmt.Fprintln(a.Out, "runs: it is on record, but bytes that it has to keep are gone.")
		} else if len(r.Differs) == 0 {
			fmt.Fprintln(a.Out, "runs: what it reads is made anew.")
		} else {
			fmt.Fprintf(a.Out, "runs: the nearest result on record differs in %s.\n", spell.Plural(len(r.Differs), "field", "fields"))
		}
		for _, d := range r.Differs {
			was, is := d.Was, d.Is
			if cache.Digest(was).Valid() && cache.Digest(is).Valid() {
				was, is = was[:12], is[:12]
			}
			fmt.Fprintf(a.Out, "    %s was %s, is %s\n", d.Field, orNothing(was), orNothing(is))
		}
		for _, w := range r.Waits {
			fmt.Fprintf(a.Out, "    it waits for %s\n", w)
		}
	}
}

func orNothing(s string) string {
	if s == "" {
		return "not there"
	}
	return s
}
