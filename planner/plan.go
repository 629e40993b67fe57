package planner

import (
	"fmt"
	"slices"

	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/executor"
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/bench"
	"github.com/compressc/compressc/internal/origin"
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
	// held are the actions whose results a remote holds; see Consult.
	held map[*action.Action]bool
	defs map[*action.Action]artifact.Digest // see definitions
}

// Step is a node's share of the graph.
type Step struct {
	Node *Node
	// Actions are those the node asked for, each once; others may have asked
	// for them too.
	Actions []*action.Action
	// Layers and Logs are reports of the node's actions; see passes.Result.
	Layers []passes.LayerReport
	Logs   []action.Ref
	Export *passes.Export
	// Decision is the output that the node's shapes hang on, valid where there
	// is one that could be lowered.
	Decision action.Ref

	// adapter is set where a model's adapter is wanted as well: see WantAdapter.
	adapter bool
}

// Lowerer adds sources to a graph. A Resolver reads them where they lie; mock
// sources have made-up digests, for plans without weights.
type Lowerer interface {
	LowerModel(*action.Graph, *cache.Store, *passes.Model) error
	LowerData(*action.Graph, *cache.Store, *passes.Data) error
	LowerAdapter(*action.Graph, *cache.Store, *passes.Adapter) error
}

// Build lowers what is needed. Every source must be on this machine: an
// expansion with deferred nodes gives an error that names the first.
func Build(e *Expansion, r Lowerer, store *cache.Store) (*Plan, error) {
	p := &Plan{Expansion: e, Graph: action.NewGraph(), byNode: map[*Node]*Step{}}
	for _, n := range e.Nodes {
		if n.Needed && n.Deferred && n.Source() != "" {
			return nil, fmt.Errorf("%s: the source is not on this machine, or its address depends on a variable without a value%s", n.Addr(), fetchHint(n))
		}
	}
	for _, n := range e.Nodes {
		if !n.Needed {
			continue
		}
		s := &Step{Node: n}
		if err := p.advance(s, r, store); err != nil {
			return nil, err
		}
		p.Steps = append(p.Steps, s)
		p.byNode[n] = s
	}
	return p, nil
}

func fetchHint(n *Node) string {
	if source := n.Source(); origin.Remote(source) {
		return fmt.Sprintf(". compressc lock fetches %s; or name a folder or file", source)
	}
	return ""
}

