package planner

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"github.com/compressc/compressc/internal/schema"
	"github.com/compressc/compressc/lang"
)

// Status is how a node has ended. The order is that of precedence: a value
// that needs several nodes has the highest status among them.
type Status int

// The statuses.
const (
	Done Status = iota
	// Pending nodes have not ended yet.
	Pending
	// Withheld nodes were not run, for a gate before them did not pass.
	Withheld
	// Failed nodes, or nodes that need a failed one.
	Failed
)

func (s Status) String() string { return [...]string{"ok", "pending", "withheld", "failed"}[s] }

// Outcome is what a run says of a verb's node.
type Outcome struct {
	Status Status
	// Metrics are those of an evaluation that is Done. A metric that is missing
	// or not a number diverged.
	Metrics map[string]float64
}

// Results decides gates, selects and outputs from outcomes. Its answers hold
// for the outcomes at the time of the first question about each node; make a
// new one when more has ended. It is not safe for concurrent use.
type Results struct {
	x       *expander
	of      func(*Node) Outcome
	winners map[*Node]Winner
	tried   map[*Node]*Tried
}

// Results returns the results of a run in which of says how verb nodes ended.
// It is asked about verb nodes that are enabled, and only about those.
func (e *Expansion) Results(of func(*Node) Outcome) *Results {
	return &Results{x: e.x, of: of, winners: map[*Node]Winner{}, tried: map[*Node]*Tried{}}
}

func (r *Results) outcome(n *Node) Outcome {
	if n.Block.Kind != lang.KindVerb || !n.Enabled {
		return Outcome{}
	}
	o := r.of(n)
	if o.Status == Pending && r.withheld(n) {
		o.Status = Withheld
	}
	return o
}

// withheld reports whether a gate that did not pass, or a search that did not come
// to its point, keeps n from running.
func (r *Results) withheld(n *Node) bool {
	seen := map[*Node]bool{} // what two nodes are made of is asked about once
	var visit func(n *Node) bool
	visit = func(n *Node) bool {
		if seen[n] {
			return false
		}
		seen[n] = true
		if search, over := r.Held(n); search != nil {
			return over
		}
		gate, pending := r.Blocked(n)
		return gate != nil && !pending || slices.ContainsFunc(n.DependsOn, func(d *Node) bool {
			return d.Block.Kind != lang.KindSelect && visit(d) // not all candidates are needed
		})
	}
	return visit(n)
}

// status of a value that is made of n.
func (r *Results) status(n *Node) Status {
	if n.Block.Kind == lang.KindSelect {
		return r.Select(n).Status
	}
	s := r.outcome(n).Status
	if n.Block.Kind == lang.KindVerb && !n.Enabled {
		for _, d := range n.DependsOn {
			s = max(s, r.status(d))
		}
	}
	return s
}

// Active reports whether the choices the run has made are those of n. It is
// false as long as one of them is open.
func (r *Results) Active(n *Node) bool {
	for _, c := range n.Choices {
		if r.Select(c.Select).Node != c.Candidate {
			return false
		}
	}
	return true
}

// Decision is a gate's.
type Decision int

// The decisions.
const (
	// Undecided: something the condition needs has failed or not ended.
	Undecided Decision = iota
	Passed
	GateFailed
)

func (d Decision) String() string { return [...]string{"undecided", "passed", "failed"}[d] }

// Verdict is a gate's decision at one point.
type Verdict struct {
	Decision Decision
	// Message says why a gate did not pass.
	Message string
	// Pending is set while Undecided may still change.
	Pending bool
}

// Gate decides a gate node.
func (r *Results) Gate(n *Node) Verdict { return r.x.decide(n, r) }

