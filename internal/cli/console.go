package cli

import (
	"bufio"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/zclconf/go-cty/cty"

	"github.com/compressc/compressc/internal/schema"
	"github.com/compressc/compressc/lang"
)

func (a *app) consoleCmd() *cobra.Command {
	var in inputs
	c := &cobra.Command{
		Use: "console [PIPELINE]", Short: "Evaluate expressions over a pipeline",
		Long: `Reads an expression a line and prints its value, at each point of the sweeps that it
depends on. Expressions may name whatever an output of the pipeline may; what is
known only after a run is said to be so. "exit" or the end of the input ends it.
Exit status 1 if an expression of an input that is no terminal was wrong.`,
		Example: "  compressc console\n  echo 'model.base.parameters' | compressc console examples/pipelines/smollm2",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			l, err := a.load(pipelineArg(args), &in, false)
			if err != nil {
				return err
			}
			if l.pipeline == nil || l.diags.HasErrors() {
				if err := a.showDiagnostics(l.diags, l.files()); err != nil {
					return err
				}
			}
			if l.pipeline == nil {
				return exit(ExitError)
			}
			return a.console(l)
		},
	}
	in.flags(c)
	return c
}

func (a *app) console(l *loaded) error {
	interactive := isTerminal(a.Out)
	prompt := func() {
		if interactive {
			fmt.Fprint(a.Out, "> ")
		}
	}
	lines := bufio.NewScanner(a.In)
	lines.Buffer(nil, 1<<20)
	failed := false
	prompt()
	for lines.Scan() {
		text := strings.TrimSpace(lines.Text())
		if text == "exit" || text == "quit" {
			break
		}
		if text != "" && !a.evaluate(l, text) {
			failed = true
		}
		prompt()
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("reading expressions: %w", err)
	}
	if failed && !interactive {
		return exit(ExitError)
	}
	return nil
}

// evaluate prints one expression's values, and reports whether it had any.
func (a *app) evaluate(l *loaded, text string) bool {
	values, diags := l.expansion.Evaluate(text, "<console>")
	if len(diags) > 0 {
		// Without a terminal's help there is nothing to do about a failing stream.
		_ = a.showDiagnostics(diags, l.files())
	}
	for _, v := range values {
		at := ""
		if v.At != "" {
			at = a.paintOut(dim, "["+v.At+"]") + " "
		}
		fmt.Fprintln(a.Out, at+display(v.Value, ""))
	}
	return !diags.HasErrors()
}

// display spells a value as expressions write it, over several lines where it
// has parts.
func display(v cty.Value, indent string) string {
	t := v.Type()
	switch {
	case !v.IsKnown():
		return "(known after a run)"
	case v.IsNull():
		return "null"
	case t == cty.String:
		return fmt.Sprintf("%q", v.AsString())
	case t.IsCapsuleType() || t.IsPrimitiveType():
		return schema.Spell(v)
	}
	inner := indent + "  "
	var parts []string
	open, end := "[", "]"
	for it := v.ElementIterator(); it.Next(); {
		k, e := it.Element()
		part := display(e, inner)
		if t.IsObjectType() || t.IsMapType() {
			if k.AsString() == schema.RefAttr {
				continue
			}
			part = lang.Key(k.AsString()) + " = " + part
		}
		parts = append(parts, part)
	}
	if t.IsObjectType() || t.IsMapType() {
		open, end = "{", "}"
	}
	if len(parts) == 0 {
		return open + end
	}
	return open + "\n" + inner + strings.Join(parts, "\n"+inner) + "\n" + indent + end
}
