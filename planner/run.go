package planner

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/executor"
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/record"
	"github.com/compressc/compressc/lang"
	"github.com/compressc/compressc/passes"
)

// RunOptions configure a run.
type RunOptions struct {
	Executor executor.Options
	// Name identifies the pipeline in the run's record: its path.
	Name    string
	Version string
	// Stop, when closed, ends the run once what is under way is finished.
	Stop <-chan struct{}
	// Stage is told of the steps that are about to be brought about: gates and
	// selects let later ones through.
	Stage func([]*Step)
	// Exporting is told how far the files of an export have come.
	Exporting func(ExportProgress)
	// Collect is called for each root that has ended well, with a way to read
	// what it yields; an error is the root's failure.
	Collect func(ctx context.Context, s *Step, value Reader) error
}

// Reader loads a value; the function it returns releases it.
type Reader func(ctx context.Context, ref action.Ref) (*artifact.Value, func(), error)

// execution is one run of a plan.
type execution struct {
	*Plan
	o    RunOptions
	ex   *executor.Executor
	rec  *record.Record
	done map[*Step]bool // roots that have been tried
	// failures by step: what went wrong beyond its actions.
	failures map[*Step]error
	exports  map[*Step][]record.File
	// exportSeconds is what writing and checking the files took.
	exportSeconds map[*Step]float64
	metrics       map[*Node]map[string]float64
	reports       map[*Node]json.RawMessage
	journal       *cache.Run
}

// Run brings a plan's roots about and returns the record, which is also kept in
// the store. The error is about the run itself; failed actions and gates are in
// the record.
func (p *Plan) Run(ctx context.Context, o RunOptions) (*record.Record, error) {
	start := time.Now()
	o.Executor.Recall, o.Executor.Defs = true, p.definitions()
	// Decisions make the graph grow; what does not fit is only not noted.
	note := keepNotes(&o.Executor, 2*len(p.Graph.Actions)+1<<14)
	ex, err := executor.New(p.Graph, o.Executor)
	if err != nil {
		return nil, err
	}
	defer ex.Close()
	r := &execution{Plan: p, o: o, ex: ex, done: map[*Step]bool{}, failures: map[*Step]error{}, exports: map[*Step][]record.File{}, exportSeconds: map[*Step]float64{},
		metrics: map[*Node]map[string]float64{}, reports: map[*Node]json.RawMessage{}}
	if r.journal, err = o.Executor.Store.BeginRun(o.Name); err != nil {
		return nil, err
	}
	defer r.journal.Close()
	ex.SeedSample(r.journal.ID())
	folder, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	r.rec = &record.Record{FormatVersion: record.FormatVersion, ID: r.journal.ID(), Version: o.Version, Pipeline: o.Name, Folder: folder, Time: start.UTC(),
		Threads: ex.Threads(), MemoryBytes: ex.Memory()}
	defer r.watchStop()()
	endNotes := sync.OnceFunc(note(ex, r.journal))
	defer endNotes()
	runErr := r.stages(ctx)
	var fit *executor.FitError
	if errors.As(runErr, &fit) {
		return nil, runErr
	}
	r.finish(runErr, time.Since(start))
	raw, err := json.Marshal(r.rec)
	if err != nil {
		return nil, fmt.Errorf("the run's record does not encode: %w", err)
	}
	endNotes() // a finished journal takes no more
	if err := r.journal.Finish(raw); err != nil {
		return nil, err
	}
	return r.rec, nil
}

// keepNotes has every action that ends well written into the run's journal, so
// that gc spares it even if the run is killed. The executor's events may not ask
// the executor for the key, so that somebody else does: note starts that, until
// the function it returns is called. There are at most n actions.
func keepNotes(o *executor.Options, n int) (note func(*executor.Executor, *cache.Run) (end func())) {
	ended := make(chan *action.Action, n)
	events := o.Events
	o.Events = func(e executor.Event) {
		if e.Kind == executor.EventFinished && !e.Rewind && (e.Status == executor.Ran || e.Status == executor.Cached) {
			select {
			case ended <- e.Action:
			default: // never: each action ends well once
			}
		}
		if events != nil {
			events(e)
		}
	}
	logf := o.Logf
	return func(ex *executor.Executor, journal *cache.Run) func() {
		done := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				case a := <-ended:
					key := ex.Outcome(a).Key
					if key == "" {
						continue
					}
					if err := journal.Root(cache.Digest(key)); err != nil {
						if logf != nil {
							logf("%v; were the run killed, cache gc could take what it had finished", err)
						}
						return
					}
				}
			}
		})
		return func() {
			close(done)
			wg.Wait()
		}
	}
}

