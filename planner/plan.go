package planner

import (
	"fmt"
	"slices"

	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/lang"
	"github.com/compressc/compressc/passes"
)

// Plan is an expansion lowered to actions.
type Plan struct {
	*Expansion
	Graph *action.Graph
	// Steps hold what each needed node was lowered to, in the order of Nodes.
	Steps []*Step

	byNode map[*Node]*Step
}

// Step is a node's share of the graph.
type Step struct {
	Node *Node
	// Actions are those the node asked for, each once; others may have asked
	// for them too.
	Actions []*action.Action
	// Layers and Logs are reports of the node's actions; see passes.Result.
	Layers, Logs []action.Ref
	Export       *passes.Export
}

// Build lowers what is needed. Every source must be on this machine: an
// expansion with deferred nodes gives an error that names the first.
func Build(e *Expansion, r *Resolver, store *cache.Store) (*Plan, error) {
	p := &Plan{Expansion: e, Graph: action.NewGraph(), byNode: map[*Node]*Step{}}
	for _, n := range e.Nodes {
		if n.Needed && n.Deferred && (n.ModelArgs != nil || n.DataArgs != nil) {
			return nil, fmt.Errorf("%s: the source is not on this machine, or its address depends on a variable without a value%s", n.Addr(), fetchHint(n))
		}
	}
	for _, n := range e.Nodes {
		if !n.Needed {
			continue
		}
		s := &Step{Node: n}
		seen := map[*action.Action]bool{}
		p.Graph.Added = func(a *action.Action) {
			if !seen[a] {
				seen[a] = true
				s.Actions = append(s.Actions, a)
			}
		}
		if err := p.lower(s, r, store); err != nil {
			return nil, err
		}
		p.Steps = append(p.Steps, s)
		p.byNode[n] = s
	}
	p.Graph.Added = nil
	return p, nil
}

func fetchHint(n *Node) string {
	if n.ModelArgs == nil {
		return ""
	}
	return fmt.Sprintf(". For a hub model, download it into the local Hugging Face cache first (hf download %s), or name a folder or file",
		trimScheme(n.ModelArgs.Source))
}

func trimScheme(s string) string {
	if len(s) > 5 && s[:5] == "hf://" {
		return s[5:]
	}
	return s
}

func (p *Plan) lower(s *Step, r *Resolver, store *cache.Store) error {
	n := s.Node
	switch {
	case n.ModelArgs != nil:
		return r.LowerModel(p.Graph, store, n.Result.Model)
	case n.DataArgs != nil:
		return r.LowerData(p.Graph, store, n.Data)
	case n.Block.Kind != lang.KindVerb || !n.Enabled:
		return nil
	}
	out := n.Block.Pass.Lower(n.Call, p.Graph, n.Result)
	s.Layers, s.Logs, s.Export = out.Layers, out.Logs, out.Export
	// Downstream calls hold the typed values; what they point to is filled in.
	if out.Model != nil && out.Model != n.Result.Model {
		*n.Result.Model = *out.Model
	}
	if out.Adapter != nil && out.Adapter != n.Result.Adapter {
		*n.Result.Adapter = *out.Adapter
	}
	if out.Report != nil {
		n.Result.Report.Ref = out.Report.Ref
	}
	n.Result.Export = out.Export
	return nil
}

// Step returns a node's share, nil for nodes that are not needed.
func (p *Plan) Step(n *Node) *Step { return p.byNode[n] }

// ModelRefs are all parts of a model.
func ModelRefs(m *passes.Model) []action.Ref {
	refs := append([]action.Ref{m.Config, m.Embed, m.Final}, m.Blocks...)
	if m.Tokenizer.Valid() {
		refs = append(refs, m.Tokenizer)
	}
	return refs
}

// Targets are the outputs that make the step's node complete.
func (s *Step) Targets() []action.Ref {
	n := s.Node
	switch {
	case s.Export != nil:
		var refs []action.Ref
		for _, in := range s.Export.Inputs {
			refs = append(refs, in.Ref)
		}
		return refs
	case n.Result.Report != nil:
		return []action.Ref{n.Result.Report.Ref}
	case n.Result.Model != nil:
		return ModelRefs(n.Result.Model)
	case n.Data != nil:
		return []action.Ref{n.Data.Tokens}
	}
	return nil
}