// decide evaluates a gate's condition, before a run with run nil.
func (x *expander) decide(n *Node, run *Results) Verdict {
	e := x.evaluation(run)
	v, ok := e.attr(n.Block.Body.Attr("condition"), n.place)
	switch {
	case e.status == Pending:
		return Verdict{Undecided, "what it depends on has not ended", true}
	case e.status != Done:
		return Verdict{Undecided, "what it depends on has " + map[Status]string{Failed: "failed", Withheld: "been withheld"}[e.status], false}
	case !ok && len(e.diverged) > 0, ok && v.IsKnown() && v.IsNull():
		return Verdict{GateFailed, divergedMessage(e.diverged), false}
	case !ok:
		return Verdict{GateFailed, e.diags.Error(), false}
	}
	c, err := convert.Convert(v, cty.Bool)
	switch {
	case err != nil:
		return Verdict{GateFailed, err.Error(), false}
	case !c.IsKnown():
		return Verdict{Undecided, "its condition is not known", run == nil}
	case c.True():
		return Verdict{Decision: Passed}
	}
	return Verdict{GateFailed, x.gateMessage(n, run), false}
}

func divergedMessage(paths []string) string {
	if len(paths) == 0 {
		return "diverged"
	}
	return paths[0] + " diverged"
}

func (x *expander) gateMessage(n *Node, run *Results) string {
	a := n.Block.Body.Attr("error_message")
	if a == nil {
		return "the condition of " + n.Addr() + " does not hold"
	}
	v, ok := x.evaluation(run).attr(a, n.place)
	if ok {
		if s, err := convert.Convert(v, cty.String); err == nil && s.IsKnown() && !s.IsNull() {
			return s.AsString()
		}
	}
	return "the condition of " + n.Addr() + " does not hold, and its error_message could not be written"
}

// GateHolds reports whether a gate block as a whole passed: at all its points,
// or at one of them with require = "any".
func (r *Results) GateHolds(b *lang.Block) bool {
	any := r.x.anyGates[b]
	seen := false
	for _, n := range r.x.byBlock[b] {
		if !n.Needed || !r.Active(n) {
			continue
		}
		if search, over := r.Held(n); search != nil && over {
			continue
		}
		seen = true
		if passed := r.Gate(n).Decision == Passed; passed == any {
			return any
		}
	}
	return !seen || !any
}

// Blocked says whether n is withheld by a gate, and by which. A gate that is
// still open is returned with pending true.
func (r *Results) Blocked(n *Node) (gate *Node, pending bool) {
	for _, g := range n.Requires {
		if !r.settledChoices(g) {
			return g, true
		}
		if !r.Active(g) {
			if r.chosen(g) {
				continue // the gate of a candidate that was not chosen
			}
			return g, false
		}
		v := r.Gate(g)
		if v.Decision != Passed {
			return g, v.Pending
		}
	}
	return nil, false
}

// settledChoices reports whether all selects that n hangs on are decided.
func (r *Results) settledChoices(n *Node) bool {
	return !slices.ContainsFunc(n.Choices, func(c Choice) bool { return r.Select(c.Select).Status == Pending })
}

// chosen reports whether all selects that n hangs on have a winner.
func (r *Results) chosen(n *Node) bool {
	return !slices.ContainsFunc(n.Choices, func(c Choice) bool { return r.Select(c.Select).Node == nil })
}

// Winner is a select's decision.
type Winner struct {
	// Node is the candidate chosen, nil unless Status is Done.
	Node   *Node
	Status Status
	// Message says why none was chosen.
	Message string
	// Scores hold the objective of each candidate in their order, null for those
	// that failed, diverged or were filtered out.
	Scores []cty.Value
}

// Select decides a select node: the best candidate, of equals the first. A
// candidate that failed or whose objective diverged cannot win.
func (r *Results) Select(n *Node) Winner {
	if w, ok := r.winners[n]; ok {
		return w
	}
	w := r.decideSelect(n)
	r.winners[n] = w
	return w
}

// objective is what a select compares, and 1 where less is better, else -1.
func objective(b *lang.Block) (*lang.Attr, int) {
	if a := b.Body.Attr("minimize"); a != nil {
		return a, 1
	}
	return b.Body.Attr("maximize"), -1
}

