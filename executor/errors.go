package executor

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
)

// ErrStopped is in the chain of a run's error when Stop ended it.
var ErrStopped = errors.New("stopped before everything was done; run again to go on from here")

var errFailFast = errors.New("the run ended at the first failure")

// ActionError says which action failed.
type ActionError struct {
	Action *action.Action
	Err    error
	// Stack is set when the kernel panicked: the innermost frames.
	Stack string
}

func (e *ActionError) Unwrap() error { return e.Err }

func (e *ActionError) Error() string {
	s := fmt.Sprintf("%s: %v", describe(e.Action), e.Err)
	if e.Stack != "" {
		s += "\n" + e.Stack
	}
	return s
}

// TimeoutError says that an action took longer than it may.
type TimeoutError struct {
	After time.Duration
}

func (e *TimeoutError) Error() string {
	return fmt.Sprintf("it took longer than the %v that an action may take; give it more with -action-timeout", e.After)
}

// describe names an action the way people know it.
func describe(a *action.Action) string {
	what := "source"
	if a.Kernel != nil {
		what = a.Kernel.Name
	}
	switch {
	case a.Node == "" && a.Label == "":
		return what
	case a.Node == "":
		return fmt.Sprintf("%s (%s)", a.Label, what)
	case a.Label == "":
		return fmt.Sprintf("%s (%s)", a.Node, what)
	}
	return fmt.Sprintf("%s: %s (%s)", a.Node, a.Label, what)
}

// DependencyError says why an action did not run: another one failed.
type DependencyError struct {
	Cause *ActionError
}

func (e *DependencyError) Unwrap() error { return e.Cause }

func (e *DependencyError) Error() string {
	return "not run, because something it depends on failed: " + e.Cause.Error()
}

// NondeterministicError says that an action, run again, gave other bytes than
// it is on record with. Nothing that depends on it can be trusted.
type NondeterministicError struct {
	Kernel string
	Output string
	// Leaf is the first leaf that differs.
	Leaf      string
	Want, Got artifact.Digest // of the output's tree
	// Err is what the store said when it was told, or nil.
	Err error
}

func (e *NondeterministicError) Unwrap() error { return e.Err }

func (e *NondeterministicError) Error() string {
	return fmt.Sprintf("kernel %s is not deterministic: run again, it gave another leaf %q of output %s (tree %s, on record %s)",
		e.Kernel, e.Leaf, e.Output, e.Got.Short(), e.Want.Short())
}

// RemoteResultError says that the remote has another result on record than was
// computed here.
type RemoteResultError struct {
	Kernel, Output string
	Remote         string          // the server's address
	Want, Got      artifact.Digest // of the output's tree: the remote's, and that computed here
}

func (e *RemoteResultError) Error() string {
	return fmt.Sprintf("kernel %s: output %s has tree %s here, but %s on record at %s: somebody has put a wrong result there, or the kernel is not deterministic; run with -remote-results=off to do without it",
		e.Kernel, e.Output, e.Got.Short(), e.Want.Short(), e.Remote)
}

// FitError says that the memory budget is too small for an action whatever
// else is running.
type FitError struct {
	Action *action.Action
	Need   int64 // bytes the action is expected to take
	Budget int64 // Options.Memory
	Enough int64 // a budget that would do
}

func (e *FitError) Error() string {
	mib := (e.Enough + 1<<20 - 1) >> 20
	return fmt.Sprintf("%s needs about %s, which does not fit in a memory budget of %s; give it at least --memory %dMiB",
		describe(e.Action), humanize.IBytes(uint64(e.Need)), humanize.IBytes(uint64(e.Budget)), mib)
}

// RunError lists what failed in a run.
type RunError struct {
	// Failed holds the actions that failed by themselves, in the order of the
	// graph.
	Failed []*ActionError
	// Skipped counts the actions that did not run because of them, or because
	// the run ended.
	Skipped int
	// Cause says why the run ended before everything was tried, or is nil.
	Cause error
}

func (e *RunError) Unwrap() []error {
	var errs []error
	for _, f := range e.Failed {
		errs = append(errs, f)
	}
	if e.Cause != nil {
		errs = append(errs, e.Cause)
	}
	return errs
}

func (e *RunError) Error() string {
	var parts []string
	for _, f := range e.Failed {
		parts = append(parts, f.Error())
	}
	if e.Cause != nil {
		parts = append(parts, e.Cause.Error())
	}
	if e.Skipped > 0 {
		parts = append(parts, fmt.Sprintf("%d actions were not run", e.Skipped))
	}
	return strings.Join(parts, "\n")
}