// watchStop passes a stop on to the executor until the function it returns is
// called. The executor forgets a stop between two of its runs, so that it is
// told again and again.
func (r *execution) watchStop() (end func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		select {
		case <-r.o.Stop:
		case <-done:
			return
		}
		again := time.NewTicker(20 * time.Millisecond)
		defer again.Stop()
		for {
			r.ex.Stop()
			select {
			case <-again.C:
			case <-done:
				return
			}
		}
	})
	return func() {
		close(done)
		wg.Wait()
	}
}

// stopped reports whether the run was asked to end.
func (r *execution) stopped() bool {
	select {
	case <-r.o.Stop:
		return true
	default:
		return false
	}
}

// stages runs what can be decided, looks at gates and selects, and goes on with
// what they let through.
func (r *execution) stages(ctx context.Context) error {
	for {
		res := r.Expansion.Results(r.outcome)
		var steps []*Step
		for _, s := range r.Roots() {
			if r.done[s] || !r.open(res, s.Node) {
				continue
			}
			steps = append(steps, s)
		}
		// The models that selects chose.
		for _, n := range r.Nodes {
			if n.Block.Kind != lang.KindSelect || !n.Needed {
				continue
			}
			if w := res.Select(n); w.Node != nil && r.byNode[w.Node] != nil && !r.done[r.byNode[w.Node]] && r.open(res, w.Node) {
				if s := r.byNode[w.Node]; !slices.Contains(steps, s) {
					steps = append(steps, s)
				}
			}
		}
		if len(steps) == 0 {
			return nil
		}
		if r.stopped() {
			return executor.ErrStopped
		}
		if r.o.Stage != nil {
			r.o.Stage(steps)
		}
		var targets []action.Ref
		for _, s := range steps {
			r.done[s] = true
			targets = append(targets, s.Targets()...)
		}
		result, err := r.ex.Run(ctx, targets)
		r.rec.Actions.Compared += result.Compared
		var fit *executor.FitError
		if errors.As(err, &fit) || ctx.Err() != nil || errors.Is(err, executor.ErrStopped) {
			return err
		}
		decided := false
		for _, s := range steps {
			if s.Node.Undecided {
				yes, err := r.decide(ctx, s)
				if err != nil {
					r.failures[s] = err
				}
				decided = decided || yes
				continue
			}
			if err := r.collect(ctx, s); err != nil {
				r.failures[s] = err
			}
		}
		if decided {
			r.goOn()
		}
		for _, s := range r.Steps {
			if s.Node.Block.Kind == lang.KindVerb && r.outcome(s.Node).Status == Done {
				r.ex.CompleteNode(s.Node.Addr())
			}
		}
	}
}

// open reports whether a node may run now: the choices made are its own, and no
// gate before it or before what it is made of holds it back.
func (r *execution) open(res *Results, n *Node) bool {
	if !res.Active(n) {
		return false
	}
	if search, _ := res.Held(n); search != nil {
		return false
	}
	if gate, _ := res.Blocked(n); gate != nil {
		return false
	}
	for _, d := range n.DependsOn {
		if d.Block.Kind == lang.KindSelect {
			if res.Select(d).Node == nil {
				return false
			}
			continue
		}
		if !r.open(res, d) {
			return false
		}
	}
	return true
}

// outcome says how a verb's node has ended by itself: what withholds it is for
// Results to say.
func (r *execution) outcome(n *Node) Outcome {
	s := r.byNode[n]
	if s == nil {
		return Outcome{Status: Pending}
	}
	if r.failures[s] != nil {
		return Outcome{Status: Failed}
	}
	status := r.status(s)
	if status == Done && n.Undecided {
		status = Pending
		if slices.ContainsFunc(n.DependsOn, func(d *Node) bool { return (d.Undecided || d.Broken) && r.outcome(d).Status == Failed }) {
			status = Failed
		}
	}
	if status == Done && s.Export != nil && r.exports[s] == nil {
		status = Pending
	}
	return Outcome{Status: status, Metrics: r.metrics[n]}
}