func (r *Results) decideSelect(n *Node) Winner {
	if n.Block.IsSearch() {
		return r.decideSearch(n)
	}
	objective, sign := objective(n.Block)
	var w Winner
	var best cty.Value
	reasons := map[string]int{}
	for _, c := range n.Candidates {
		if !r.Active(c) {
			w.Scores = append(w.Scores, cty.NullVal(cty.Number))
			continue
		}
		score, status, fits, reason := r.score(n, c, objective)
		if status == Pending {
			return Winner{Status: Pending, Message: "its candidates have not all ended"}
		}
		if !fits {
			score = cty.NullVal(cty.Number)
		}
		w.Scores = append(w.Scores, score)
		if reason != "" {
			reasons[reason]++
			continue
		}
		if w.Node == nil || sign*score.AsBigFloat().Cmp(best.AsBigFloat()) < 0 {
			w.Node, best = c, score
		}
	}
	if w.Node == nil {
		w.Status = Failed
		w.Message = fmt.Sprintf("none of the %d candidates can be chosen%s", len(n.Candidates), reasonsText(reasons))
	}
	return w
}

// decideSearch is the winner of a search that is over.
func (r *Results) decideSearch(n *Node) Winner {
	t := r.Tried(n)
	switch {
	case t == nil || !t.Over:
		return Winner{Status: Pending, Message: "it is not over"}
	case t.winner == nil:
		return Winner{Status: Failed, Message: fmt.Sprintf("none of the %d candidates that were tried of %d can be chosen%s", len(t.Nodes), t.Of, reasonsText(t.reasons))}
	}
	return Winner{Node: t.winner, Scores: t.Scores}
}

