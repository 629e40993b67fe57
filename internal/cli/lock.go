package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/internal/didyoumean"
	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/spell"
	"github.com/compressc/compressc/internal/version"
	"github.com/compressc/compressc/lang"
	"github.com/compressc/compressc/lang/lock"
	"github.com/compressc/compressc/lang/modules"
	"github.com/compressc/compressc/planner"
)

// upgradeProgram is the address that stands for the program's own versions.
const upgradeProgram = "program"

func (a *app) lockCmd() *cobra.Command {
	var in inputs
	var upgrade []string
	c := &cobra.Command{
		Use: "lock [flags] [PIPELINE]", Aliases: []string{"init"}, Short: "Fetch sources and modules, and write down what they are",
		Long: `Writes compressc.lock.hcl beside the pipeline: for each source its digest and, of a
model, its type (configuration, tensors, tokenizer), so that validate checks a pipeline
in full where the weights are not. A hub model is pinned to the commit that its
revision is now, an artifact of a registry to the digest of its manifest. Models,
adapters and texts that are not on this machine (hf://, https://, oci://) are
downloaded, into the Hugging Face cache or the cache's folder; what came in part is
gone on with by the next call. Modules from git are fetched into the cache's folder and pinned to
the commit that their ref is now; no other command fetches any. Commit the file.

Entries are added and, where nothing names the source any more, dropped; they are
never changed, unless -upgrade names the block: -upgrade model.base, -upgrade
module.recipe, -upgrade all. The
file also holds the versions of the kernels that the pipeline's results were made
with; a table says what a newer program makes again, and -upgrade program takes its
versions over. validate, plan and run refuse a source that is not what its entry
says, and with -locked also one that has no entry.`,
		Example: "  compressc lock\n  compressc lock -upgrade model.base\n  compressc validate -locked",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.lock(c.Context(), pipelineArg(args), &in, upgrade)
		},
	}
	in.variables(c)
	c.Flags().StringArrayVar(&upgrade, "upgrade", nil, "take over the source of the block at `ADDRESS` as it is now; all for every source, program for the kernels; may be given several times")
	return c
}

func (a *app) lock(ctx context.Context, path string, in *inputs, upgrade []string) error {
	old, err := lock.Read(pipelineDir(path))
	if err != nil {
		return err
	}
	// Modules are kept in the store's folder, which it would not take for its own
	// if they came first.
	store, err := a.openStore()
	if err != nil {
		return err
	}
	defer store.Close()
	// Which sources the addresses mean is known after a first look, which modules
	// must be there for. What it finds out about these holds for the second.
	in.unlocked = true
	if in.modules, err = a.moduleFinder(old); err != nil {
		return err
	}
	in.modules.Fetch, in.modules.Upgrade = modules.All, upgrade
	l, err := a.ready(path, in, false)
	if err != nil {
		return err
	}
	kept, err := keptEntries(l.expansion, in.modules.Addrs(), old, upgrade)
	if err != nil {
		return err
	}
	kept.Modules = in.modules.Used()
	in.unlocked, in.lock = false, kept
	if in.modules, err = a.moduleFinder(kept); err != nil {
		return err
	}
	in.modules.Fetch = modules.All
	l, done, err := a.lockSources(ctx, path, in, store, old, upgrade)
	if err != nil {
		return err
	}
	done.Modules(in.modules.Used(), old, lang.IsPipelineFile(path))
	f := done.File
	f.Version, f.Numerics = version.Number, linalg.NumericsVersion
	if plan, err := planner.Build(l.expansion, l.resolver, store); err == nil {
		f.Kernels = plan.Kernels()
		if old != nil && lang.IsPipelineFile(path) {
			for name, impl := range old.Kernels {
				if _, has := f.Kernels[name]; !has {
					f.Kernels[name] = impl
				}
			}
		}
		if old != nil && !slices.Contains(upgrade, upgradeProgram) {
			stale := plan.StaleKernels(old)
			a.showStale(stale, old)
			if len(stale) > 0 {
				f.Version, f.Numerics, f.Kernels = old.Version, old.Numerics, old.Kernels
			}
		}
	} else if old != nil { // a source is elsewhere: what was known stays
		f.Version, f.Numerics, f.Kernels = old.Version, old.Numerics, old.Kernels
	}
	if err := f.Write(l.pipeline.Dir); err != nil {
		return err
	}
	for _, s := range []struct {
		mark  string
		color color
		list  []string
	}{{"+", green, done.Added}, {"~", yellow, done.Changed}, {"-", red, done.Removed}} {
		for _, source := range s.list {
			fmt.Fprintf(a.Out, "  %s %s\n", a.paintOut(s.color, s.mark), source)
		}
	}
	fmt.Fprintf(a.Out, "%s holds %s.\n", lock.Name, holdings(f))
	return nil
}