// status is that of the step's targets.
func (r *execution) status(s *Step) Status {
	status := Done
	for _, t := range s.Targets() {
		if t.Action == nil {
			return Pending
		}
		switch r.ex.Outcome(t.Action).Status {
		case executor.Failed:
			return Failed
		case executor.Skipped:
			var dep *executor.DependencyError
			if errors.As(r.ex.Outcome(t.Action).Err, &dep) {
				return Failed
			}
			status = Pending
		case executor.Pending:
			if t.Action.Leaf == nil {
				status = Pending
			}
		}
	}
	return status
}

// collect reads an evaluation's report or writes an export's files.
func (r *execution) collect(ctx context.Context, s *Step) error {
	if r.status(s) != Done {
		return nil
	}
	switch {
	case s.Node.Result.Report != nil:
		raw, err := r.leaf(ctx, s.Node.Result.Report.Ref, "report")
		if err != nil {
			return err
		}
		m, err := metricsOf(s.Node, raw)
		if err != nil {
			return fmt.Errorf("%s: its report does not parse: %w", s.Node.Addr(), err)
		}
		r.metrics[s.Node], r.reports[s.Node] = m, raw
	case s.Export != nil:
		start := time.Now()
		files, err := r.write(ctx, s)
		if err != nil {
			return err
		}
		r.exports[s], r.exportSeconds[s] = files, time.Since(start).Seconds()
	}
	if r.o.Collect != nil {
		return r.o.Collect(ctx, s, r.ex.Value)
	}
	return nil
}

// leaf returns a copy of one leaf's bytes.
func (r *execution) leaf(ctx context.Context, ref action.Ref, name string) ([]byte, error) {
	v, release, err := r.ex.Value(ctx, ref)
	if err != nil {
		return nil, err
	}
	defer release()
	b, err := v.Bytes(name)
	return slices.Clone(b), err
}

// digest returns the digest of an output, if it is known.
func (r *execution) digest(ref action.Ref) (artifact.Digest, bool) {
	if ref.Action == nil {
		return "", false
	}
	if t := ref.Action.Leaf[ref.Output]; t != nil {
		return t.Digest(), true
	}
	d, ok := r.ex.Outcome(ref.Action).Digests[ref.Output]
	return d, ok
}

// finish fills in the record.
func (r *execution) finish(runErr error, wall time.Duration) {
	rec := r.rec
	rec.Seconds = wall.Seconds()
	rec.PeakAnonBytes = r.ex.PeakAnon()
	rec.Status = record.OK
	res := r.Expansion.Results(r.outcome)
	for _, a := range r.Graph.Actions {
		if !a.Computes() {
			continue
		}
		o := r.ex.Outcome(a)
		count(&rec.Actions, o.Status)
		if o.Key != "" && (o.Status == executor.Cached || o.Status == executor.Ran) {
			rec.Roots = append(rec.Roots, string(o.Key))
		}
	}
	for _, a := range r.Axes {
		rec.Axes = append(rec.Axes, a.ID())
	}
	r.recordText()
	r.recordFailures()
	rec.Nodes = []record.Node{}
	rec.Evaluations = []record.Evaluation{}
	if rec.Roots == nil {
		rec.Roots = []string{}
	}
	open := map[string]bool{}
	for _, s := range r.Steps {
		n := s.Node
		if !res.Active(n) && res.settledChoices(n) {
			continue
		}
		if search, _ := res.Held(n); search != nil {
			continue // the search says what it has tried
		}
		if len(n.Choices) > 0 && !res.Active(n) {
			if open[n.Addr()] {
				continue // of the nodes for candidates that may be chosen, one says so
			}
			open[n.Addr()] = true
		}
		switch n.Block.Kind {
		case lang.KindVerb, lang.KindModel, lang.KindData, lang.KindAdapter:
			r.recordNode(res, s)
		case lang.KindGate:
			v := res.Gate(n)
			g := record.Gate{Name: n.Block.Addr(), Point: RecordPoint(n), Message: v.Message}
			switch v.Decision {
			case Passed:
				g.Status = record.Passed
			case GateFailed:
				g.Status = record.Failed
			default:
				g.Status = record.Undecided
			}
			rec.Gates = append(rec.Gates, g)
		case lang.KindSelect:
			w := res.Select(n)
			sel := record.Selection{Name: n.Block.Addr(), Point: RecordPoint(n), Status: w.Status.String()}
			if w.Node != nil {
				sel.Winner = w.Node.Addr()
			}
			if t := res.Tried(n); t != nil {
				sel.Method, sel.Of, sel.Most = n.Block.Method, t.Of, t.Most
				for i, c := range t.Nodes {
					sel.Tried = append(sel.Tried, record.Try{Candidate: c.Addr(), Score: mustJSON(t.Scores[i])})
				}
			}
			if w.Status == Failed {
				sel.Error = w.Message
				r.worsen(record.GateFailed)
			}
			rec.Selections = append(rec.Selections, sel)
		}
	}
	for _, b := range r.Pipeline.Blocks {
		if b.Kind == lang.KindGate && !b.Broken && !res.GateHolds(b) {
			r.worsen(record.GateFailed)
		}
		if b.Kind == lang.KindOutput && slices.ContainsFunc(r.Of(b), func(n *Node) bool { return n.Needed }) {
			out := res.Output(b)
			rec.Outputs = append(rec.Outputs, record.Output{Name: b.Name, Output: out})
		}
	}
	if rec.Actions.Failed > 0 || len(r.failures) > 0 {
		r.worsen(record.Failed)
	}
	if errors.Is(runErr, executor.ErrStopped) || errors.Is(runErr, context.Canceled) {
		rec.Status = record.Interrupted
	}
}

