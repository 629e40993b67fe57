package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/compressc/compressc/internal/origin"
	"github.com/compressc/compressc/internal/version"
	"github.com/compressc/compressc/lang"
	"github.com/compressc/compressc/lang/lock"
	"github.com/compressc/compressc/lang/modules"
	"github.com/compressc/compressc/passes/all"
	"github.com/compressc/compressc/planner"
)

// inputs are the flags of commands that read a pipeline.
type inputs struct {
	order []lang.Input
	// locked refuses sources without a lock entry.
	locked bool
	// unlocked leaves the lock file aside; lock stands in for it where set.
	unlocked bool
	lock     *lock.File
	// fetch says which modules may be fetched. With modules set they are found by
	// that.
	fetch   modules.Fetching
	modules *modules.Finder
	// download, where set, fetches sources that lie elsewhere; see
	// planner.Resolver.Fetch.
	download func(addr string, s origin.Source, token string, found bool) error
	// extra files are part of the pipeline, and mocks stand in for sources: a
	// test's.
	extra map[string]*hcl.File
	mocks []lang.Mock
	// saved is the plan to be run, nil for a pipeline.
	saved *savedPlan
	// overlay holds texts that win over the disk.
	overlay map[string][]byte
	// prepare, where set, has its way with what was read before it is expanded.
	prepare func(*loaded)
}

// inputFlag keeps -var and -var-file in the order of the command line: a later
// one wins.
type inputFlag struct {
	in   *inputs
	file bool
}

func (f inputFlag) String() string { return "" }
func (f inputFlag) Type() string {
	if f.file {
		return "FILE"
	}
	return "NAME=VALUE"
}

func (f inputFlag) Set(s string) error {
	if f.file {
		f.in.order = append(f.in.order, lang.Input{File: s})
		return nil
	}
	name, value, ok := strings.Cut(s, "=")
	if !ok || name == "" {
		return fmt.Errorf("expected NAME=VALUE, not %q", s)
	}
	f.in.order = append(f.in.order, lang.Input{Name: name, Value: value})
	return nil
}

func (in *inputs) flags(c *cobra.Command) {
	in.variables(c)
	c.Flags().BoolVar(&in.locked, "locked", false, "refuse sources that compressc.lock.hcl has no entry for")
}

// variables are the flags of commands that are about the lock file themselves.
func (in *inputs) variables(c *cobra.Command) {
	c.Flags().Var(inputFlag{in, false}, "var", "set a variable; may be given several times")
	c.Flags().Var(inputFlag{in, true}, "var-file", "read variables from a *.vars.hcl file; may be given several times")
}

// cut are the flags that narrow what a run is for.
type cutFlags struct {
	targets, points []string
}

func (c *cutFlags) flags(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&c.targets, "target", nil, "only what is at an `ADDRESS` such as evaluate.ppl, module.m or prune.p[rank.rank=16], and what it needs; may be given several times")
	cmd.Flags().StringArrayVar(&c.points, "point", nil, "only the points where an `AXIS=VALUE` holds, such as rank.rank=16; may be given several times")
}

// loaded is a pipeline that has been read, checked and expanded.
type loaded struct {
	pipeline  *lang.Pipeline
	resolver  *planner.Resolver
	expansion *planner.Expansion
	diags     hcl.Diagnostics
}

// files are the sources of the snippets.
func (l *loaded) files() map[string]*hcl.File {
	if l.pipeline == nil {
		return nil
	}
	return l.pipeline.Files
}

