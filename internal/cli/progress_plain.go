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

// plainEvery is the time between two lines of progress in a pipe.
const plainEvery = 5 * time.Second

// plainProgress prints a line when a node changes its state, and one every few
// seconds while nothing does: for pipes and logs, where a line an action would
// bury what matters.
type plainProgress struct {
	a     *app
	every time.Duration

	mu     sync.Mutex
	t      *tracker
	spoken time.Time
	// cached are the nodes that were found in the cache since the last line.
	cached []string
	stop   chan struct{}
	wg     sync.WaitGroup
}

func newPlainProgress(a *app, t *tracker) *plainProgress {
	return &plainProgress{a: a, t: t, every: plainEvery, stop: make(chan struct{})}
}

func (p *plainProgress) start() {
	p.t.start()
	p.spoken = p.t.began
	p.wg.Go(func() {
		tick := time.NewTicker(p.every / 5)
		defer tick.Stop()
		for {
			select {
			case <-p.stop:
				return
			case <-tick.C:
				p.mu.Lock()
				if p.t.now().Sub(p.spoken) >= p.every {
					p.tell()
				}
				p.mu.Unlock()
			}
		}
	})
}

func (p *plainProgress) stage(steps []*planner.Step) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.t.stage(steps)
}

func (p *plainProgress) exporting(e planner.ExportProgress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.t.exporting(e)
}

func (p *plainProgress) finish() {
	close(p.stop)
	p.wg.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flush()
}

func (p *plainProgress) note(s string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flush()
	fmt.Fprintln(p.a.Err, s)
}

func (p *plainProgress) event(e executor.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.t.event(e) {
		n := c.node
		switch c.state {
		case nodeCached:
			p.cached = append(p.cached, n.addr)
		case nodeRunning:
			p.line("%s: started", n.addr)
		case nodeDone:
			text := fmt.Sprintf("%s: done in %s", n.addr, spell.Seconds(n.seconds(p.t.now())))
			if n.ran < n.total {
				text += fmt.Sprintf(", %d of %s cached", n.total-n.ran, spell.Plural(n.total, "action", "actions"))
			}
			p.line("%s", text)
		case nodeFailed:
			p.line("%s: failed: %s", n.addr, oneLine(n.err))
		}
	}
	if e.Kind == executor.EventWaiting {
		p.line("%s %s: waits for %s", e.Action.Node, e.Action.Label, e.Holder)
	}
}

// line prints a line with the time since the run began.
func (p *plainProgress) line(format string, args ...any) {
	p.flush()
	p.print(fmt.Sprintf(format, args...))
}

func (p *plainProgress) print(text string) {
	p.spoken = p.t.now()
	fmt.Fprintf(p.a.Err, "[%7.1fs] %s\n", p.t.elapsed(), text)
}

// flush tells of the cached nodes all at once.
func (p *plainProgress) flush() {
	if len(p.cached) == 0 {
		return
	}
	list := p.cached
	p.cached = nil
	text := strings.Join(list, ", ")
	if len(list) > 6 {
		text = fmt.Sprintf("%s and %d more", strings.Join(list[:5], ", "), len(list)-5)
	}
	p.print(text + ": cached")
}

// tell prints where the run stands.
func (p *plainProgress) tell() {
	p.flush()
	var at []string
	for _, n := range p.t.nodes {
		if n.state == nodeRunning && len(n.running) > 0 && len(at) < 3 {
			at = append(at, fmt.Sprintf("%s %d/%d", n.addr, n.finished, n.total))
		}
	}
	p.print("… " + strings.Join(append(at, p.t.summary()...), ", "))
}

// summary is where the run stands as a whole: actions, exports, time left, memory.
// It has one part at least.
func (t *tracker) summary() []string {
	var s []string
	if t.totals.Actions > 0 || len(t.exports) == 0 {
		s = append(s, fmt.Sprintf("%d of %s", t.finished(), spell.Plural(t.totals.Actions, "action", "actions")))
	}
	for _, e := range t.exports {
		s = append(s, fmt.Sprintf("%s of %s written", spell.Bytes(e.Bytes), e.Step.Node.Addr()))
	}
	if left := t.left(); left >= 0.5 {
		s = append(s, "about "+spell.Seconds(left)+" left")
	}
	if t.totals.MemoryBudget > 0 {
		s = append(s, fmt.Sprintf("memory %s of %s", spell.Bytes(t.totals.MemoryLive+t.totals.MemoryReserved), spell.Bytes(t.totals.MemoryBudget)))
	}
	if t.totals.Spilled > 0 {
		s = append(s, spell.Bytes(t.totals.Spilled)+" moved to disk")
	}
	return s
}

// oneLine is an error's first line.
func oneLine(err error) string {
	if err == nil {
		return ""
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
