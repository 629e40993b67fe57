package cli

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/compressc/compressc/executor"
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/lang"
	"github.com/compressc/compressc/planner"
)

var noKernel = action.NewKernel("cli.test", 1, func(*action.Context, int) error { return nil })

// toyRun is a tracker over hand-made nodes: "a.x" with two actions, and two
// points of "b.y", which share the second action of a.x and have one of their
// own each.
type toyRun struct {
	*tracker
	clock   time.Time
	actions map[string]*action.Action
}

func newToyRun() *toyRun {
	r := &toyRun{clock: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), actions: map[string]*action.Action{}}
	g := action.NewGraph()
	add := func(name, node, label string, in ...string) *action.Action {
		s := action.Spec{Kernel: noKernel, Params: len(r.actions), Node: node, Label: label, Outputs: []action.Output{{Name: "out"}}}
		for _, i := range in {
			s.Inputs = append(s.Inputs, action.Input{Name: i, Ref: action.Ref{Action: r.actions[i], Output: "out"}})
		}
		r.actions[name] = g.Add(s)
		return r.actions[name]
	}
	a1, a2 := add("a1", "a.x", "block 0"), add("a2", "a.x", "block 1", "a1")
	b1, b2 := add("b1", "b.y[s.v=1]", "head", "a2"), add("b2", "b.y[s.v=2]", "head", "a2")
	point := func(i int) planner.Point {
		return planner.Point{{Axis: &planner.Axis{Sweep: &lang.Block{Name: "s"}, Name: "v", Texts: []string{"1", "2"}}, Index: i}}
	}
	plan := &planner.Plan{Graph: g}
	step := func(block *lang.Block, p planner.Point, actions ...*action.Action) {
		plan.Steps = append(plan.Steps, &planner.Step{Node: &planner.Node{Block: block, Point: p}, Actions: actions})
	}
	ax, by := &lang.Block{Type: "a", Name: "x"}, &lang.Block{Type: "b", Name: "y"}
	step(ax, nil, a1, a2)
	step(by, point(0), a2, b1)
	step(by, point(1), a2, b2)
	costs := &planner.Prediction{Costs: map[*action.Action]float64{a1: 1, a2: 1, b1: 2, b2: 4}}
	r.tracker = newTracker(plan, costs)
	r.tracker.now = func() time.Time { return r.clock }
	r.tracker.start()
	// The toy nodes have no results, so that their targets are given by hand.
	r.tracker.adopt(map[*action.Action]bool{a1: true, a2: true, b1: true, b2: true})
	return r
}

// send plays an event and returns the changes as "node state".
func (r *toyRun) send(kind executor.EventKind, name string, status executor.Status, change ...func(*executor.Event)) string {
	e := executor.Event{Kind: kind, Action: r.actions[name], Status: status, Totals: r.totals}
	e.Totals.Actions = len(r.actions)
	if kind == executor.EventFinished && !e.Rewind {
		switch status {
		case executor.Cached:
			e.Totals.Cached++
		case executor.Ran:
			e.Totals.Ran++
		case executor.Failed:
			e.Totals.Failed++
		}
	}
	for _, f := range change {
		f(&e)
	}
	var out []string
	for _, c := range r.event(e) {
		out = append(out, c.node.addr+" "+string(c.state))
	}
	return strings.Join(out, ", ")
}

func (r *toyRun) picture(last bool) string {
	return strings.Join(r.frame(frameOptions{columns: 100, lines: 40, tick: 1, last: last}), "\n") + "\n"
}

func TestTrackerStates(t *testing.T) {
	r := newToyRun()
	expect := func(got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("changes %q, want %q", got, want)
		}
	}
	pictures := "--- at the start\n" + r.picture(false)
	expect(r.send(executor.EventFinished, "a1", executor.Cached), "")
	expect(r.send(executor.EventStarted, "a2", ""), "a.x running")
	r.clock = r.clock.Add(2 * time.Second)
	r.send(executor.EventProgress, "a2", "", func(e *executor.Event) { e.Done, e.Total = 3, 12 })
	pictures += "--- a2 under way\n" + r.picture(false)
	// The shared action ends one node and begins none.
	expect(r.send(executor.EventFinished, "a2", executor.Ran), "a.x done")
	expect(r.send(executor.EventStarted, "b1", ""), "b.y[s.v=1] running")
	expect(r.send(executor.EventStarted, "b2", ""), "b.y[s.v=2] running")
	r.clock = r.clock.Add(2 * time.Second)
	pictures += "--- both points under way\n" + r.picture(false)
	expect(r.send(executor.EventFinished, "b1", executor.Ran), "b.y[s.v=1] done")
	pictures += "--- one point left\n" + r.picture(false)
	expect(r.send(executor.EventFinished, "b2", executor.Failed, func(e *executor.Event) { e.Err = errors.New("no") }), "b.y[s.v=2] failed")
	pictures += "--- the end\n" + r.picture(true)
	golden(t, "tree.txt", pictures)
}

