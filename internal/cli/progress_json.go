package cli

import (
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/compressc/compressc/executor"
	"github.com/compressc/compressc/planner"
)

// eventFormat is the version of the lines of -progress json; a reader that
// knows 1.x may pass over types and fields it does not know.
const eventFormat = "1.1"

// jsonProgress prints an event a line.
type jsonProgress struct {
	a  *app
	mu sync.Mutex
	t  *tracker
}

func newJSONProgress(a *app, t *tracker) *jsonProgress { return &jsonProgress{a: a, t: t} }

// eventJSON is the shape of a line. The types are "version" first and
// "finished" last, "stage" when further nodes come within reach, "node" when a
// node's state changes, "action_started", "action_progress", "action_waiting"
// and "action_finished", "export" while its files are written, and "note" for what people are told.
type eventJSON struct {
	Type          string    `json:"type"`
	Time          time.Time `json:"time"`
	FormatVersion string    `json:"format_version,omitempty"`
	// Node is an address with its point; Nodes are those of a stage.
	Node    string   `json:"node,omitempty"`
	Nodes   []string `json:"nodes,omitempty"`
	Label   string   `json:"label,omitempty"`
	Kernel  string   `json:"kernel,omitempty"`
	Status  string   `json:"status,omitempty"`
	Rewind  bool     `json:"rewind,omitempty"`
	Seconds float64  `json:"seconds,omitempty"`
	// Done of Total: actions of a node, or the kernel's own measure.
	Done  int `json:"done,omitempty"`
	Total int `json:"total,omitempty"`
	// Bytes of an export that are written.
	Bytes   int64  `json:"bytes,omitempty"`
	Error   string `json:"error,omitempty"`
	Message string `json:"message,omitempty"`
	// SecondsLeft is null while it cannot be told.
	SecondsLeft *float64     `json:"seconds_left,omitempty"`
	Actions     *actionsJSON `json:"actions,omitempty"`
	Memory      *memoryJSON  `json:"memory,omitempty"`
}

type actionsJSON struct {
	Total   int `json:"total"`
	Cached  int `json:"cached"`
	Run     int `json:"run"`
	Failed  int `json:"failed"`
	Skipped int `json:"skipped"`
	Running int `json:"running"`
}

type memoryJSON struct {
	Live     int64 `json:"live"`
	Reserved int64 `json:"reserved"`
	Budget   int64 `json:"budget"`
	Spilled  int64 `json:"spilled"`
}

// print writes one line; the caller holds the lock.
func (p *jsonProgress) print(e eventJSON) {
	e.Time = p.t.now().UTC()
	b, err := json.Marshal(e)
	if err != nil {
		panic(fmt.Sprintf("cli: an event does not encode: %v", err))
	}
	fmt.Fprintf(p.a.Err, "%s\n", b)
}

func (p *jsonProgress) start() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.t.start()
	p.print(eventJSON{Type: "version", FormatVersion: eventFormat})
}

func (p *jsonProgress) stage(steps []*planner.Step) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.t.stage(steps)
	e := eventJSON{Type: "stage"}
	for _, s := range steps {
		e.Nodes = append(e.Nodes, s.Node.Addr())
	}
	p.print(e)
}

func (p *jsonProgress) exporting(e planner.ExportProgress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	state := nodeRunning
	if e.Done {
		state = nodeDone
	}
	p.print(eventJSON{Type: "export", Node: e.Step.Node.Addr(), Status: string(state), Bytes: e.Bytes})
}

func (p *jsonProgress) finish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.print(eventJSON{Type: "finished", Seconds: p.t.elapsed(), Actions: p.actions()})
}

func (p *jsonProgress) note(s string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.print(eventJSON{Type: "note", Message: s})
}

func (p *jsonProgress) actions() *actionsJSON {
	t := p.t.totals
	return &actionsJSON{t.Actions, t.Cached, t.Ran, t.Failed, t.Skipped, t.Running}
}

func (p *jsonProgress) event(e executor.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	changes := p.t.event(e)
	t := e.Totals
	j := eventJSON{Type: "action_" + string(e.Kind), Node: e.Action.Node, Label: e.Action.Label, Status: string(e.Status),
		Rewind: e.Rewind, Seconds: e.Seconds, Done: e.Done, Total: e.Total, Message: e.Holder, Actions: p.actions(),
		Memory: &memoryJSON{t.MemoryLive, t.MemoryReserved, t.MemoryBudget, t.Spilled}}
	if e.Action.Kernel != nil {
		j.Kernel = e.Action.Kernel.Name
	}
	if e.Err != nil {
		j.Error = e.Err.Error()
	}
	if left := p.t.left(); left >= 0 {
		j.SecondsLeft = &left
	}
	p.print(j)
	for _, c := range changes {
		n := eventJSON{Type: "node", Node: c.node.addr, Status: string(c.state), Done: c.node.finished, Total: c.node.total}
		if c.state == nodeDone {
			n.Seconds = c.node.seconds(p.t.now())
		}
		if c.node.err != nil {
			n.Error = c.node.err.Error()
		}
		p.print(n)
	}
}