// Roots are the steps that are wanted for themselves: evaluations, exports,
// candidates of selects and what gates and outputs look at; the leaves where
// there are none of those.
func (p *Plan) Roots() []*Step {
	want := map[*Node]bool{}
	any := false
	for _, n := range p.Nodes {
		if !n.Needed {
			continue
		}
		switch n.Block.Kind {
		case lang.KindVerb:
			if n.Block.IsRoot() && n.Enabled {
				want[n], any = true, true
			}
		case lang.KindGate, lang.KindOutput, lang.KindSelect:
			any = true
			for _, d := range slices.Concat(n.DependsOn, n.Watches, n.Candidates) {
				want[d] = true
			}
		}
	}
	if !any {
		used := map[*Node]bool{}
		for _, n := range p.Nodes {
			for _, d := range n.DependsOn {
				used[d] = used[d] || n.Needed
			}
		}
		for _, n := range p.Nodes {
			if n.Needed && !used[n] && n.Block.Kind == lang.KindVerb {
				want[n] = true
			}
		}
	}
	var out []*Step
	for _, s := range p.Steps {
		if want[s.Node] && (s.Node.Block.Kind == lang.KindVerb || s.Node.Block.Kind == lang.KindModel) {
			out = append(out, s)
		}
	}
	return out
}

// Forecast is what a plan expects of an action.
type Forecast int

// The forecasts.
const (
	// Unneeded actions give nothing that is not at hand already.
	Unneeded Forecast = iota
	// Hit: the result is on record.
	Hit
	// Rerun: the result is on record, but its bytes are gone and an action that
	// will run needs them.
	Rerun
	// Work: there is no result yet.
	Work
)

// Prediction forecasts every action from the definition index, without running
// anything.
type Prediction struct {
	Of map[*action.Action]Forecast
	// Seconds estimates the wall time of what will run.
	Seconds float64
	// Bytes estimates what will be written to the store.
	Bytes int64
	// Peak is the largest working set that a single action states.
	Peak int64
}

// rate turns an action's stated work into time where nothing like it has been
// timed on this machine: floating point operations a second.
const rate = 120e9

// Predict looks up which of the steps' results are on record.
func (p *Plan) Predict(store *cache.Store, steps []*Step) *Prediction {
	defs := action.DefKeys(p.Graph)
	pr := &Prediction{Of: map[*action.Action]Forecast{}}
	entries := map[*action.Action]*cache.Entry{}
	hit := func(a *action.Action) *cache.Entry {
		if e, ok := entries[a]; ok {
			return e
		}
		var e *cache.Entry
		if key, ok := store.GetDef(cache.Digest(defs[a])); ok {
			if found, ok, err := store.GetEntry(key); err == nil && ok {
				e = found
			}
		}
		entries[a] = e
		return e
	}
	// needBytes of an output: its action must have run in this process, or its
	// bytes lie in the store.
	var visit func(a *action.Action, output string, bytes bool)
	visit = func(a *action.Action, output string, bytes bool) {
		if a.Leaf != nil {
			return
		}
		e := hit(a)
		f := Work
		if e != nil {
			f = Hit
			if bytes && a.OutputClass(output) != action.Durable {
				f = Rerun
			}
		}
		old := pr.Of[a]
		if f <= old {
			return
		}
		pr.Of[a] = f
		for _, in := range a.Inputs {
			visit(in.Ref.Action, in.Ref.Output, f != Hit)
		}
	}
	for _, s := range steps {
		for _, t := range s.Targets() {
			visit(t.Action, t.Output, false)
		}
	}
	for _, a := range p.Graph.Actions {
		f := pr.Of[a]
		if f != Work && f != Rerun {
			continue
		}
		if e := entries[a]; e != nil && e.Seconds > 0 {
			pr.Seconds += e.Seconds
		} else {
			pr.Seconds += a.Flops / rate
		}
		bytes := a.Peak
		for _, o := range a.Outputs {
			bytes += o.Bytes
			if f == Work && o.Class == action.Durable {
				pr.Bytes += o.Bytes
			}
		}
		pr.Peak = max(pr.Peak, bytes)
	}
	return pr
}

// Digest identifies what a node yielded: the tree of the digests of its parts.
func (s *Step) Digest(of func(action.Ref) (artifact.Digest, bool)) artifact.Digest {
	t := &artifact.Tree{}
	for i, r := range s.Targets() {
		d, ok := of(r)
		if !ok {
			return ""
		}
		t.Entries = append(t.Entries, artifact.Entry{Name: fmt.Sprintf("%06d", i), Digest: d})
	}
	if len(t.Entries) == 0 {
		return ""
	}
	return t.Digest()
}
