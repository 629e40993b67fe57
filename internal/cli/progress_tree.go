package cli

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/compressc/compressc/executor"
	"github.com/compressc/compressc/internal/spell"
	"github.com/compressc/compressc/planner"
)

// treeEvery is the time between two frames of the live tree.
const treeEvery = 100 * time.Millisecond

// treeProgress shows the blocks of a run on a terminal, with the points that
// are at work under them, and redraws them in place.
type treeProgress struct {
	a  *app
	on bool // colours

	mu    sync.Mutex
	t     *tracker
	live  *region
	frame int
	notes []string
	stop  chan struct{}
	wg    sync.WaitGroup
}

func newTreeProgress(a *app, t *tracker) *treeProgress {
	return &treeProgress{a: a, t: t, on: a.colored(a.Err), live: &region{w: a.Err}, stop: make(chan struct{})}
}

func (p *treeProgress) start() {
	p.t.start()
	p.live.begin()
	p.wg.Go(func() {
		tick := time.NewTicker(treeEvery)
		defer tick.Stop()
		for {
			select {
			case <-p.stop:
				return
			case <-tick.C:
				p.draw(false)
			}
		}
	})
}

func (p *treeProgress) stage(steps []*planner.Step) {
	p.mu.Lock()
	p.t.stage(steps)
	p.mu.Unlock()
	p.draw(false)
}

func (p *treeProgress) event(e executor.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.t.event(e)
}

func (p *treeProgress) exporting(e planner.ExportProgress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.t.exporting(e)
}

func (p *treeProgress) note(s string) {
	p.mu.Lock()
	p.notes = append(p.notes, s)
	p.mu.Unlock()
	p.draw(false)
}

func (p *treeProgress) finish() {
	close(p.stop)
	p.wg.Wait()
	p.draw(true)
	p.live.end()
}

// draw shows the next frame; the last one is not cut to the terminal's height.
func (p *treeProgress) draw(last bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	columns, lines := terminalSize(p.a.Err)
	if columns == 0 {
		columns, lines = 80, 24
	}
	p.frame++
	height := lines - 1
	if last {
		height = 1 << 30
	}
	p.live.show(p.notes, p.t.frame(frameOptions{columns: columns, lines: height, colored: p.on, tick: p.frame, last: last}))
	p.notes = nil
}

// frameOptions say how a frame is drawn.
type frameOptions struct {
	columns, lines int
	colored        bool
	tick           int
	// last leaves out what only matters while the run is under way.
	last bool
}

var spinner = []rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")

// group is a block with those of its nodes that the run needs.
type group struct {
	addr  string
	nodes []*tracked
}

func (t *tracker) groups() []group {
	var out []group
	at := map[string]int{}
	for _, n := range t.nodes {
		if n.total == 0 {
			continue
		}
		addr := n.step.Node.Block.Addr()
		i, ok := at[addr]
		if !ok {
			i = len(out)
			at[addr] = i
			out = append(out, group{addr: addr})
		}
		out[i].nodes = append(out[i].nodes, n)
	}
	return out
}

// frame draws the run as it stands.
func (t *tracker) frame(o frameOptions) []string {
	groups := t.groups()
	width := 0
	for _, g := range groups {
		width = max(width, len(g.addr))
	}
	var lines []line
	for _, g := range groups {
		lines = append(lines, t.groupLines(g, width, o)...)
	}
	var foot []line
	if !o.last {
		foot = append(foot, line{{}}, line{{text: "  " + t.footer()}})
	}
	lines = fold(lines, o.lines-len(foot))
	out := make([]string, 0, len(lines)+len(foot))
	for _, l := range append(lines, foot...) {
		out = append(out, l.render(o.columns, o.colored))
	}
	return out
}

// footer is the line about the run as a whole.
func (t *tracker) footer() string {
	// What matters least is last, where a narrow terminal cuts.
	parts := append([]string{t.summary()[0], spell.Seconds(t.elapsed())}, t.summary()[1:]...)
	if t.totals.Failed > 0 {
		parts = append(parts, fmt.Sprintf("%d failed", t.totals.Failed))
	}
	if t.totals.Cached > 0 {
		parts = append(parts, fmt.Sprintf("%d cached", t.totals.Cached))
	}
	if s := t.elapsed(); s >= 1 && t.totals.Ran > 0 {
		parts = append(parts, fmt.Sprintf("%.1f a second", float64(t.totals.Ran)/s))
	}
	return strings.Join(parts, " · ")
}

