// Package cli is the command line: one file a command, and the views that show
// people and programs what happened. It decides nothing that the planner or the
// executor could.
package cli

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/compressc/compressc/internal/didyoumean"
	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/version"
)

// Exit codes.
const (
	ExitOK          = 0
	ExitError       = 1
	ExitWork        = 2
	ExitGate        = 3
	ExitAction      = 4
	ExitInterrupted = 130
)

// Streams are where a command reads and writes.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// exit ends a command with a code; what there was to say has been said.
type exit int

func (e exit) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// app is what every command shares.
type app struct {
	Streams
	noColor  bool
	cacheDir string
}

const longHelp = `compressc compresses language models by pipelines that are text: prune, retrain,
quantise, compensate, evaluate and export, written as HCL blocks in a folder.

  compressc validate     says what is wrong, in milliseconds, without weights
  compressc plan         says what a run would do, and what of it is done already
  compressc run          does the rest; kill it at any time, it goes on from there
  compressc show         prints what came out

A pipeline is named by its folder or its file; without a name it is the working
folder. Results are kept in a cache by the content of what they were made from,
so nothing is computed twice.

Exit status: 0 done; 1 an error; 2 there is work to do (plan -detailed-exitcode)
or something to change (fmt -check); 3 a gate failed; 4 an action failed; 130
interrupted.`

// Main runs the program with the arguments after its name and returns the exit
// status.
func Main(args []string, s Streams) int {
	a := &app{Streams: s}
	root := a.root()
	root.SetArgs(twoDashes(args))
	err := root.Execute()
	var code exit
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &code):
		return int(code)
	}
	fmt.Fprintf(s.Err, "%s %s\n", a.paint(red, "Error:"), err)
	return ExitError
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use: "compressc", Short: "Terraform for model compression", Long: longHelp,
		SilenceUsage: true, SilenceErrors: true, Version: version.Number, DisableSuggestions: true,
		Args:              unknownCommand,
		PersistentPreRunE: func(*cobra.Command, []string) error { return linalg.CheckEnvironment() },
		RunE:              func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetFlagErrorFunc(unknownFlag)
	root.SetIn(a.In)
	root.SetOut(a.Out)
	root.SetErr(a.Err)
	root.CompletionOptions.HiddenDefaultCmd = true
	root.PersistentFlags().BoolVar(&a.noColor, "no-color", false, "plain text without colours (also NO_COLOR)")
	root.PersistentFlags().StringVar(&a.cacheDir, "cache-dir", "", "the `FOLDER` of the cache (also COMPRESSC_CACHE_DIR; default $XDG_CACHE_HOME/compressc)")
	root.AddCommand(
		a.validateCmd(),
		a.fmtCmd(),
		a.testCmd(),
		a.lockCmd(),
		a.planCmd(), a.whyCmd(),
		a.runCmd(),
		a.workerCmd(),
		a.actionCmd(),
		a.getCmd(),
		a.consoleCmd(),
		a.inspectCmd(),
		a.showCmd(),
		a.graphCmd(),
		a.reportCmd(),
		a.provenanceCmd(),
		a.diffCmd(),
		a.migrateCmd(),
		a.lspCmd(),
		a.schemaCmd(),
		a.docsCmd(),
		a.cacheCmd(),
		a.benchCmd(),
		a.versionCmd(),
	)
	for _, c := range root.Commands() {
		sayUsage(c)
	}
	return root
}

// sayUsage has a command with wrong arguments, and those below it, say which ones
// it takes.
func sayUsage(c *cobra.Command) {
	for _, sub := range c.Commands() {
		sayUsage(sub)
	}
	check := c.Args
	if check == nil || c.HasSubCommands() {
		return
	}
	c.Args = func(c *cobra.Command, args []string) error {
		err := check(c, args)
		if err == nil {
			return nil
		}
		return fmt.Errorf("%w; the usage is %s", err, c.UseLine())
	}
}

// unknownCommand refuses words that are no command, and offers the nearest.
func unknownCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, s := range c.Commands() {
		if s.IsAvailableCommand() {
			names = append(names, s.Name())
		}
	}
	return fmt.Errorf("there is no command %q.%s Commands are %s; %s -help says what each does", strings.TrimSpace(args[0]),
		didyoumean.Hint(args[0], names), strings.Join(names, ", "), c.CommandPath())
}

// unknownFlag offers the nearest flag where one is misspelt.
func unknownFlag(c *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return fmt.Errorf("%w; %s -help says what is expected", err, c.CommandPath())
	}
	var names []string
	add := func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, "-"+f.Name)
		}
	}
	c.LocalFlags().VisitAll(add)
	c.InheritedFlags().VisitAll(add)
	flag := "-" + unknown.GetSpecifiedName()
	return fmt.Errorf("%s has no flag %s.%s %s -help lists its flags", c.CommandPath(), flag, didyoumean.Hint(flag, names), c.CommandPath())
}

// twoDashes accepts long flags with one dash, as Terraform's users type them:
// "-var" becomes "--var". Flags of one letter, -h and -o, are left as they are.
func twoDashes(args []string) []string {
	out := slices.Clone(args)
	for i, arg := range out {
		if arg == "--" {
			break
		}
		if len(arg) > 2 && arg[0] == '-' && (arg[1] >= 'a' && arg[1] <= 'z') {
			out[i] = "-" + arg
		}
	}
	return out
}

// pipelineArg is the pipeline's folder or file.
func pipelineArg(args []string) string {
	if len(args) > 0 {
		return args[0]
	}
	return "."
}