// worsen sets the run's status unless it is worse already.
func (r *execution) worsen(status string) {
	rank := map[string]int{record.OK: 0, record.GateFailed: 1, record.Failed: 2}
	if rank[status] > rank[r.rec.Status] {
		r.rec.Status = status
	}
}

func count(c *record.Counts, s executor.Status) {
	c.Total++
	switch s {
	case executor.Cached:
		c.Cached++
	case executor.Ran:
		c.Run++
	case executor.Failed:
		c.Failed++
	default:
		c.Skipped++
	}
}

func (r *execution) recordNode(res *Results, s *Step) {
	n := s.Node
	out := record.Node{Name: n.Block.Addr(), Point: RecordPoint(n), Verb: n.Block.Type, Method: n.Block.Method, Arguments: r.Arguments(n)}
	var errs []string
	for _, a := range s.Actions {
		o := r.ex.Outcome(a)
		count(&out.Actions, o.Status)
		// Work that several nodes share counts where it was asked for first.
		if a.Node == n.Addr() && o.Status == executor.Ran {
			out.Seconds += o.Seconds
		}
		if o.Status == executor.Ran {
			out.PeakBytes = max(out.PeakBytes, o.PeakBytes)
		}
		if o.Worker != "" {
			if out.Workers == nil {
				out.Workers = map[string]int{}
			}
			out.Workers[o.Worker]++
		}
		if o.Status == executor.Failed && len(errs) < 3 {
			errs = append(errs, o.Err.Error())
		}
	}
	switch st := res.outcome(n).Status; {
	case n.Block.Kind == lang.KindVerb && !n.Enabled:
		out.Status = record.Skipped
	case r.failures[s] != nil:
		out.Status = record.Failed
		errs = append(errs, r.failures[s].Error())
	case len(errs) > 0 || st == Failed && n.Block.Kind == lang.KindVerb:
		out.Status = record.Failed
	case n.Block.Kind == lang.KindModel || (n.Block.Kind == lang.KindData || n.Block.Kind == lang.KindAdapter) && r.status(s) == Done:
		out.Status = record.Cached
		if out.Actions.Run > 0 {
			out.Status = record.Run
		}
	case st == Withheld:
		out.Status = record.Withheld
	case st == Pending && (n.Result.Model != nil || n.Result.Adapter != nil) && r.partial(s):
		out.Status = record.Run
	case st == Pending:
		out.Status = record.Skipped
	case out.Actions.Run > 0:
		out.Status = record.Run
	default:
		out.Status = record.Cached
	}
	if len(errs) > 0 {
		out.Error = errs[0]
		for _, e := range errs[1:] {
			out.Error += "\n" + e
		}
	}
	if out.Status != record.Failed && out.Status != record.Withheld {
		out.Digest = string(s.Digest(r.digest))
	}
	if n.Enabled {
		out.Model = RecordModel(n)
	}
	out.Source = n.Source()
	if files := r.exports[s]; files != nil && out.Status != record.Failed {
		out.Status, out.Digest, out.Seconds = record.Cached, filesDigest(files), r.exportSeconds[s]
		if slices.ContainsFunc(files, func(f record.File) bool { return f.Written }) {
			out.Status = record.Run
		}
	}
	r.layers(s, &out)
	r.rec.Nodes = append(r.rec.Nodes, out)
	if n.Result.Report != nil && n.Block.Kind == lang.KindVerb {
		e := record.Evaluation{Name: n.Block.Addr(), Point: RecordPoint(n), Status: out.Status, Metrics: map[string]*float64{}, Report: r.reports[n]}
		if m := subject(n); m != nil {
			e.Of, e.Model = m.Addr(), RecordModel(m)
		}
		for _, m := range n.Result.Report.Metrics {
			e.Metrics[m.Name] = nil
			if x, ok := r.metrics[n][m.Name]; ok && !math.IsNaN(x) && !math.IsInf(x, 0) {
				e.Metrics[m.Name] = &x
			}
		}
		r.rec.Evaluations = append(r.rec.Evaluations, e)
	}
	if s.Export != nil {
		r.rec.Exports = append(r.rec.Exports, record.Export{Name: n.Block.Addr(), Point: RecordPoint(n), Status: out.Status, Files: r.exports[s], Error: out.Error})
	}
}

