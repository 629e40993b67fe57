package cli

import (
	"fmt"
	"slices"
	"time"

	"github.com/compressc/compressc/executor"
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/planner"
)

// nodeState is how a node of a run under way stands.
type nodeState string

const (
	nodeWaiting nodeState = "waiting"
	nodeRunning nodeState = "running"
	nodeCached  nodeState = "cached"
	nodeDone    nodeState = "done"
	nodeFailed  nodeState = "failed"
)

// tracked is one node: its actions count as far as the run needs them.
type tracked struct {
	step  *planner.Step
	addr  string
	state nodeState
	// total of its actions are needed, finished have ended, ran of those were
	// computed in this run.
	total, finished, ran, failed int
	running                      map[*action.Action]share
	began, ended                 time.Time
	// err is the first failure.
	err error
}

// share is how far one action has come.
type share struct {
	began       time.Time
	done, total int
	rewind      bool
	holder      string
}

// change is a node's new state, to be told of.
type change struct {
	node  *tracked
	state nodeState
}

// tracker turns a run's actions into the state of its nodes. It is not safe for
// concurrent use: each view guards its own.
type tracker struct {
	now   func() time.Time
	began time.Time

	plan   *planner.Plan
	nodes  []*tracked // in the order of the plan
	byAct  map[*action.Action][]*tracked
	costs  map[*action.Action]float64
	ended  map[*action.Action]bool
	steps  []*planner.Step
	needed map[*action.Action]bool
	totals executor.Totals
	// exports are those being written.
	exports []planner.ExportProgress

	// spent and planned add up the estimates of what has run and of all that
	// will: their ratio, not their size, is what can be relied on.
	spent, planned float64
	firstRun       time.Time
}

func newTracker(plan *planner.Plan, pr *planner.Prediction) *tracker {
	t := &tracker{now: time.Now, byAct: map[*action.Action][]*tracked{}, ended: map[*action.Action]bool{}, needed: map[*action.Action]bool{}}
	if pr != nil {
		t.costs = pr.Costs
	}
	t.plan = plan
	t.take()
	return t
}

// take takes up the steps of the plan that have something to do: decisions give
// more of them as the run goes on.
func (t *tracker) take() {
	if t.plan == nil {
		return
	}
	known := map[*planner.Step]*tracked{}
	for _, n := range t.nodes {
		known[n.step] = n
	}
	t.nodes = nil
	for _, s := range t.plan.Steps {
		if !slices.ContainsFunc(s.Actions, func(a *action.Action) bool { return a.Leaf == nil }) {
			continue
		}
		n := known[s]
		if n == nil {
			n = &tracked{step: s, addr: s.Node.Addr(), state: nodeWaiting, running: map[*action.Action]share{}}
		}
		t.nodes = append(t.nodes, n)
	}
}

func (t *tracker) start() { t.began = t.now() }

// stage takes up steps that are about to be brought about.
func (t *tracker) stage(steps []*planner.Step) {
	t.take()
	t.steps = append(t.steps, steps...)
	t.adopt(planner.Reach(t.steps))
}

// adopt takes up the actions that are needed from now on.
func (t *tracker) adopt(reach map[*action.Action]bool) {
	t.byAct = map[*action.Action][]*tracked{}
	for _, n := range t.nodes {
		if n.total = 0; !wanted(n.step, reach) {
			continue // others have asked for what it shares with them
		}
		n.finished = 0
		seen := map[*action.Action]bool{}
		for _, a := range n.step.Actions {
			if reach[a] && !seen[a] {
				seen[a] = true
				n.total++
				if t.ended[a] {
					n.finished++ // of an earlier stage, perhaps for others
				}
				t.byAct[a] = append(t.byAct[a], n)
			}
		}
		if n.total > n.finished {
			n.ended = time.Time{} // a later stage wants more of it
		}
	}
	t.needed = reach
	t.planned = 0
	for _, n := range t.nodes {
		for _, a := range n.step.Actions {
			// In the order of the plan, so that the sum is the same each time.
			if t.needed[a] && a.Node == n.addr {
				t.planned += t.costs[a]
			}
		}
	}
}

// wanted reports whether something that a step yields is needed.
func wanted(s *planner.Step, reach map[*action.Action]bool) bool {
	targets := s.Targets()
	return len(targets) == 0 || slices.ContainsFunc(targets, func(t action.Ref) bool { return reach[t.Action] })
}

// event takes an event in and returns the nodes whose state it changed.
func (t *tracker) event(e executor.Event) []change {
	t.totals = e.Totals
	var out []change
	for _, n := range t.byAct[e.Action] {
		if before := n.state; t.apply(n, e) && n.state != before {
			out = append(out, change{n, n.state})
		}
	}
	switch e.Kind {
	case executor.EventStarted:
		if t.firstRun.IsZero() {
			t.firstRun = t.now()
		}
	case executor.EventFinished:
		if !e.Rewind && e.Status != executor.Skipped {
			t.ended[e.Action] = true
		}
		if e.Status == executor.Cached && !e.Rewind {
			// It was planned as work, and another process or early cutoff has
			// done it.
			t.planned -= t.costs[e.Action]
		} else if e.Status == executor.Ran || e.Rewind {
			t.spent += t.costs[e.Action]
		}
	}
	return out
}