// A second report of an action that was finished before changes nothing.
func TestTrackerRewind(t *testing.T) {
	r := newToyRun()
	for _, name := range []string{"a1", "a2", "b1", "b2"} {
		r.send(executor.EventFinished, name, executor.Cached)
	}
	again := func(e *executor.Event) { e.Rewind = true }
	if got := r.send(executor.EventStarted, "a1", "", again); got != "" {
		t.Errorf("beginning again changed %s", got)
	}
	if got := r.picture(false); !strings.Contains(got, "= a.x  cached  block 0, again for its bytes") {
		t.Errorf("what runs again is not shown:\n%s", got)
	}
	if got := r.send(executor.EventFinished, "a1", executor.Ran, again); got != "" {
		t.Errorf("having run again changed %s", got)
	}
	for _, n := range r.nodes {
		if n.finished != n.total || n.ran != 0 {
			t.Errorf("%s: %d of %d, %d run", n.addr, n.finished, n.total, n.ran)
		}
	}
}

// rounding is what estimates may differ by from exact fractions.
const rounding = 1e-9

// The time left follows from what has been done of what was planned.
func TestTimeLeft(t *testing.T) {
	r := newToyRun()
	if got := r.left(); got >= 0 {
		t.Errorf("%v s left before anything ran", got)
	}
	r.send(executor.EventStarted, "a1", "")
	r.clock = r.clock.Add(4 * time.Second)
	r.send(executor.EventFinished, "a1", executor.Ran)
	if got := r.left(); math.Abs(got-28) > rounding {
		t.Errorf("%v s left after 1 of 8 units in 4 s, want 28", got)
	}
	// What another process did, or what is cached after all, is no work.
	r.send(executor.EventFinished, "a2", executor.Cached)
	if got := r.left(); math.Abs(got-24) > rounding {
		t.Errorf("%v s left after 1 of 7 units in 4 s, want 24", got)
	}
	r.send(executor.EventStarted, "b2", "")
	r.send(executor.EventProgress, "b2", "", func(e *executor.Event) { e.Done, e.Total = 1, 2 })
	if got, want := r.fraction(), 3.0/7; math.Abs(got-want) > rounding {
		t.Errorf("fraction %v, want %v", got, want)
	}
}

// A frame that is higher than the terminal loses what is done first.
func TestFold(t *testing.T) {
	mark := func(s string) line { return line{{text: "  " + s + " "}, {text: s}} }
	lines := []line{mark("="), mark("✓"), mark("·"), mark("⠙"), mark("✓")}
	for height, want := range map[int]string{5: "=✓·⠙✓", 4: "·⠙✓…", 3: "·⠙…", 2: "·…"} {
		got := ""
		for _, l := range fold(lines, height) {
			got += string([]rune(strings.TrimSpace(l[0].text))[0])
		}
		if got != want {
			t.Errorf("%d lines: %q, want %q", height, got, want)
		}
	}
}

// Plain lines: cached nodes together, one line a change.
func TestPlainProgress(t *testing.T) {
	r := newToyRun()
	var b strings.Builder
	p := newPlainProgress(&app{Streams: Streams{Err: &b}}, r.tracker)
	play := func(kind executor.EventKind, name string, status executor.Status) {
		p.event(executor.Event{Kind: kind, Action: r.actions[name], Status: status, Totals: executor.Totals{Actions: 4}})
	}
	play(executor.EventFinished, "a1", executor.Cached)
	play(executor.EventFinished, "a2", executor.Cached)
	play(executor.EventFinished, "b1", executor.Cached)
	play(executor.EventStarted, "b2", "")
	r.clock = r.clock.Add(1500 * time.Millisecond)
	p.tell()
	play(executor.EventFinished, "b2", executor.Ran)
	export := planner.ExportProgress{Step: &planner.Step{Node: &planner.Node{Block: &lang.Block{Type: "export", Name: "z"}}}}
	p.exporting(export)
	export.Bytes = 250e6
	p.exporting(export)
	p.tell()
	export.Done = true
	p.exporting(export)
	p.tell()
	golden(t, "plain.txt", b.String())
}
