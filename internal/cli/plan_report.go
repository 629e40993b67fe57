package cli

import (
	"slices"

	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/internal/record"
	"github.com/compressc/compressc/internal/spell"
	"github.com/compressc/compressc/lang"
	"github.com/compressc/compressc/planner"
)

// planFormat is the version of plan -json: its first part is raised when a
// field changes its meaning or goes, its second when one comes.
const planFormat = "1.3"

// planReport is a plan for people and programs.
type planReport struct {
	FormatVersion string `json:"format_version"`
	Pipeline      string `json:"pipeline"`
	// Work says that a run would compute or write something.
	Work    bool        `json:"work"`
	Actions planActions `json:"actions"`
	// Seconds, PeakBytes and WriteBytes estimate what is to run: its time, its
	// largest working set, what it adds to the cache. Of the models that a
	// select chooses among, the dearest to go on with counts.
	Seconds    float64 `json:"seconds"`
	PeakBytes  int64   `json:"peak_bytes"`
	WriteBytes int64   `json:"write_bytes"`

	Nodes   []planNode   `json:"nodes"`
	Gates   []planGate   `json:"gates"`
	Selects []planSelect `json:"selects"`
	Exports []planExport `json:"exports"`
	// Outputs since 1.1.
	Outputs []planOutput `json:"outputs"`
	// Saved counts the actions that several nodes ask for and that run once.
	Saved int `json:"saved"`
}

type planActions struct {
	Total  int `json:"total"`
	Cached int `json:"cached"`
	// Again are on record, but their bytes are gone and wanted.
	Again int `json:"again"`
	Run   int `json:"run"`
}

// planNode is a block at one point.
type planNode struct {
	Name   string       `json:"name"`
	Point  record.Point `json:"point"`
	Verb   string       `json:"verb"`
	Method string       `json:"method,omitempty"`
	// Status is "cached", "run", "again", "off" (enabled = false), "source", or,
	// since 1.3, "out": what is on record rules the node out, for a gate before it
	// has not passed, another candidate was chosen, or a search is over and has not
	// come to its point.
	Status string `json:"status"`
	// Choice is the candidate for which the node would run, "" if it runs
	// whatever is chosen.
	Choice     string        `json:"choice,omitempty"`
	Actions    planActions   `json:"actions"`
	Seconds    float64       `json:"seconds"`
	PeakBytes  int64         `json:"peak_bytes"`
	WriteBytes int64         `json:"write_bytes"`
	Model      *record.Model `json:"model,omitempty"`
	// Arguments are those at the point, defaults filled in; a reference is the
	// address it leads to. Since 1.1.
	Arguments map[string]any `json:"arguments,omitempty"`
	// After is the node whose run decides the shapes of this one's model; what is
	// known of it before is counted. Since 1.2.
	After string `json:"after,omitempty"`
}

// planGate is a gate at one point: "passed" or "failed" where no run is needed
// to tell, else "after the run".
type planGate struct {
	Name    string       `json:"name"`
	Point   record.Point `json:"point"`
	Status  string       `json:"status"`
	Message string       `json:"message,omitempty"`
	// Arguments are as they are written. Since 1.1.
	Arguments map[string]any `json:"arguments,omitempty"`
	// Expected is "passed" or "failed" where the results on record tell how a gate
	// with status "after the run" will decide, and "out" at a point that a search
	// has not come to. Since 1.3.
	Expected string `json:"expected,omitempty"`
}

// planSelect is a select or, with a method, a search.
type planSelect struct {
	Name       string       `json:"name"`
	Point      record.Point `json:"point"`
	Candidates []string     `json:"candidates"`
	// Method, Most, Tried, Over and Winner since 1.3: the method of a search, how
	// many candidates it tries at most, the first of them, and whether these are
	// all; the candidate that is chosen where what is on record tells.
	Method string   `json:"method,omitempty"`
	Most   int      `json:"most,omitempty"`
	Tried  []string `json:"tried,omitempty"`
	Over   bool     `json:"over,omitempty"`
	Winner string   `json:"winner,omitempty"`
	// Arguments are as they are written. Since 1.1.
	Arguments map[string]any `json:"arguments,omitempty"`
}

