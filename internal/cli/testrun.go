package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/compressc/compressc/executor"
	"github.com/compressc/compressc/internal/record"
	"github.com/compressc/compressc/internal/spell"
	"github.com/compressc/compressc/internal/version"
	"github.com/compressc/compressc/lang"
	"github.com/compressc/compressc/planner"
)

// tester runs the tests of one pipeline.
type tester struct {
	app      *app
	pipeline string // folder or file
	inputs   []lang.Input
	threads  int
	memory   int64
	stop     <-chan struct{}
}

// testResult is how one run block ended.
type testResult struct {
	name    string
	seconds float64
	// diags are what failed; empty for a run that passed.
	diags hcl.Diagnostics
	files map[string]*hcl.File
}

func (r *testResult) passed() bool { return !r.diags.HasErrors() }

func (r *testResult) fail(at hcl.Range, summary, format string, args ...any) {
	r.diags = append(r.diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: fmt.Sprintf(format, args...), Subject: at.Ptr()})
}

// run does what a run block says and returns what came out; an error is about
// the program's surroundings.
func (t *tester) run(ctx context.Context, file *lang.TestFile, run *lang.TestRun) (*testResult, error) {
	start := time.Now()
	r := &testResult{name: run.Name}
	defer func() { r.seconds = time.Since(start).Seconds() }()
	in := inputs{order: slices.Clone(t.inputs), extra: map[string]*hcl.File{file.Name: run.Conditions(file.File)}, mocks: slices.Concat(file.Mocks, run.Mocks)}
	for _, v := range []*hcl.File{file.Variables, run.Variables} {
		if v != nil {
			in.order = append(in.order, lang.Input{Parsed: v, File: file.Name})
		}
	}
	l, err := t.app.load(t.pipeline, &in, true)
	if err != nil {
		return nil, err
	}
	r.files = l.files()
	if l.expansion == nil { // there was nothing to read, or a mock is wrong
		r.diags = l.diags
		return r, nil
	}
	p, expansion := l.pipeline, l.expansion
	failed := map[string]bool{}
	for _, d := range l.diags {
		if d.Severity != hcl.DiagError {
			continue
		}
		if addr := expected(p, run, d); addr != "" {
			failed[addr] = true
			continue
		}
		r.diags = append(r.diags, d)
	}
	if r.passed() && len(failed) == 0 {
		if run.Run {
			if err := t.compute(ctx, r, file, run, l, in.mocks, failed); err != nil {
				return nil, err
			}
		} else {
			plannedGates(r, run, expansion, failed)
			// What is known of models before a run is there; what is measured is not.
			res := expansion.Results(func(n *planner.Node) planner.Outcome {
				if n.Result.Report != nil {
					return planner.Outcome{Status: planner.Pending}
				}
				return planner.Outcome{Status: planner.Done}
			})
			outs := map[string]planner.Output{}
			for _, b := range p.Blocks {
				if b.Kind == lang.KindOutput && !b.Broken && b.Module == p.Root {
					outs[b.Name] = res.Output(b)
				}
			}
			r.judge(run, outs, false)
		}
	}
	for _, addr := range run.Expect {
		if !failed[addr] {
			r.fail(run.Range, "Expected failure did not happen", "%s was to be found wrong, and was not.", addr)
		}
	}
	return r, nil
}

// expected is the address, among those a run expects to fail, of the block that
// a finding is about; "" if there is none.
func expected(p *lang.Pipeline, run *lang.TestRun, d *hcl.Diagnostic) string {
	if d.Subject == nil {
		return ""
	}
	b := p.BlockAt(*d.Subject)
	if b == nil {
		// A value that a test gives to a variable stands in the test.
		for _, addr := range run.Expect {
			if name, ok := strings.CutPrefix(addr, "var."); ok && strings.Contains(d.Detail, fmt.Sprintf("%q", name)) {
				return addr
			}
		}
		return ""
	}
	base, _, _ := strings.Cut(b.Addr(), "[")
	for _, addr := range run.Expect {
		if addr == b.Addr() || addr == base {
			return addr
		}
	}
	return ""
}

// plannedGates looks at the gates that need no run.
func plannedGates(r *testResult, run *lang.TestRun, e *planner.Expansion, failed map[string]bool) {
	for _, n := range e.Nodes {
		if n.Block.Kind != lang.KindGate || n.Settled == nil || n.Settled.Decision != planner.GateFailed {
			continue
		}
		if addr := n.Block.Addr(); slices.Contains(run.Expect, addr) {
			failed[addr] = true
		} else {
			r.fail(n.Block.Body.DefRange, "Gate failed", "%s: %s", n.Addr(), n.Settled.Message)
		}
	}
}