// filesDigest identifies what an export wrote.
func filesDigest(files []record.File) string {
	var all []byte
	for _, f := range files {
		all = append(all, f.Digest...)
	}
	return string(artifact.Sum(all))
}

// recordText keeps what the pipeline was: its files, variables and graph.
func (r *execution) recordText() {
	for _, name := range slices.Sorted(maps.Keys(r.Pipeline.Files)) {
		b := r.Pipeline.Files[name].Bytes
		r.rec.Text = append(r.rec.Text, record.File{Path: name, Digest: string(artifact.Sum(b)), Bytes: int64(len(b))})
	}
	for _, b := range r.Pipeline.Blocks {
		if b.Kind != lang.KindVariable || b.Sensitive || !b.Value.IsWhollyKnown() {
			continue
		}
		if r.rec.Variables == nil {
			r.rec.Variables = map[string]any{}
		}
		r.rec.Variables[b.Name] = mustJSON(b.Value)
	}
	r.rec.Graph = Graph(r.Expansion, false)
}

// RecordModel is what is known of the model that n yields, nil if it yields none.
func RecordModel(n *Node) *record.Model {
	m := n.Result.Model
	if m == nil || m.Type == nil || m.Type.Undecided != "" {
		return nil
	}
	return &record.Model{Parameters: m.Type.Parameters(), Bytes: m.Type.Size(), BitsPerWeight: m.Type.BitsPerWeight(), Sparsity: m.Type.Sparsity()}
}

// subject is the node whose model an evaluation measures, nil if there is none;
// of a select it is the candidate.
func subject(n *Node) *Node {
	for _, d := range n.DependsOn {
		if d.Block.Kind == lang.KindSelect {
			for _, c := range n.Choices {
				if c.Select == d {
					return c.Candidate
				}
			}
			continue
		}
		if d.Result.Model != nil {
			return d
		}
	}
	return nil
}

// recordFailures lists what failed by itself, and what it held up.
func (r *execution) recordFailures() {
	index := map[*action.Action]int{}
	stopped := map[*action.Action][]string{}
	for _, s := range r.Steps {
		seen := map[*action.Action]bool{}
		for _, a := range s.Actions {
			var cause *action.Action
			switch o := r.ex.Outcome(a); o.Status {
			case executor.Failed:
				cause = a
			case executor.Skipped:
				var dep *executor.DependencyError
				if errors.As(o.Err, &dep) {
					cause = dep.Cause.Action
				}
			}
			if cause != nil && !seen[cause] {
				seen[cause] = true
				stopped[cause] = append(stopped[cause], s.Node.Addr())
			}
		}
	}
	for _, s := range r.Steps {
		for _, a := range s.Actions {
			o := r.ex.Outcome(a)
			if _, seen := index[a]; seen || o.Status != executor.Failed {
				continue
			}
			index[a] = len(r.rec.Failures)
			f := record.Failure{Name: s.Node.Block.Addr(), Point: RecordPoint(s.Node), Part: a.Label, Kernel: a.Kernel.Name, Message: o.Err.Error()}
			var e *executor.ActionError
			if errors.As(o.Err, &e) {
				f.Message, f.Detail = e.Err.Error(), e.Stack
			}
			for _, addr := range stopped[a] {
				if addr != s.Node.Addr() {
					f.Stopped = append(f.Stopped, addr)
				}
			}
			r.rec.Failures = append(r.rec.Failures, f)
		}
		if err := r.failures[s]; err != nil {
			part := "files"
			if s.Node.Broken {
				part = "shapes" // those that were decided do not suit it
			}
			r.rec.Failures = append(r.rec.Failures, record.Failure{Name: s.Node.Block.Addr(), Point: RecordPoint(s.Node), Part: part, Message: err.Error()})
		}
	}
}

