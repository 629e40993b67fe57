package all

import (
	"testing"

	"github.com/compressc/compressc/internal/action"
)

// A run makes what its nodes' targets hang on: a report of an action beside them
// would never be there.
func TestReportsComeWithResults(t *testing.T) {
	plan, _ := planned(t, everyKernelDir(t), 1)
	reached := map[*action.Action]bool{}
	var reach func(*action.Action)
	reach = func(a *action.Action) {
		if reached[a] {
			return
		}
		reached[a] = true
		for _, in := range a.Inputs {
			reach(in.Ref.Action)
		}
	}
	for _, s := range plan.Steps {
		for _, ref := range s.Targets() {
			reach(ref.Action)
		}
	}
	reports := 0
	for _, s := range plan.Steps {
		for _, l := range s.Layers {
			if reports++; !reached[l.Ref.Action] {
				t.Errorf("%s: the report on block %d comes from an action, %s, that nothing needs", s.Node.Addr(), l.Block, l.Ref.Action.Label)
			}
		}
	}
	if reports == 0 {
		t.Error("no node reports on its layers")
	}
}
