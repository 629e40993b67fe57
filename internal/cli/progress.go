package cli

import (
	"fmt"

	"github.com/compressc/compressc/executor"
	"github.com/compressc/compressc/internal/didyoumean"
	"github.com/compressc/compressc/planner"
)

// progress shows a run under way on the error stream. Its methods may be called
// from several goroutines.
type progress interface {
	start()
	// stage tells of steps that are about to be brought about.
	stage([]*planner.Step)
	event(executor.Event)
	exporting(planner.ExportProgress)
	// note is a line for people.
	note(string)
	finish()
}

var progressKinds = []string{"auto", "tty", "plain", "json"}

func (a *app) newProgress(kind string, plan *planner.Plan, costs *planner.Prediction) (progress, error) {
	tr := newTracker(plan, costs)
	switch kind {
	case "auto":
		if isTerminal(a.Err) && a.colored(a.Err) {
			return newTreeProgress(a, tr), nil
		}
		return newPlainProgress(a, tr), nil
	case "tty":
		return newTreeProgress(a, tr), nil
	case "plain":
		return newPlainProgress(a, tr), nil
	case "json":
		return newJSONProgress(a, tr), nil
	}
	return nil, fmt.Errorf("-progress %s: expected auto, tty, plain or json.%s", kind, didyoumean.Hint(kind, progressKinds))
}