// lockSources fetches what is not here and makes the entries of in.lock whole. What
// was fetched for an entry and is something else is not kept as the source's copy.
func (a *app) lockSources(ctx context.Context, path string, in *inputs, store *cache.Store, old *lock.File, upgrade []string) (*loaded, *planner.Locking, error) {
	d, err := a.newDownloads(ctx, old, in.lock, upgrade)
	if err != nil {
		return nil, nil, err
	}
	var resolver *planner.Resolver
	in.download, in.prepare = d.get, func(l *loaded) { resolver = l.resolver }
	l, err := a.ready(path, in, false)
	var done *planner.Locking
	if err == nil {
		done, err = planner.Lock(l.expansion, l.resolver, store, old, lang.IsPipelineFile(path))
	}
	if err != nil {
		if resolver != nil {
			err = errors.Join(err, d.withdraw(resolver.Refused()))
		}
		if d.interrupted {
			return nil, nil, exit(ExitInterrupted)
		}
		return nil, nil, err
	}
	return l, done, nil
}

// holdings counts what a lock file holds; kinds that few pipelines have are named
// where there are some.
func holdings(f *lock.File) string {
	parts := []string{spell.Plural(len(f.Models), "model", "models"), spell.Plural(len(f.Data), "text", "texts")}
	if n := len(f.Adapters); n > 0 {
		parts = append(parts, spell.Plural(n, "adapter", "adapters"))
	}
	if n := len(f.Modules); n > 0 {
		parts = append(parts, spell.Plural(n, "module", "modules"))
	}
	return strings.Join(parts[:len(parts)-1], ", ") + " and " + parts[len(parts)-1]
}

// keptEntries are the entries that no address asks to be taken over anew.
func keptEntries(e *planner.Expansion, calls []string, old *lock.File, upgrade []string) (*lock.File, error) {
	if old == nil {
		old = &lock.File{}
	}
	kept := *old
	kept.Models, kept.Data = slices.Clone(old.Models), slices.Clone(old.Data)
	kept.Adapters = slices.Clone(old.Adapters)
	var known []string
	for _, n := range e.Nodes {
		if n.Source() != "" {
			known = append(known, n.Block.Addr())
		}
	}
	known = append(append(slices.Compact(known), calls...), "all", upgradeProgram)
	for _, addr := range upgrade {
		if !slices.Contains(known, addr) && !slices.Contains(calls, unkeyed(addr)) {
			return nil, fmt.Errorf("-upgrade %s: there is no such source.%s Sources are %s", addr, didyoumean.Hint(addr, known), strings.Join(known, ", "))
		}
		for _, n := range e.Nodes {
			if addr != "all" && n.Block.Addr() != addr {
				continue
			}
			if n.ModelArgs != nil {
				kept.Models = slices.DeleteFunc(kept.Models, func(m lock.Model) bool {
					return m.Source == n.ModelArgs.Source && m.Revision == n.ModelArgs.Revision
				})
			}
			if n.AdapterArgs != nil {
				kept.Adapters = slices.DeleteFunc(kept.Adapters, func(d lock.Adapter) bool {
					return d.Source == n.AdapterArgs.Source && d.Revision == n.AdapterArgs.Revision
				})
			}
			if n.DataArgs != nil {
				kept.Data = slices.DeleteFunc(kept.Data, func(d lock.Data) bool { return d.Source == n.DataArgs.Source })
			}
		}
	}
	return &kept, nil
}

// unkeyed is the address of a call without the key of one of its instances.
func unkeyed(addr string) string {
	if i := strings.LastIndex(addr, "["); i > 0 && strings.HasSuffix(addr, "]") {
		return addr[:i]
	}
	return addr
}

// showStale prints what the program makes again that was made before.
func (a *app) showStale(stale []planner.Stale, old *lock.File) {
	if len(stale) == 0 {
		return
	}
	fmt.Fprintf(a.Out, "This program (%s) makes these again, which %s made:\n", version.Number, old.Version)
	t := newTable(5, "kernel", ">was", ">is", ">actions", "blocks")
	for _, s := range stale {
		t.cells(cell{text: s.Kernel}, cell{text: fmt.Sprint(s.Was)}, cell{text: fmt.Sprint(s.Is)}, cell{text: fmt.Sprint(s.Actions)}, cell{text: strings.Join(s.Blocks, ", ")})
	}
	t.write(a.Out, "  ", a.colored(a.Out))
	fmt.Fprintf(a.Out, "The lock file keeps the old versions; compressc lock -upgrade %s takes the new ones over.\n\n", upgradeProgram)
}