// exporting takes in how far an export has come.
func (t *tracker) exporting(e planner.ExportProgress) {
	i := slices.IndexFunc(t.exports, func(x planner.ExportProgress) bool { return x.Step == e.Step })
	switch {
	case i < 0 && !e.Done:
		t.exports = append(t.exports, e)
	case i >= 0 && e.Done:
		t.exports = slices.Delete(t.exports, i, i+1)
	case i >= 0:
		t.exports[i] = e
	}
}

// apply updates one node; it reports whether that may have changed its state.
func (t *tracker) apply(n *tracked, e executor.Event) bool {
	switch e.Kind {
	case executor.EventStarted:
		n.running[e.Action] = share{began: t.now(), rewind: e.Rewind}
		// What several nodes share begins with the one that asked first.
		if e.Action.Node == n.addr && n.began.IsZero() && !e.Rewind {
			n.began = t.now()
		}
	case executor.EventProgress:
		s := n.running[e.Action]
		s.done, s.total = e.Done, e.Total
		n.running[e.Action] = s
		return false
	case executor.EventWaiting:
		s, ok := n.running[e.Action]
		if !ok {
			s.began = t.now()
		}
		if e.Action.Node == n.addr && n.began.IsZero() {
			n.began = s.began
		}
		s.holder = e.Holder
		n.running[e.Action] = s
	case executor.EventFinished:
		delete(n.running, e.Action)
		if e.Rewind && e.Status != executor.Failed {
			break
		}
		if t.ended[e.Action] {
			break
		}
		switch e.Status {
		case executor.Skipped:
			return false
		case executor.Failed:
			n.failed++
			if n.err == nil {
				n.err = e.Err
			}
		case executor.Ran:
			n.ran++
		}
		n.finished++
	}
	switch {
	case n.failed > 0:
		n.state = nodeFailed
	case !n.ended.IsZero():
		// Complete; what runs again for its bytes does not change that.
	case n.finished >= n.total && len(n.running) == 0:
		n.state, n.ended = nodeDone, t.now()
		if n.ran == 0 {
			n.state = nodeCached
		}
	case !n.began.IsZero():
		n.state = nodeRunning
	}
	return true
}

// fraction is the share of the planned work that is done, counting what runs.
func (t *tracker) fraction() float64 {
	if t.planned <= 0 {
		return 0
	}
	done := t.spent
	seen := map[*action.Action]bool{}
	for _, n := range t.nodes {
		for _, a := range n.step.Actions {
			if s, ok := n.running[a]; ok && !seen[a] && s.total > 0 {
				seen[a] = true
				done += float64(t.costs[a] * float64(s.done) / float64(s.total))
			}
		}
	}
	return min(done/t.planned, 1)
}

// left estimates the seconds to go; it is negative while nothing is known.
func (t *tracker) left() float64 {
	f := t.fraction()
	if t.firstRun.IsZero() || f < 0.01 {
		return -1
	}
	elapsed := t.now().Sub(t.firstRun).Seconds()
	if elapsed < 1 {
		return -1
	}
	return elapsed * (1 - f) / f
}

// elapsed is the time since the run began, in seconds.
func (t *tracker) elapsed() float64 { return t.now().Sub(t.began).Seconds() }

// finished counts the run's actions that have ended well or badly.
func (t *tracker) finished() int { return t.totals.Cached + t.totals.Ran + t.totals.Failed }

// activity says what a running node is at: "block 3" or "3 blocks", in words
// of its actions' labels.
func (n *tracked) activity() string {
	type item struct {
		a *action.Action
		s share
	}
	var items []item
	for _, a := range n.step.Actions {
		if s, ok := n.running[a]; ok && !slices.ContainsFunc(items, func(i item) bool { return i.a == a }) {
			items = append(items, item{a, s})
		}
	}
	if len(items) == 0 {
		return ""
	}
	first := items[0]
	text := first.a.Label
	switch {
	case first.s.holder != "":
		return "waits for " + first.s.holder
	case first.s.total > 1:
		text += fmt.Sprintf(" (%d of %d)", first.s.done, first.s.total)
	}
	if first.s.rewind {
		text += ", again for its bytes"
	}
	if len(items) > 1 {
		text += fmt.Sprintf(" and %d more", len(items)-1)
	}
	return text
}

// busy reports whether work that is the node's own is under way: what several
// points share is shown once, for the first of them.
func (n *tracked) busy() bool {
	for a := range n.running {
		if a.Node == n.addr {
			return true
		}
	}
	return false
}

// seconds is how long the node has been, or was, at work.
func (n *tracked) seconds(now time.Time) float64 {
	if n.began.IsZero() {
		return 0
	}
	if !n.ended.IsZero() {
		now = n.ended
	}
	return now.Sub(n.began).Seconds()
}
