package planner

import (
	"encoding/json"
	"slices"

	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/lang"
)

// Outlook follows gates, selects and searches as far as what is on record leads:
// what a run would do, without running anything. Like a Prediction it only
// predicts.
type Outlook struct {
	p   *Plan
	pr  *Prediction
	res *Results
	// ends are the outcomes that were looked up, out the answers of Out.
	ends map[*Node]Outcome
	out  map[*Node]bool
}

// Outlook looks into the store; pr is a prediction of all roots.
func (p *Plan) Outlook(pr *Prediction) *Outlook {
	o := &Outlook{p: p, pr: pr, ends: map[*Node]Outcome{}, out: map[*Node]bool{}}
	o.res = p.Expansion.Results(o.outcome)
	return o
}

// outcome is how a verb's node ended when it last ran as it is now.
func (o *Outlook) outcome(n *Node) Outcome {
	if end, ok := o.ends[n]; ok {
		return end
	}
	end := Outcome{Status: Pending}
	if s := o.p.byNode[n]; s != nil && !n.Undecided && o.recorded(s) {
		end.Status = Done
		if n.Result.Report != nil {
			if end.Metrics = o.metrics(n); end.Metrics == nil {
				end.Status = Pending
			}
		}
	}
	o.ends[n] = end
	return end
}

// recorded reports whether what a step yields is on record, and of an export
// whether its files are there.
func (o *Outlook) recorded(s *Step) bool {
	targets := s.Targets()
	if len(targets) == 0 || slices.ContainsFunc(targets, func(t action.Ref) bool {
		return t.Action == nil || t.Action.Leaf == nil && o.pr.entry(t.Action) == nil
	}) {
		return false
	}
	return s.Export == nil || o.p.Written(s, o.pr)
}

// metrics reads an evaluation's report, nil if it is not at hand.
func (o *Outlook) metrics(n *Node) map[string]float64 {
	t := o.pr.tree(n.Result.Report.Ref)
	if t == nil {
		return nil
	}
	e, ok := t.Lookup("report")
	if !ok {
		return nil
	}
	b, err := o.pr.store.Open(cache.Digest(e.Digest))
	if err != nil {
		return nil // gone, or elsewhere: the run makes it again
	}
	defer b.Release()
	m, err := metricsOf(n, b.Bytes())
	if err != nil {
		return nil
	}
	return m
}

// metricsOf takes an evaluation's metrics out of its report.
func metricsOf(n *Node, report []byte) (map[string]float64, error) {
	var all map[string]any
	if err := json.Unmarshal(report, &all); err != nil {
		return nil, err
	}
	m := map[string]float64{}
	for _, metric := range n.Result.Report.Metrics {
		if x, ok := all[metric.Name].(float64); ok {
			m[metric.Name] = x
		}
	}
	return m, nil
}

// Tried is how far a search comes by what is on record, nil if its candidates are
// open.
func (o *Outlook) Tried(n *Node) *Tried { return o.res.Tried(n) }

// Verdict is how a gate decides by what is on record: Undecided where that does
// not tell.
func (o *Outlook) Verdict(n *Node) Verdict { return o.res.Gate(n) }

// Winner is what a select or a search chooses by what is on record, nil if that
// does not tell.
func (o *Outlook) Winner(n *Node) *Node { return o.res.Select(n).Node }

// Out reports whether what is on record rules a node out: another candidate has
// won, a gate before it has not passed, or a search has not come to its point.
func (o *Outlook) Out(n *Node) bool {
	out, known := o.out[n]
	if !known {
		out = !o.res.Active(n) && o.res.settledChoices(n) || o.res.withheld(n) ||
			slices.ContainsFunc(n.DependsOn, func(d *Node) bool { return d.Block.Kind != lang.KindSelect && o.Out(d) })
		o.out[n] = out
	}
	return out
}

// Chosen reports whether all choices that a node stands for have been made, for
// it.
func (o *Outlook) Chosen(n *Node) bool { return o.res.Active(n) }

// Expected reports whether a run may well come to a node: a search that is not
// over comes to as many further candidates as its method tries at most, taken
// here in their order.
func (o *Outlook) Expected(n *Node) bool {
	if o.Out(n) {
		return false
	}
	by, _ := o.res.Held(n)
	if by == nil {
		return true
	}
	for _, s := range o.res.x.searches {
		if !s.Needed || !o.res.searches(s, n) {
			continue
		}
		tried, most := []*Node(nil), len(s.Candidates)
		if t := o.res.Tried(s); t != nil {
			tried, most = t.Nodes, t.Most
		}
		left := most - len(tried)
		for _, c := range s.Candidates {
			if slices.Contains(tried, c) {
				continue
			}
			if left--; left < 0 {
				break
			}
			if agrees(n, c) {
				return true
			}
		}
	}
	return false
}