func reasonsText(reasons map[string]int) string {
	keys := make([]string, 0, len(reasons))
	for k := range reasons {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	text := ""
	for i, k := range keys {
		text += map[bool]string{true: ": ", false: ", "}[i == 0] + fmt.Sprintf("%d %s", reasons[k], k)
	}
	return text
}

// score evaluates the filter and the objective for one candidate; score is null
// where there is none, fits says that the filter lets the candidate through, and
// reason is "" for those that can win.
func (r *Results) score(n, c *Node, objective *lang.Attr) (score cty.Value, status Status, fits bool, reason string) {
	none := cty.NullVal(cty.Number)
	at := r.x.candidatePlace(n, c)
	e := r.x.evaluation(r)
	e.check(c)
	pass := cty.True
	if where := n.Block.Body.Attr("where"); where != nil {
		v, ok := e.attr(where, at)
		if ok {
			if b, err := convert.Convert(v, cty.Bool); err == nil {
				pass = b
			}
		} else {
			pass = cty.NullVal(cty.Bool)
		}
	}
	v, ok := e.attr(objective, at)
	if e.status != Done {
		return none, e.status, false, e.status.String()
	}
	number, err := convert.Convert(v, cty.Number)
	switch {
	case pass.IsKnown() && pass.IsNull() || !ok || err != nil || number.IsKnown() && number.IsNull():
		return none, Done, false, "diverged"
	case !pass.IsKnown() || !number.IsKnown():
		return none, Done, false, "not known"
	case pass.False():
		return number, Done, false, "filtered out by where"
	}
	return number, Done, true, ""
}

// OutputPoint is an output at one point.
type OutputPoint struct {
	// Point by sweep and axis.
	Point  json.RawMessage `json:"point"`
	Status string          `json:"status"`
	// Value is null unless Status is ok.
	Value json.RawMessage `json:"value"`
	// Reason says why there is no value.
	Reason string `json:"reason,omitempty"`
}

// Output is an output block's JSON: {"value": v} or {"points": [...]}. Which
// of the two does not depend on the results.
type Output struct {
	Value  json.RawMessage `json:"value,omitempty"`
	Points []OutputPoint   `json:"points,omitempty"`
	// Status says how the one value ended, "" where it is there.
	Status string `json:"status,omitempty"`
	// Reason says why the one value is null.
	Reason string `json:"reason,omitempty"`
}

// Output evaluates an output block.
func (r *Results) Output(b *lang.Block) Output {
	var out Output
	done := map[string]bool{}
	nodes := slices.DeleteFunc(slices.Clone(r.x.byBlock[b]), func(n *Node) bool { return !n.Needed })
	for i, n := range nodes {
		key := n.Point.String()
		if done[key] {
			continue
		}
		// Of the nodes that differ in their choices one is active, unless a
		// select failed: then any of them can say so.
		activeLater := func() bool {
			return slices.ContainsFunc(nodes[i+1:], func(m *Node) bool { return m.Point.String() == key && r.Active(m) })
		}
		if !r.Active(n) && activeLater() {
			continue
		}
		done[key] = true
		value, status, reason := r.outputValue(n)
		if len(r.x.reachOf(b).axes) == 0 {
			out.Value, out.Reason = value, reason
			if status != Done.String() {
				out.Status = status
			}
			continue
		}
		out.Points = append(out.Points, OutputPoint{mustJSON(pointValue(n.Point, r.x.pipeline.Root)), status, value, reason})
	}
	return out
}

func (r *Results) outputValue(n *Node) (json.RawMessage, string, string) {
	null := json.RawMessage("null")
	for _, c := range n.Choices {
		if w := r.Select(c.Select); w.Status != Done {
			return null, w.Status.String(), c.Select.Addr() + ": " + w.Message
		}
	}
	if search, over := r.Held(n); search != nil {
		if !over {
			return null, Pending.String(), ""
		}
		return null, Withheld.String(), search.Block.Addr() + " did not try this point"
	}
	if gate, pending := r.Blocked(n); gate != nil {
		if pending {
			return null, Pending.String(), ""
		}
		return null, Withheld.String(), gate.Addr() + " did not pass"
	}
	e := r.x.evaluation(r)
	v, ok := e.attr(n.Block.Body.Attr("value"), n.place)
	switch {
	case e.status != Done:
		return null, e.status.String(), ""
	case !ok:
		reason := hcl.Diagnostics(e.diags).Error()
		if len(e.diverged) > 0 {
			reason = divergedMessage(e.diverged)
		}
		return null, Failed.String(), reason
	}
	return mustJSON(v), Done.String(), ""
}

// mustJSON encodes a value for people and programs: without references, with
// what JSON cannot hold (an infinite perplexity) as text.
func mustJSON(v cty.Value) json.RawMessage {
	plain := jsonable(v)
	b, err := ctyjson.Marshal(plain, plain.Type())
	if err != nil {
		panic(fmt.Sprintf("planner: a value of type %s does not encode: %v", plain.Type().FriendlyName(), err))
	}
	return b
}

func jsonable(v cty.Value) cty.Value {
	t := v.Type()
	switch {
	case !v.IsKnown() || v.IsNull():
		return cty.NullVal(cty.String)
	case t == cty.Number && v.AsBigFloat().IsInf():
		return cty.StringVal(map[bool]string{true: "-Infinity", false: "Infinity"}[v.AsBigFloat().Signbit()])
	case t.IsObjectType() || t.IsMapType():
		attrs := map[string]cty.Value{}
		for it := v.ElementIterator(); it.Next(); {
			k, e := it.Element()
			if k.AsString() != schema.RefAttr {
				attrs[k.AsString()] = jsonable(e)
			}
		}
		return cty.ObjectVal(attrs)
	case t.IsTupleType() || t.IsListType() || t.IsSetType():
		var list []cty.Value
		for it := v.ElementIterator(); it.Next(); {
			_, e := it.Element()
			list = append(list, jsonable(e))
		}
		return cty.TupleVal(list)
	case t.IsCapsuleType():
		return cty.NullVal(cty.String)
	}
	return v
}