// planOutput is an output at one point; its arguments are as they are written.
type planOutput struct {
	Name      string         `json:"name"`
	Point     record.Point   `json:"point"`
	Arguments map[string]any `json:"arguments,omitempty"`
}

// planExport says which files an export block writes, and whether they are
// there already.
type planExport struct {
	Name   string       `json:"name"`
	Point  record.Point `json:"point"`
	Choice string       `json:"choice,omitempty"`
	Files  []string     `json:"files"`
	Status string       `json:"status"`
}

const (
	planRun    = "run"
	planAgain  = "again"
	planCached = "cached"
	planOff    = "off"
	planSource = "source"
	planOut    = "out"
	planWrite  = "write"
	planAsIs   = "unchanged"
	afterRun   = "after the run"
)

// gateFailed reports whether a gate has failed for certain.
func (r *planReport) gateFailed() bool {
	return slices.ContainsFunc(r.Gates, func(g planGate) bool { return g.Status == record.Failed })
}

func newPlanReport(p *planner.Plan, store *cache.Store, name string) *planReport {
	r := &planReport{FormatVersion: planFormat, Pipeline: name, Saved: p.Graph.Reused, Gates: []planGate{}, Selects: []planSelect{}, Exports: []planExport{}, Outputs: []planOutput{}}
	roots := p.Roots()
	first := p.Predict(store, roots)
	outlook := p.Outlook(first)
	certain, choices := split(roots, outlook)
	// Most pipelines decide nothing, and then all three are the same.
	of := func(steps []*planner.Step) *planner.Prediction {
		if len(steps) == len(roots) {
			return first
		}
		return p.Predict(store, steps)
	}
	all := of(slices.DeleteFunc(slices.Clone(roots), func(s *planner.Step) bool { return outlook.Out(s.Node) }))
	expected := of(certain)
	for _, c := range choices {
		if with := p.Predict(store, slices.Concat(certain, c)); with.Seconds > expected.Seconds || len(expected.Of) == 0 {
			expected = with
		}
	}
	r.Seconds, r.PeakBytes, r.WriteBytes = expected.Seconds, expected.Peak, expected.Bytes
	for _, f := range expected.Of {
		switch f {
		case planner.Hit:
			r.Actions.Cached++
		case planner.Rerun:
			r.Actions.Again++
		case planner.Work:
			r.Actions.Run++
		default:
			continue
		}
		r.Actions.Total++
	}
	r.Work = r.Actions.Again+r.Actions.Run > 0
	for _, s := range p.Steps {
		r.add(p, s, all, outlook)
	}
	for _, x := range r.Exports {
		r.Work = r.Work || r.exportStatus(x) == planWrite
	}
	return r
}

// expansionReport is what is known of a pipeline that cannot be planned: its
// blocks, without what they cost.
func expansionReport(e *planner.Expansion) *planReport {
	r := &planReport{FormatVersion: planFormat}
	for _, n := range e.Nodes {
		if !n.Needed {
			continue
		}
		point, args := planner.RecordPoint(n), e.Arguments(n)
		switch n.Block.Kind {
		case lang.KindGate:
			r.Gates = append(r.Gates, planGate{Name: n.Block.Addr(), Point: point, Arguments: args})
		case lang.KindSelect:
			r.Selects = append(r.Selects, planSelect{Name: n.Block.Addr(), Point: point, Arguments: args})
		case lang.KindOutput:
			r.Outputs = append(r.Outputs, planOutput{Name: n.Block.Addr(), Point: point, Arguments: args})
		case lang.KindVerb, lang.KindModel, lang.KindData, lang.KindAdapter:
			r.Nodes = append(r.Nodes, planNode{Name: n.Block.Addr(), Point: point, Verb: n.Block.Type, Method: n.Block.Method, Choice: choiceOf(n), Model: planner.RecordModel(n), Arguments: args})
		}
	}
	return r
}

// exportStatus is the status of an export over all the choices it may hang on:
// they have the same files, so that one choice at most finds them unchanged.
func (r *planReport) exportStatus(x planExport) string {
	for _, y := range r.Exports {
		if spell.Address(x.Name, x.Point) == spell.Address(y.Name, y.Point) && y.Status == planAsIs {
			return planAsIs
		}
	}
	return x.Status
}