// groupLines draws one block and its points at work.
func (t *tracker) groupLines(g group, width int, o frameOptions) []line {
	counts := map[nodeState]int{}
	var total, finished int
	var seconds float64
	for _, n := range g.nodes {
		counts[n.state]++
		total += n.total
		finished += n.finished
		seconds = max(seconds, n.seconds(t.now()))
	}
	state := nodeWaiting
	switch {
	case counts[nodeFailed] > 0:
		state = nodeFailed
	case counts[nodeRunning] > 0:
		state = nodeRunning
	case counts[nodeWaiting] == len(g.nodes):
	case counts[nodeWaiting] > 0:
		// Between two of its points.
		state = nodeRunning
	case counts[nodeCached] == len(g.nodes):
		state = nodeCached
	default:
		state = nodeDone
	}
	busy := state == nodeRunning && !o.last
	mark, c := stateMark(state, o)
	text := ""
	switch {
	case state == nodeCached:
		text = "cached"
	case state == nodeDone:
		text = spell.Seconds(seconds)
	case state == nodeFailed && len(g.nodes) == 1:
		text = "failed"
	case state == nodeFailed:
		text = fmt.Sprintf("failed at %d of %d points", counts[nodeFailed], len(g.nodes))
	case busy:
		text = bar(finished, total, 16) + fmt.Sprintf(" %d/%d", finished, total)
		if len(g.nodes) == 1 {
			text += "  " + g.nodes[0].activity()
		}
	case state == nodeRunning:
		text = fmt.Sprintf("stopped at %d of %d", finished, total)
	}
	if state == nodeCached || state == nodeDone {
		for _, n := range g.nodes {
			if n.busy() {
				text += "  " + n.activity()
				break
			}
		}
	}
	if len(g.nodes) > 1 && (state != nodeFailed) {
		points := spell.Plural(len(g.nodes), "point", "points")
		if busy {
			points = fmt.Sprintf("%d of %s", counts[nodeDone]+counts[nodeCached], points)
		}
		text = strings.TrimSpace(points + "  " + text)
	}
	shade := plain
	if state == nodeWaiting || state == nodeCached {
		shade = dim
	}
	lines := []line{{{"  " + mark + " ", c}, {g.addr + strings.Repeat(" ", width-len(g.addr)) + "  ", shade}, {text, dim}}}
	if len(g.nodes) > 1 {
		for _, n := range g.nodes {
			if n.state == nodeFailed || busy && n.state == nodeRunning && n.busy() {
				mark, c := stateMark(n.state, o)
				text := fmt.Sprintf("%d/%d  %s", n.finished, n.total, n.activity())
				if n.state == nodeFailed {
					text = "failed"
				}
				lines = append(lines, line{{"      " + mark + " ", c}, {n.step.Node.Point.String() + "  ", plain}, {text, dim}})
			}
		}
	}
	return lines
}

func stateMark(s nodeState, o frameOptions) (string, color) {
	switch s {
	case nodeDone:
		return "✓", green
	case nodeCached:
		return "=", dim
	case nodeFailed:
		return "✗", red
	case nodeRunning:
		if o.last {
			return "-", yellow
		}
		return string(spinner[o.tick%len(spinner)]), cyan
	}
	return "·", dim
}

// bar draws done of total in n columns.
func bar(done, total, n int) string {
	full := 0
	if total > 0 {
		full = done * n / total
	}
	return strings.Repeat("█", full) + strings.Repeat("░", n-full)
}

// fold cuts a frame to a height: what is ended goes first, from the top, for
// what is at work must be seen.
func fold(lines []line, height int) []line {
	over := len(lines) - height
	if over <= 0 {
		return lines
	}
	over++ // room for the line that says so
	var out []line
	left := 0
	for _, l := range lines {
		mark := strings.TrimSpace(l[0].text)
		if left < over && (mark == "=" || mark == "✓") {
			left++
			continue
		}
		out = append(out, l)
	}
	if left < over {
		cut := min(len(out), over-left)
		out = out[:len(out)-cut]
		left += cut
	}
	return append(out, line{{fmt.Sprintf("    … %d more", left), dim}})
}
