package acceptance

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/executor"
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/version"
	"github.com/compressc/compressc/lang"
	"github.com/compressc/compressc/passes"
	"github.com/compressc/compressc/passes/all"
	"github.com/compressc/compressc/planner"
)

// SessionOptions configure a Session.
type SessionOptions struct {
	// CacheDir is the cache's folder; it is made where it does not exist.
	CacheDir string
	// Vars are the values of variables.
	Vars map[string]string
	// Threads and Memory are those of executor.Options.
	Threads int
	Memory  int64
}

// Session is a pipeline's plan with an executor that stays open, so that values
// between nodes can be looked at. Its methods are for one goroutine.
type Session struct {
	Plan     *planner.Plan
	Store    *cache.Store
	Executor *executor.Executor

	options executor.Options
}

// OpenSession plans the pipeline in text; relative paths in it start from dir.
func OpenSession(dir, text string, o SessionOptions) (*Session, error) {
	reg, err := lang.NewRegistry(all.Passes()...)
	if err != nil {
		return nil, err
	}
	var inputs []lang.Input
	for _, name := range slices.Sorted(maps.Keys(o.Vars)) {
		inputs = append(inputs, lang.Input{Name: name, Value: o.Vars[name]})
	}
	p, diags := lang.LoadFiles(dir, map[string][]byte{"test.pipeline.hcl": []byte(text)},
		lang.Options{Registry: reg, Inputs: inputs, Version: version.Number, Complete: true})
	r := &planner.Resolver{Dir: dir}
	if !diags.HasErrors() {
		ex, more := planner.Expand(p, planner.Sources{Model: r.Model, Data: r.Data})
		if diags = append(diags, more...); !diags.HasErrors() {
			return openPlan(ex, r, o)
		}
	}
	return nil, fmt.Errorf("the pipeline is not valid: %w", diags)
}

func openPlan(x *planner.Expansion, r *planner.Resolver, o SessionOptions) (*Session, error) {
	store, err := cache.Open(o.CacheDir, cache.Options{})
	if err != nil {
		return nil, err
	}
	plan, err := planner.Build(x, r, store)
	if err == nil {
		eo := executor.Options{Store: store, Threads: o.Threads, Memory: o.Memory, Producer: "acceptance"}
		var e *executor.Executor
		if e, err = executor.New(plan.Graph, eo); err == nil {
			return &Session{plan, store, e, eo}, nil
		}
	}
	_ = store.Close() // the first error is the one to tell
	return nil, err
}

// Close ends the session; values must have been released.
func (s *Session) Close() error {
	s.Executor.Close()
	return s.Store.Close()
}

// renew replaces the executor: one that has seen an action does not notice when
// more outputs are asked of it later. Values must have been released; what was
// computed is in the store.
func (s *Session) renew() error {
	s.Executor.Close()
	e, err := executor.New(s.Plan.Graph, s.options)
	if err != nil {
		return err
	}
	s.Executor = e
	return nil
}

// Step finds a node by its address with its point.
func (s *Session) Step(addr string) (*planner.Step, error) {
	for _, st := range s.Plan.Steps {
		if st.Node.Addr() == addr {
			return st, nil
		}
	}
	return nil, fmt.Errorf("the plan has no node %s", addr)
}

// Run brings the named nodes about.
func (s *Session) Run(ctx context.Context, addrs ...string) error {
	var refs []action.Ref
	for _, a := range addrs {
		st, err := s.Step(a)
		if err != nil {
			return err
		}
		refs = append(refs, st.Targets()...)
	}
	_, err := s.Executor.Run(ctx, refs)
	return err
}

// Model returns the model that a node yields.
func (s *Session) Model(addr string) (*passes.Model, error) {
	st, err := s.Step(addr)
	if err != nil {
		return nil, err
	}
	if st.Node.Result.Model == nil {
		return nil, fmt.Errorf("%s yields no model", addr)
	}
	return st.Node.Result.Model, nil
}

// Block loads decoder block b of the model that a node yields, bringing it about
// first. The value is valid until release.
func (s *Session) Block(ctx context.Context, addr string, b int) (v *artifact.Value, release func(), err error) {
	m, err := s.Model(addr)
	if err != nil {
		return nil, nil, err
	}
	if _, err := s.Executor.Run(ctx, []action.Ref{m.Blocks[b]}); err != nil {
		return nil, nil, err
	}
	return s.Executor.Value(ctx, m.Blocks[b])
}

// Reports returns what a node's actions reported of each layer that they
// changed, one map a decoder block in their order.
func (s *Session) Reports(ctx context.Context, addr string) ([]map[string]map[string]float64, error) {
	st, err := s.Step(addr)
	if err != nil {
		return nil, err
	}
	var out []map[string]map[string]float64
	for _, l := range st.Layers {
		var block map[string]map[string]float64
		if err := s.leaf(ctx, l.Ref, &block); err != nil {
			return nil, err
		}
		out = append(out, block)
	}
	return out, nil
}

// Report decodes an evaluation's report.
func (s *Session) Report(ctx context.Context, addr string, dst any) error {
	st, err := s.Step(addr)
	if err != nil {
		return err
	}
	if st.Node.Result.Report == nil {
		return fmt.Errorf("%s yields no report", addr)
	}
	return s.leaf(ctx, st.Node.Result.Report.Ref, dst)
}

// leaf decodes the leaf "report" of an output.
func (s *Session) leaf(ctx context.Context, ref action.Ref, dst any) error {
	v, release, err := s.Executor.Value(ctx, ref)
	if err != nil {
		return err
	}
	defer release()
	b, err := v.Bytes("report")
	if err != nil {
		return err
	}
	return json.Unmarshal(b, dst)
}
