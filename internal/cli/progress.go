package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/compressc/compressc/executor"
	"github.com/compressc/compressc/planner"
)

// progress shows a run under way. Its methods may be called from several
// goroutines.
type progress interface {
	start()
	stage([]*planner.Step)
	event(executor.Event)
	note(string)
	finish()
}

func (a *app) newProgress(kind string, plan *planner.Plan) (progress, error) {
	switch kind {
	case "auto":
		if isTerminal(a.Err) && a.colored(a.Err) {
			return newTree(a, plan), nil
		}
		return &plainProgress{a: a}, nil
	case "tty":
		return newTree(a, plan), nil
	case "plain":
		return &plainProgress{a: a}, nil
	case "json":
		return &jsonProgress{a: a}, nil
	}
	return nil, fmt.Errorf("-progress %s: expected auto, tty, plain or json", kind)
}

// plainProgress prints a line an action that ran, for pipes and logs.
type plainProgress struct {
	a     *app
	mu    sync.Mutex
	began time.Time
}

func (p *plainProgress) start()                { p.began = time.Now() }
func (p *plainProgress) stage([]*planner.Step) {}
func (p *plainProgress) finish()               {}

func (p *plainProgress) note(s string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintln(p.a.Err, s)
}

func (p *plainProgress) event(e executor.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e.Kind {
	case executor.EventWaiting:
		fmt.Fprintf(p.a.Err, "%s waits for %s\n", title(e), e.Holder)
	case executor.EventFinished:
		if e.Status == executor.Cached && !e.Rewind || e.Status == executor.Skipped {
			return
		}
		what := fmt.Sprintf("%.1f s", e.Seconds)
		if e.Status == executor.Failed {
			what = "failed: " + e.Err.Error()
		} else if e.Rewind {
			what += ", again for its bytes"
		}
		t := e.Totals
		fmt.Fprintf(p.a.Err, "[%6.1fs %d/%d] %s: %s\n", time.Since(p.began).Seconds(), t.Cached+t.Ran+t.Failed, t.Actions, title(e), what)
	}
}

func title(e executor.Event) string {
	s := e.Action.Node
	if e.Action.Label != "" {
		s += " " + e.Action.Label
	}
	kernel := ""
	if e.Action.Kernel != nil {
		kernel = e.Action.Kernel.Name
	}
	return strings.TrimSpace(s + " (" + kernel + ")")
}

// jsonProgress prints an event a line.
type jsonProgress struct {
	a  *app
	mu sync.Mutex
}

// eventJSON is the shape of a line of -progress json.
type eventJSON struct {
	Type    string    `json:"type"`
	Time    time.Time `json:"time"`
	Node    string    `json:"node,omitempty"`
	Label   string    `json:"label,omitempty"`
	Kernel  string    `json:"kernel,omitempty"`
	Status  string    `json:"status,omitempty"`
	Rewind  bool      `json:"rewind,omitempty"`
	Seconds float64   `json:"seconds,omitempty"`
	Done    int       `json:"done,omitempty"`
	Total   int       `json:"total,omitempty"`
	Error   string    `json:"error,omitempty"`
	Message string    `json:"message,omitempty"`
	Actions *struct {
		Total, Cached, Run, Failed, Skipped, Running int
	} `json:"actions,omitempty"`
}

func (p *jsonProgress) print(e eventJSON) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e.Time = time.Now().UTC()
	b, err := json.Marshal(e)
	if err != nil {
		return
	}
	fmt.Fprintf(p.a.Err, "%s\n", b)
}

func (p *jsonProgress) start()                { p.print(eventJSON{Type: "version", Message: "compressc events 1.0"}) }
func (p *jsonProgress) stage([]*planner.Step) {}
func (p *jsonProgress) finish()               { p.print(eventJSON{Type: "finished"}) }
func (p *jsonProgress) note(s string)         { p.print(eventJSON{Type: "note", Message: s}) }

func (p *jsonProgress) event(e executor.Event) {
	j := eventJSON{Type: "action_" + string(e.Kind), Node: e.Action.Node, Label: e.Action.Label, Status: string(e.Status),
		Rewind: e.Rewind, Seconds: e.Seconds, Done: e.Done, Total: e.Total, Message: e.Holder}
	if e.Action.Kernel != nil {
		j.Kernel = e.Action.Kernel.Name
	}
	if e.Err != nil {
		j.Error = e.Err.Error()
	}
	t := e.Totals
	j.Actions = &struct{ Total, Cached, Run, Failed, Skipped, Running int }{t.Actions, t.Cached, t.Ran, t.Failed, t.Skipped, t.Running}
	p.print(j)
}