// load reads the pipeline at path. The expansion is nil where there is nothing to
// expand, which the diagnostics then say. complete makes required variables without a
// value an error.
func (a *app) load(path string, in *inputs, complete bool) (*loaded, error) {
	reg, err := lang.NewRegistry(all.Passes()...)
	if err != nil {
		return nil, err
	}
	// Little of what loading makes can go before it has ended: collecting garbage
	// at each few megabytes would be a third of the time.
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	dir := pipelineDir(path)
	if in.saved != nil {
		dir = in.saved.Dir
	}
	var locked *lock.File
	if in.lock == nil && !in.unlocked {
		if locked, err = lock.Read(dir); err != nil {
			return nil, err
		}
	}
	if in.lock != nil {
		locked = in.lock
	}
	finder := in.modules
	if finder == nil {
		if finder, err = a.moduleFinder(locked); err != nil {
			return nil, err
		}
		finder.Strict, finder.Fetch = in.locked, in.fetch
	}
	l := &loaded{}
	o := lang.Options{Registry: reg, Inputs: in.order, Environ: os.Environ(), Version: version.Number, Complete: complete, Overlay: in.overlay, Extra: in.extra, Modules: finder.Find}
	if in.saved != nil {
		var files map[string][]byte
		files, o = in.saved.options(o)
		l.pipeline, l.diags = lang.LoadFiles(in.saved.Dir, files, o)
	} else {
		l.pipeline, l.diags = lang.Load(path, o)
	}
	if l.pipeline == nil {
		return l, nil
	}
	copies, err := a.downloadsDir()
	if err != nil {
		return nil, err
	}
	l.resolver = &planner.Resolver{Dir: l.pipeline.Dir, Lock: locked, Strict: in.locked, Places: origin.Places{Dir: copies}, Fetch: in.download}
	if in.prepare != nil {
		in.prepare(l)
	}
	if wrong := planner.CheckMocks(l.pipeline, in.mocks); wrong.HasErrors() {
		l.diags = wrong
		return l, nil
	}
	var more hcl.Diagnostics
	l.expansion, more = planner.Expand(l.pipeline, planner.Mocked(planner.Sources{Model: l.resolver.Model, Data: l.resolver.Data, Text: l.resolver.Text, Adapter: l.resolver.Adapter}, in.mocks))
	l.diags = lang.Merge(l.diags, more)
	return l, nil
}

// pipelineDir is the folder of the pipeline at path: the path, or that of a file.
func pipelineDir(path string) string {
	if info, err := os.Stat(path); err == nil && !info.IsDir() || lang.IsPipelineFile(path) {
		return filepath.Dir(path)
	}
	return path
}

// moduleFinder finds modules from git in the cache's folder.
func (a *app) moduleFinder(pins *lock.File) (*modules.Finder, error) {
	dir, err := a.modulesDir()
	if err != nil {
		return nil, err
	}
	return &modules.Finder{Dir: dir, Pins: pins, Say: func(url, revision string) {
		fmt.Fprintf(a.Err, "Fetching %s\n", strings.TrimSpace(url+" "+revision))
	}}, nil
}

// Folders that lie beside the cache in its folder.
const (
	modulesFolder   = "modules"
	downloadsFolder = "downloads"
)

// modulesDir is the folder of the modules from git: one in that of the cache.
func (a *app) modulesDir() (string, error) {
	return filepath.Abs(filepath.Join(a.cacheFolder(), modulesFolder))
}

// downloadsDir is the folder of the copies of sources that lie elsewhere.
func (a *app) downloadsDir() (string, error) {
	return filepath.Abs(filepath.Join(a.cacheFolder(), downloadsFolder))
}

// showDiagnostics prints diagnostics for people.
func (a *app) showDiagnostics(diags hcl.Diagnostics, files map[string]*hcl.File) error {
	width := 0
	if f, ok := a.Err.(*os.File); ok && isTerminal(a.Err) {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil {
			width = w
		}
	}
	return lang.WriteText(a.Err, diags, files, lang.TextOptions{Color: a.colored(a.Err), Width: width})
}

// ready loads a pipeline for plan and run: problems are printed, and errors end
// the command. With asJSON errors are printed as validate -json prints them, to
// standard output; warnings go to standard error all the same, since standard
// output is to hold the result.
func (a *app) ready(path string, in *inputs, asJSON bool) (*loaded, error) {
	l, err := a.load(path, in, true)
	if err != nil {
		return nil, err
	}
	if l.diags.HasErrors() {
		return nil, a.failed(l.diags, l.files(), asJSON)
	}
	if err := a.showDiagnostics(l.diags, l.files()); err != nil {
		return nil, err
	}
	return l, nil
}

// failed ends a command with errors in a pipeline.
func (a *app) failed(diags hcl.Diagnostics, files map[string]*hcl.File, asJSON bool) error {
	show := a.showDiagnostics
	if asJSON {
		show = func(d hcl.Diagnostics, f map[string]*hcl.File) error { return lang.WriteJSON(a.Out, d, f) }
	}
	if err := show(diags, files); err != nil {
		return err
	}
	return exit(ExitError)
}

// reporting wraps a command that may print JSON: what ends it before it has a
// result is reported in the form of validate -json too, so that whoever reads
// its output reads one form.
func (a *app) reporting(asJSON *bool, run func(*cobra.Command, []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		err := run(c, args)
		var code exit
		if err == nil || !*asJSON || errors.As(err, &code) {
			return err
		}
		if err := lang.WriteJSON(a.Out, hcl.Diagnostics{{Severity: hcl.DiagError, Summary: "The command failed", Detail: err.Error()}}, nil); err != nil {
			return err
		}
		return exit(ExitError)
	}
}

// pipelineName identifies a pipeline in run records: its absolute path.
func pipelineName(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	return abs
}
