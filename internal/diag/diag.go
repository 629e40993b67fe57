// Package diag is how a part of the trade tells its user of a mistake without
// knowing where the text stands: a severity, a summary, a detail that says what
// was expected and what to try, and the argument it is about. The language
// attaches file, line and snippet.
package diag

import (
	"fmt"
	"strings"
)

// Severity orders diagnostics.
type Severity int

// The severities.
const (
	Error Severity = iota
	Warning
)

// Diagnostic is one finding.
type Diagnostic struct {
	Severity Severity
	// Summary is a short sentence without a full stop.
	Summary string
	// Detail says what was found, what was expected and what to try.
	Detail string
	// Arg names the argument the finding is about; "" is the whole block. A
	// nested block's argument is spelled "optimizer.learning_rate", an
	// override's "override[1].sparsity".
	Arg string
	// Origin is the address of the block that made the state which the finding is
	// about, "" where there is none: the language says where it stands.
	Origin string
}

// List is a set of findings in the order they were made.
type List []Diagnostic

// HasErrors reports whether any finding is an error.
func (l List) HasErrors() bool {
	for _, d := range l {
		if d.Severity == Error {
			return true
		}
	}
	return false
}

// Errorf appends an error about arg.
func (l *List) Errorf(arg, summary, format string, a ...any) {
	*l = append(*l, Diagnostic{Severity: Error, Summary: summary, Detail: fmt.Sprintf(format, a...), Arg: arg})
}

// Warnf appends a warning about arg.
func (l *List) Warnf(arg, summary, format string, a ...any) {
	*l = append(*l, Diagnostic{Severity: Warning, Summary: summary, Detail: fmt.Sprintf(format, a...), Arg: arg})
}

// Since says of the finding appended last which block made the state it is
// about.
func (l List) Since(addr string) { l[len(l)-1].Origin = addr }

// Err returns the errors as one error value, or nil.
func (l List) Err() error {
	var s []string
	for _, d := range l {
		if d.Severity == Error {
			t := d.Summary
			if d.Detail != "" {
				t += ": " + d.Detail
			}
			s = append(s, t)
		}
	}
	if len(s) == 0 {
		return nil
	}
	return fmt.Errorf("%s", strings.Join(s, "\n"))
}
