package cli

import (
	"github.com/compressc/compressc/executor"
	"github.com/compressc/compressc/internal/telemetry"
)

// telling has a run's telemetry told of what view is told of.
func telling(view func(executor.Event), t *telemetry.Run) func(executor.Event) {
	if t == nil {
		return view
	}
	return func(e executor.Event) {
		view(e)
		a := telemetry.Action{ID: e.Action.ID, Node: e.Action.Node, Label: e.Action.Label, Kernel: e.Action.Kernel.Name, Rewind: e.Rewind}
		switch e.Kind {
		case executor.EventStarted:
			t.Started(a)
		case executor.EventFinished:
			t.Finished(a, string(e.Status), e.Seconds, e.Err)
			t.Memory(e.Totals.MemoryLive, e.Totals.Spilled)
		}
	}
}