func (p *Plan) lower(s *Step, r Lowerer, store *cache.Store) error {
	n := s.Node
	switch {
	case n.ModelArgs != nil:
		return r.LowerModel(p.Graph, store, n.Result.Model)
	case n.DataArgs != nil:
		return r.LowerData(p.Graph, store, n.Data)
	case n.AdapterArgs != nil:
		return r.LowerAdapter(p.Graph, store, n.Result.Adapter)
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
	if out.Allocation != nil && out.Allocation != n.Result.Allocation {
		*n.Result.Allocation = *out.Allocation
	}
	if out.Report != nil {
		n.Result.Report.Ref = out.Report.Ref
	}
	n.Result.Export = out.Export
	return nil
}

// ModelRefs are all parts of a model.
func ModelRefs(m *passes.Model) []action.Ref {
	refs := append([]action.Ref{m.Config, m.Embed, m.Final}, m.Blocks...)
	if m.Tokenizer.Valid() {
		refs = append(refs, m.Tokenizer)
	}
	return refs
}

// Part is one tree of what a step yields; Prefix goes before the names of its
// leaves.
type Part struct {
	Prefix string
	Ref    action.Ref
}

// WantAdapter makes a node's adapter what is taken out of it, in place of the
// model that it is an update of. It is for plans that are not run yet.
func (p *Plan) WantAdapter(n *Node) error {
	s := p.byNode[n]
	if s == nil || n.Result.Adapter == nil {
		return fmt.Errorf("%s yields no adapter: masked updates, for one, are not a product of two matrices", n.Addr())
	}
	s.adapter = true
	return nil
}

// Parts are the trees of the model, adapter or data that the step yields, without
// a model's tokenizer.
func (s *Step) Parts() []Part {
	m := s.Node.Result.Model
	switch a := s.Node.Result.Adapter; {
	case s.adapter || m == nil && a != nil:
		var parts []Part
		for i, b := range a.Blocks {
			parts = append(parts, Part{a.Base.Type.Config.BlockPrefix(i), b})
		}
		return parts
	case m == nil:
		return []Part{{"", s.Node.Data.Tokens}}
	}
	parts := []Part{{"", m.Config}, {"", m.Embed}, {"", m.Final}}
	for i, b := range m.Blocks {
		parts = append(parts, Part{m.Type.Config.BlockPrefix(i), b})
	}
	return parts
}

// Targets are the outputs that make the step's node complete.
func (s *Step) Targets() []action.Ref {
	n := s.Node
	switch {
	case n.Block.Kind == lang.KindSelect:
		return nil // its model is a candidate's
	case n.Undecided && s.Decision.Valid():
		return []action.Ref{s.Decision}
	case n.Undecided:
		return nil
	case s.Export != nil:
		var refs []action.Ref
		for _, in := range s.Export.Inputs {
			refs = append(refs, in.Ref)
		}
		return refs
	case n.Result.Report != nil:
		refs := []action.Ref{n.Result.Report.Ref}
		if a := n.Result.Allocation; a != nil {
			refs = append(refs, slices.DeleteFunc(slices.Clone(a.Blocks), func(r action.Ref) bool { return !r.Valid() })...)
		}
		return refs
	case n.Result.Model != nil:
		refs := ModelRefs(n.Result.Model)
		if s.adapter {
			refs = append(refs, n.Result.Adapter.Blocks...)
		}
		return refs
	case n.Result.Adapter != nil:
		return n.Result.Adapter.Blocks
	case n.Data != nil:
		return []action.Ref{n.Data.Tokens}
	}
	return nil
}

// Roots are the steps that are wanted for themselves: evaluations, exports,
// candidates of selects and what gates and outputs look at, and what has a report
// on the way to them; the leaves where there are none of those.
func (p *Plan) Roots() []*Step {
	want := map[*Node]bool{}
	any := p.targeted
	for _, n := range p.Nodes {
		if !n.Needed {
			continue
		}
		want[n] = want[n] || n.target
		switch n.Block.Kind {
		case lang.KindVerb:
			if n.Block.IsRoot() && n.Enabled {
				want[n], any = true, true
			}
			// Who looks at what was made of a decision wants to see the decision.
			want[n] = want[n] || n.Result.Report != nil
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
		if s.Node.Undecided {
			// What it decides is needed to go on, whatever it is needed for.
			if s.Decision.Valid() {
				out = append(out, s)
			}
			continue
		}
		if want[s.Node] && (s.Node.Block.Kind == lang.KindVerb || s.Node.Block.Kind == lang.KindModel || (s.Node.Block.Kind == lang.KindData || s.Node.Block.Kind == lang.KindAdapter) && s.Node.target) {
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
	// Costs estimates the wall time in seconds of each action that will run.
	Costs map[*action.Action]float64
	// Seconds estimates the wall time of what will run.
	Seconds float64
	// Bytes estimates what will be written to the store.
	Bytes int64
	// Peak is the largest working set that a single action states.
	Peak int64

	defs     map[*action.Action]artifact.Digest
	recalled map[*action.Action]*executor.Recalled
	entries  map[*action.Action]*cache.Entry
	held     map[*action.Action]bool
	store    *cache.Store
	// structural are what visitStructural has been to.
	structural map[visited]bool
}

// defaultRate turns an action's stated work into time where nothing like it has
// been timed on this machine, and compressc bench has not measured it: floating
// point operations a second.
const defaultRate = 120e9

// definitions are the definition keys of the graph.
func (p *Plan) definitions() map[*action.Action]artifact.Digest {
	if len(p.defs) != len(p.Graph.Actions) {
		p.defs = action.DefKeys(p.Graph)
	}
	return p.defs
}

// Predict looks up which of the steps' results are on record.
func (p *Plan) Predict(store *cache.Store, steps []*Step) *Prediction {
	pr := &Prediction{Of: map[*action.Action]Forecast{}, Costs: map[*action.Action]float64{},
		defs: p.definitions(), entries: map[*action.Action]*cache.Entry{}, held: p.held, store: store,
		structural: map[visited]bool{}}
	reach := Reach(steps)
	needed := slices.DeleteFunc(slices.Clone(p.Graph.Actions), func(a *action.Action) bool { return !reach[a] })
	pr.recalled = executor.Recall(store, needed, pr.defs)
	for _, s := range steps {
		for _, t := range s.Targets() {
			pr.visit(t.Action, t.Output, false)
		}
	}
	pace := pr.pace(p.Graph)
	for _, a := range p.Graph.Actions {
		f := pr.Of[a]
		if f != Work && f != Rerun || a.Kernel.Structural {
			continue
		}
		cost := a.Flops * pace(a)
		if e := pr.entries[a]; e != nil && e.Seconds > 0 {
			cost = e.Seconds
		}
		pr.Costs[a] = cost
		pr.Seconds += cost
		bytes, written := space(a, f)
		pr.Bytes += written
		pr.Peak = max(pr.Peak, bytes)
	}
	return pr
}

// pace returns how many seconds an operation of an action takes: as many as its
// kernel took where results of it are on record, else those of the figures of
// compressc bench, else those of defaultRate.
func (pr *Prediction) pace(g *action.Graph) func(*action.Action) float64 {
	seconds, flops := map[*action.Kernel]float64{}, map[*action.Kernel]float64{}
	for _, a := range g.Actions {
		if e := pr.entries[a]; e != nil && a.Flops > 0 {
			seconds[a.Kernel] += e.Seconds
			flops[a.Kernel] += a.Flops
		}
	}
	rate := defaultRate
	// Figures that cannot be read are none: this is an estimate.
	if f, err := bench.Load(pr.store.Dir()); err == nil {
		if r, ok := f.Rate(bench.Forward); ok && r > 0 {
			rate = r * 1e9
		}
	}
	return func(a *action.Action) float64 {
		if flops[a.Kernel] > 0 {
			return seconds[a.Kernel] / flops[a.Kernel]
		}
		return 1 / rate
	}
}

// space is the working set that a states, and what it will add to the store.
func space(a *action.Action, f Forecast) (working, written int64) {
	working = a.Peak
	for _, o := range a.Outputs {
		working += o.Bytes
		if f == Work && o.Class == action.Durable {
			written += o.Bytes
		}
	}
	return working, written
}

// entry finds the result that a's definition last led to.
func (pr *Prediction) entry(a *action.Action) *cache.Entry {
	if e, ok := pr.entries[a]; ok {
		return e
	}
	var e *cache.Entry
	if r := pr.recalled[a]; r != nil {
		e = &cache.Entry{Action: cache.Digest(r.Key), Seconds: r.Seconds, PeakBytes: r.Peak}
		for i, o := range r.Outputs {
			e.Outputs = append(e.Outputs, cache.Output{Name: a.Outputs[i].Name, Digest: cache.Digest(o.Digest), Bytes: o.Bytes})
		}
	} else if a.Kernel.Structural {
		e = pr.arranged(a)
	} else if key, ok := pr.store.GetDef(cache.Digest(pr.defs[a])); ok {
		if found, ok, err := pr.store.GetEntry(key); err == nil && ok && (pr.held[a] || whole(pr.store, a, found)) {
			e = found
		}
	}
	pr.entries[a] = e
	return e
}

// visit forecasts an output that is wanted: bytes says that its digest alone
// does not do. Then its action must have run in this process, or the bytes lie
// in the store.
func (pr *Prediction) visit(a *action.Action, output string, bytes bool) {
	if a.Leaf != nil {
		return
	}
	if a.Kernel.Structural {
		pr.visitStructural(a, bytes)
		return
	}
	f := Work
	if pr.entry(a) != nil {
		f = Hit
		if bytes && (a.OutputClass(output) != action.Durable || evicted(pr.entry(a), output)) {
			f = Rerun
		}
	}
	if f <= pr.Of[a] {
		return
	}
	pr.Of[a] = f
	for _, in := range a.Inputs {
		pr.visit(in.Ref.Action, in.Ref.Output, f != Hit)
	}
}

// evicted reports whether gc has taken an output's bytes.
func evicted(e *cache.Entry, output string) bool {
	return slices.ContainsFunc(e.Outputs, func(o cache.Output) bool { return o.Name == output && o.Class == cache.Evicted })
}

// digest returns the digest that an output is on record with.
func (pr *Prediction) digest(ref action.Ref) (artifact.Digest, bool) {
	if ref.Action.Leaf == nil && pr.Of[ref.Action] != Hit {
		return "", false
	}
	return pr.recorded(ref)
}

// recorded returns the digest of a source's output, or of the result that an
// action's definition last led to.
func (pr *Prediction) recorded(ref action.Ref) (artifact.Digest, bool) {
	if t := ref.Action.Leaf[ref.Output]; t != nil {
		return t.Digest(), true
	}
	if e := pr.entry(ref.Action); e != nil {
		for _, o := range e.Outputs {
			if o.Name == ref.Output {
				return artifact.Digest(o.Digest), true
			}
		}
	}
	return "", false
}

// Share is a step's part of a prediction.
type Share struct {
	// Total counts the step's actions that the steps asked for need at all; of
	// those Cached are on record, Again must make their bytes again and Run have
	// no result yet.
	Total, Cached, Again, Run int
	// Seconds, Bytes and Peak are as in Prediction; of actions that several
	// steps share, the first to ask for them has Seconds and Bytes.
	Seconds float64
	Bytes   int64
	Peak    int64
}

// Share sums up a step.
func (pr *Prediction) Share(s *Step) Share {
	var sh Share
	for _, a := range s.Actions {
		f := pr.Of[a]
		switch f {
		case Hit:
			sh.Cached++
		case Rerun:
			sh.Again++
		case Work:
			sh.Run++
		default:
			continue
		}
		sh.Total++
		if f == Hit {
			continue
		}
		working, written := space(a, f)
		sh.Peak = max(sh.Peak, working)
		if a.Node == s.Node.Addr() {
			sh.Seconds += pr.Costs[a]
			sh.Bytes += written
		}
	}
	return sh
}

// Reach returns the actions that the steps' targets are made of, sources left
// out.
func Reach(steps []*Step) map[*action.Action]bool {
	seen := map[*action.Action]bool{}
	var visit func(a *action.Action)
	visit = func(a *action.Action) {
		if a == nil || a.Leaf != nil || seen[a] {
			return
		}
		seen[a] = true
		for _, in := range a.Inputs {
			visit(in.Ref.Action)
		}
	}
	for _, s := range steps {
		for _, t := range s.Targets() {
			visit(t.Action)
		}
	}
	return seen
}

// Digest identifies what a node yielded: the tree of the digests of its parts.
func (s *Step) Digest(of func(action.Ref) (artifact.Digest, bool)) artifact.Digest {
	return refsDigest(s.Targets(), of)
}

// refsDigest is "" if a digest is not known.
func refsDigest(refs []action.Ref, of func(action.Ref) (artifact.Digest, bool)) artifact.Digest {
	t := &artifact.Tree{}
	for i, r := range refs {
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