// split parts steps into those that run whatever selects choose and, for each
// set of choices, those that run then. Choices that are known from what is on
// record are made.
func split(steps []*planner.Step, o *planner.Outlook) (certain []*planner.Step, choices [][]*planner.Step) {
	at := map[string]int{}
	for _, s := range steps {
		if !o.Expected(s.Node) {
			continue
		}
		c := choiceOf(s.Node)
		if c == "" || o.Chosen(s.Node) {
			certain = append(certain, s)
			continue
		}
		i, ok := at[c]
		if !ok {
			i = len(choices)
			at[c] = i
			choices = append(choices, nil)
		}
		choices[i] = append(choices[i], s)
	}
	return certain, choices
}

// choiceOf spells the candidates that a node stands for.
func choiceOf(n *planner.Node) string {
	text := ""
	for _, c := range n.Choices {
		if text != "" {
			text += ", "
		}
		text += c.Candidate.Addr()
	}
	return text
}

// add takes up one step.
func (r *planReport) add(p *planner.Plan, s *planner.Step, pr *planner.Prediction, o *planner.Outlook) {
	n := s.Node
	point := planner.RecordPoint(n)
	switch n.Block.Kind {
	case lang.KindGate:
		g := planGate{Name: n.Block.Addr(), Point: point, Status: afterRun, Arguments: p.Arguments(n)}
		if v := n.Settled; v != nil {
			g.Status, g.Message = v.Decision.String(), v.Message
		} else if o.Out(n) {
			g.Expected = planOut
		} else if v := o.Verdict(n); v.Decision != planner.Undecided {
			g.Expected, g.Message = v.Decision.String(), v.Message
		}
		r.Gates = append(r.Gates, g)
		return
	case lang.KindSelect:
		sel := planSelect{Name: n.Block.Addr(), Point: point, Candidates: []string{}, Arguments: p.Arguments(n)}
		for _, c := range n.Candidates {
			sel.Candidates = append(sel.Candidates, c.Addr())
		}
		sel.follow(n, o)
		r.Selects = append(r.Selects, sel)
		return
	case lang.KindOutput:
		r.Outputs = append(r.Outputs, planOutput{Name: n.Block.Addr(), Point: point, Arguments: p.Arguments(n)})
		return
	case lang.KindVerb, lang.KindModel, lang.KindData, lang.KindAdapter:
	default:
		return
	}
	out := o.Out(n)
	if s.Export != nil && !out {
		x := planExport{Name: n.Block.Addr(), Point: point, Choice: choiceOf(n), Files: s.Export.Files, Status: planWrite}
		if p.Written(s, pr) {
			x.Status = planAsIs
		}
		r.Exports = append(r.Exports, x)
	}
	sh := pr.Share(s)
	node := planNode{Name: n.Block.Addr(), Point: point, Verb: n.Block.Type, Method: n.Block.Method, Choice: choiceOf(n),
		Actions: planActions{sh.Total, sh.Cached, sh.Again, sh.Run}, Seconds: sh.Seconds, PeakBytes: sh.Peak, WriteBytes: sh.Bytes,
		Model: planner.RecordModel(n), Arguments: p.Arguments(n)}
	switch {
	case out:
		node.Status = planOut
	case n.Undecided:
		node.Status, node.After = planRun, planner.DecidedBy(n)
		r.Work = true
	case n.Block.Kind == lang.KindModel:
		node.Status = planSource
	case !n.Enabled:
		node.Status, node.Model = planOff, nil
	case sh.Run > 0:
		node.Status = planRun
	case sh.Again > 0:
		node.Status = planAgain
	default:
		node.Status = planCached
	}
	r.Nodes = append(r.Nodes, node)
}

// follow says how far a choice goes by what is on record.
func (sel *planSelect) follow(n *planner.Node, o *planner.Outlook) {
	if w := o.Winner(n); w != nil {
		sel.Winner = w.Addr()
	}
	if n.Hunt == nil {
		return
	}
	sel.Method, sel.Most = n.Hunt.Method.Name, len(n.Candidates)
	if t := o.Tried(n); t != nil {
		sel.Most, sel.Over = t.Most, t.Over
		for _, c := range t.Nodes {
			sel.Tried = append(sel.Tried, c.Addr())
		}
	}
}