// partial reports whether some of a step's results are there: a node whose
// model is not wanted whole. A report or a file is there or not.
func (r *execution) partial(s *Step) bool {
	for _, a := range s.Actions {
		if st := r.ex.Outcome(a).Status; st == executor.Ran || st == executor.Cached {
			return true
		}
	}
	return false
}

// layers reads the numbers that the node's actions reported of each layer, and
// the losses of its training. They lie in many small documents, so that the
// store keeps a memo of them together.
func (r *execution) layers(s *Step, out *record.Node) {
	store := r.o.Executor.Store
	key, some := r.layersKey(s)
	if !some {
		return
	}
	var all layerNumbers
	if body, ok := store.Recall(key); ok && json.Unmarshal(body, &all) == nil {
		out.Layers, out.Losses = all.Layers, all.Losses
		return
	}
	whole := r.readLayers(s, &all)
	out.Layers, out.Losses = all.Layers, all.Losses
	body, err := json.Marshal(all)
	if err != nil || !whole {
		return // a number that JSON cannot have: it is read each time
	}
	if err := store.RememberAlways(key, body); err != nil && r.o.Executor.Logf != nil {
		r.o.Executor.Logf("%v; the next run will take a little longer", err)
	}
}

// layerNumbers is what a node's actions reported.
type layerNumbers struct {
	Layers map[string]map[string]float64 `json:"layers"`
	Losses []float64                     `json:"losses"`
}

// layersKey identifies what the node's actions reported; some says that any of
// them is there.
func (r *execution) layersKey(s *Step) (key cache.Digest, some bool) {
	h := sha256.New()
	fmt.Fprintln(h, "layers 2")
	for _, l := range s.Layers {
		d, ok := r.digest(l.Ref)
		some = some || ok
		fmt.Fprintln(h, l.Block, d)
	}
	for _, ref := range s.Logs {
		d, ok := r.digest(ref)
		some = some || ok
		fmt.Fprintln(h, "log", d)
	}
	return cache.Digest(hex.EncodeToString(h.Sum(nil))), some
}

// readLayers reports whether everything could be read.
func (r *execution) readLayers(s *Step, out *layerNumbers) (whole bool) {
	whole = true
	read := func(ref action.Ref, name string, dst any) bool {
		if _, ok := r.digest(ref); !ok {
			whole = false
			return false
		}
		raw, err := r.leaf(context.Background(), ref, name)
		if err == nil {
			err = json.Unmarshal(raw, dst)
		}
		whole = whole && err == nil
		return err == nil
	}
	prefix := func(b int) string {
		if b == passes.Outside {
			return ""
		}
		return s.Node.Result.Model.Type.Config.BlockPrefix(b)
	}
	for _, l := range s.Layers {
		var block map[string]map[string]float64
		if !read(l.Ref, "report", &block) {
			continue
		}
		for name, numbers := range block {
			if out.Layers == nil {
				out.Layers = map[string]map[string]float64{}
			}
			out.Layers[prefix(l.Block)+name] = numbers
		}
	}
	for _, ref := range s.Logs {
		var log struct {
			Losses []float64 `json:"losses"`
		}
		if read(ref, "log", &log) {
			out.Losses = append(out.Losses, log.Losses...)
		}
	}
	return whole
}

// RecordPoint is a node's point as sweep.axis → value.
func RecordPoint(n *Node) record.Point {
	p := record.Point{}
	for _, c := range n.Point {
		p[c.Axis.ID()] = mustJSON(c.Value())
	}
	return p
}