// compute runs the pipeline, without its exports, and looks at what came out.
func (t *tester) compute(ctx context.Context, r *testResult, file *lang.TestFile, run *lang.TestRun, l *loaded, mocks []lang.Mock, failed map[string]bool) error {
	if len(mocks) > 0 {
		r.fail(run.Range, "A mock cannot be run", "%s has no weights. Leave the mocks to runs with command = plan.", mocks[0].Address)
		return nil
	}
	for _, n := range l.expansion.Nodes {
		if n.Block.Type == "export" {
			n.Needed = false // a test leaves no files behind
		}
	}
	store, err := t.app.openStore()
	if err != nil {
		return err
	}
	defer store.Close()
	plan, err := planner.Build(l.expansion, l.resolver, store)
	if err != nil {
		r.fail(run.Range, "Pipeline cannot be run", "%s.", err)
		return nil
	}
	rec, err := plan.Run(ctx, planner.RunOptions{Name: pipelineName(file.Name), Version: version.Number, Stop: t.stop,
		Executor: executor.Options{Store: store, Threads: t.threads, Memory: t.memory, Producer: "compressc " + version.Number}})
	if err != nil {
		return err
	}
	if rec.Status == record.Interrupted {
		return exit(ExitInterrupted)
	}
	for _, f := range rec.Failures {
		if slices.Contains(run.Expect, f.Name) {
			failed[f.Name] = true
			continue
		}
		r.fail(run.Range, "Action failed", "%s, %s: %s", spell.Address(f.Name, f.Point), f.Part, f.Message)
	}
	for _, g := range rec.Gates {
		switch {
		case g.Status != record.Failed:
		case slices.Contains(run.Expect, g.Name):
			failed[g.Name] = true
		default:
			r.fail(run.Range, "Gate failed", "%s: %s", spell.Address(g.Name, g.Point), g.Message)
		}
	}
	outs := map[string]planner.Output{}
	for _, o := range rec.Outputs {
		if out, ok := o.Output.(planner.Output); ok {
			outs[o.Name] = out
		}
	}
	r.judge(run, outs, true)
	return nil
}

// judge looks at the values of a run's conditions, by the names of the outputs
// that hold them.
func (r *testResult) judge(run *lang.TestRun, outs map[string]planner.Output, ran bool) {
	for i, a := range run.Asserts {
		out, message := outs[lang.ConditionName(i)], outs[lang.MessageName(i)]
		at := a.Condition.Range()
		if out.Points == nil {
			r.condition(at, "", out.Value, out.Status, out.Reason, messageText(message, nil), ran)
			continue
		}
		for _, p := range out.Points {
			r.condition(at, pointOf(p.Point), p.Value, p.Status, p.Reason, messageText(message, p.Point), ran)
		}
	}
}

// messageText is what an assert says of a point.
func messageText(out planner.Output, point json.RawMessage) string {
	raw := out.Value
	for _, p := range out.Points {
		if bytes.Equal(p.Point, point) {
			raw = p.Value
		}
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// condition judges one value of a condition.
func (r *testResult) condition(at hcl.Range, point string, value json.RawMessage, status, reason, message string, ran bool) {
	where := ""
	if point != "" {
		where = " at " + point
	}
	switch {
	case status == planner.Pending.String() && !ran:
		r.fail(at, "Condition needs a run", "It looks at what is known only after a run%s. Set command = run.", where)
	case status != "" && status != planner.Done.String() || len(value) == 0:
		if reason == "" {
			reason = status
		}
		r.fail(at, "Condition has no value", "It could not be decided%s: %s", where, reason)
	case string(value) == "true":
	case string(value) == "false":
		if message == "" {
			message = "The condition does not hold."
		}
		if point != "" {
			message = "At " + point + ": " + message
		}
		r.fail(at, "Assertion failed", "%s", message)
	default:
		r.fail(at, "Condition is not true or false", "Its value%s is %s.", where, value)
	}
}

// pointOf spells the point of an output.
func pointOf(raw json.RawMessage) string {
	var sweeps record.Sweeps
	if json.Unmarshal(raw, &sweeps) != nil {
		return string(raw)
	}
	return spell.Point(sweeps.Point(), nil)
}
