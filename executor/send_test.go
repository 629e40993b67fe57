package executor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	repb "github.com/bazelbuild/remote-apis/build/bazel/remote/execution/v2"

	"github.com/compressc/compressc/cache/remote"
	"github.com/compressc/compressc/executor/dispatch"
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/reapi"
	"github.com/compressc/compressc/internal/reapi/reapitest"
)

// office is a machine whose actions are done by a server.
type office struct {
	*machine
	dispatch *dispatch.Dispatcher
}

// workers has a server carry orders out in this process.
func workers(s *reapitest.Server) *atomic.Int64 {
	n := new(atomic.Int64)
	s.Exec(func(ctx context.Context, dir string, argv, _ []string, _, stderr *bytes.Buffer) (int, error) {
		if fmt.Sprint(argv) != "[./compressc action]" {
			return 0, fmt.Errorf("command %q", argv)
		}
		if info, err := os.Stat(filepath.Join(dir, "compressc")); err != nil || info.Mode()&0o100 == 0 {
			return 0, fmt.Errorf("the program cannot be run: %v", err)
		}
		n.Add(1)
		return dispatch.Perform(ctx, dir, stderr), nil
	})
	return n
}

func newOffice(t *testing.T, s *reapitest.Server, change ...func(*dispatch.Options)) *office {
	t.Helper()
	o := &office{machine: newMachine(t, s.Address, remote.Use, waiting)}
	program := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, []byte("the program"), 0o777); err != nil {
		t.Fatal(err)
	}
	opts := dispatch.Options{Cache: o.remote, Client: o.remote.Client(), Program: program, Say: func(s string) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.said = append(o.said, s)
	}}
	for _, f := range change {
		f(&opts)
	}
	var err error
	if o.dispatch, err = dispatch.New(opts); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.dispatch.Close() })
	return o
}

func (o *office) executor() *Executor {
	return o.machine.executor(func(x *Options) { x.Remote, x.Dispatch = o.remote, o.dispatch })
}

func (o *office) runPipeline() (*Executor, *Result) {
	o.t.Helper()
	targets := o.pipeline()
	e := o.executor()
	res, err := e.Run(o.t.Context(), targets)
	if err != nil {
		o.t.Fatalf("%v\n%s", err, o.words())
	}
	o.check(e, targets...)
	o.remote.Flush(o.t.Context())
	return e, res
}

func TestDispatch(t *testing.T) {
	s := reapitest.New(t, reapitest.Faults{Zstd: true})
	n := workers(s)
	o := newOffice(t, s)
	e, res := o.runPipeline()
	o.calls(everything) // in the server's sandbox
	if res.Ran != 5 || res.Cached != 0 {
		t.Errorf("%+v", res)
	}
	for _, a := range o.g.Actions {
		if out := e.Outcome(a); a.Leaf == nil && (out.Worker != "worker-0" || out.Status != Ran) {
			t.Errorf("%s: %+v", a.Label, out)
		}
	}
	// All of them hang together, and nobody waits for any other.
	if n.Load() != 1 {
		t.Errorf("%d orders", n.Load())
	}
	if got := o.remote.Stats(); got.Fetched > 0 {
		t.Errorf("%+v", got)
	}
	o.bytes(e)
	o.calls("")
	if o.words() != "" {
		t.Errorf("said %s", o.words())
	}
	// Another machine gets everything by the actions' own keys,
	b := newOffice(t, s)
	if _, res := b.runPipeline(); res.Cached != 5 {
		t.Errorf("%+v", res)
	}
	// or, where these cannot be written, from what the server remembers.
	s2 := reapitest.New(t, reapitest.Faults{NoUpdates: true})
	n = workers(s2)
	newOffice(t, s2).runPipeline()
	c := newOffice(t, s2)
	_, res = c.runPipeline()
	if n.Load() != 1 || res.Ran != 5 || s2.Calls("Execute") != 1 {
		t.Errorf("%d orders, %d executions, %+v", n.Load(), s2.Calls("Execute"), res)
	}
	if !strings.Contains(c.words(), "takes no results") {
		t.Errorf("said %q", c.words())
	}
}

// Blocks that do not depend on each other are sent side by side.
func TestDispatchSideBySide(t *testing.T) {
	s := reapitest.New(t, reapitest.Faults{})
	workers(s)
	o := newOffice(t, s)
	src := o.source("x")
	var targets []action.Ref
	together := make(chan bool, 3)
	release := make(chan bool)
	act("meet", func(c *action.Context) error {
		together <- true
		select {
		case <-release:
		case <-c.Done():
		}
		return nil
	})
	for i := range 3 {
		h := o.toyIn("n", toyParams{Name: fmt.Sprint("block", i), Do: "meet"}, transient, src)
		targets = append(targets, o.toyIn("n", toyParams{Name: fmt.Sprint("end", i)}, durable, h))
	}
	go func() {
		for range 3 {
			<-together
		}
		close(release)
	}()
	e := o.executor()
	if _, err := e.Run(t.Context(), targets); err != nil {
		t.Fatal(err)
	}
	o.check(e, targets...)
}

func TestDispatchFaults(t *testing.T) {
	for name, f := range map[string]reapitest.Faults{
		"streams break":        {DropExecute: 3},
		"operations forgotten": {DropExecute: 1, Forget: true},
		"workers die":          {KillWorker: 2},
		"outputs are gone":     {LoseOutputs: 1},
		"no architectures":     {RefusePlatform: "ISA"},
		"busy":                 {Busy: 2},
	} {
		t.Run(name, func(t *testing.T) {
			s := reapitest.New(t, reapitest.Faults{})
			n := workers(s)
			o := newOffice(t, s)
			s.Set(func(now *reapitest.Faults) { *now = f })
			e, res := o.runPipeline()
			if n.Load() < 1 || n.Load() > 2 || res.Ran != 5 {
				t.Errorf("%d orders, %+v", n.Load(), res)
			}
			for _, a := range o.g.Actions {
				if a.Leaf == nil && e.Outcome(a).Worker == "" {
					t.Errorf("%s was done here: %s", a.Label, o.words())
				}
			}
			o.bytes(e)
		})
	}
}

// What cannot be done elsewhere is done here.
func TestDispatchFallsBack(t *testing.T) {
	for name, f := range map[string]reapitest.Faults{
		"all workers die": {KillWorker: 1000},
		"no such worker":  {RefusePlatform: "OSFamily"},
	} {
		t.Run(name, func(t *testing.T) {
			s := reapitest.New(t, f)
			n := workers(s)
			o := newOffice(t, s)
			_, res := o.runPipeline()
			if n.Load() != 0 || res.Ran != 5 {
				t.Errorf("%d orders, %+v", n.Load(), res)
			}
			if !strings.Contains(o.words(), "done here") {
				t.Errorf("said %q", o.words())
			}
		})
	}
	t.Run("the server ends meanwhile", func(t *testing.T) {
		s := reapitest.New(t, reapitest.Faults{})
		workers(s)
		o := newOffice(t, s)
		var ended atomic.Bool
		act("end", func(*action.Context) error {
			if !ended.Swap(true) {
				go s.Stop()
				<-t.Context().Done()
			}
			return nil
		})
		src := o.source("x")
		first := o.toyIn("p", toyParams{Name: "first", Size: 5 << 20}, durable, src)
		target := o.toyIn("q", toyParams{Name: "last", Do: "end"}, durable, first)
		e := o.executor()
		if _, err := e.Run(t.Context(), []action.Ref{target}); err != nil {
			t.Fatal(err)
		}
		o.check(e, target)
		if out := e.Outcome(target.Action); out.Worker != "" {
			t.Errorf("%+v", out)
		}
	})
	t.Run("short ones", func(t *testing.T) {
		s := reapitest.New(t, reapitest.Faults{})
		n := workers(s)
		o := newOffice(t, s, func(d *dispatch.Options) { d.Threshold = 1 << 30 })
		o.runPipeline()
		if n.Load() != 0 {
			t.Errorf("%d orders", n.Load())
		}
	})
}

// A kernel's own failure is final, and told as here.
func TestDispatchedFailure(t *testing.T) {
	s := reapitest.New(t, reapitest.Faults{})
	n := workers(s)
	o := newOffice(t, s)
	act("fail", func(*action.Context) error { return errors.New("no convergence") })
	act("panic", func(*action.Context) error { panic("index out of shape") })
	src := o.source("x")
	good := o.toyIn("a", toyParams{Name: "good"}, durable, src)
	bad := o.toyIn("a", toyParams{Name: "bad", Do: "fail"}, durable, good)
	worse := o.toyIn("b", toyParams{Name: "worse", Do: "panic"}, durable, src)
	e := o.executor()
	_, err := e.Run(t.Context(), []action.Ref{bad, worse, good})
	var re *RunError
	if !errors.As(err, &re) || len(re.Failed) != 2 {
		t.Fatalf("%v", err)
	}
	for _, want := range []string{"a: bad (toy): on worker worker-0: no convergence", "b: worse (toy)", "index out of shape", "runToy"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the message lacks %q:\n%v", want, err)
		}
	}
	o.check(e, good)
	// The good one with the bad one, the worse one, then each by itself.
	if n.Load() != 4 {
		t.Errorf("%d orders", n.Load())
	}
	s.EditResults(func(_ reapi.Digest, r *repb.ActionResult) *repb.ActionResult {
		if r.ExitCode != 0 {
			t.Errorf("a failure is on record: %v", r)
		}
		return r
	})
}

func TestDispatchCancelled(t *testing.T) {
	s := reapitest.New(t, reapitest.Faults{})
	workers(s)
	o := newOffice(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan bool)
	act("cancel", func(c *action.Context) error { cancel(); <-c.Done(); close(ended); return c.Err() })
	target := o.toy(toyParams{Name: "x", Do: "cancel"}, durable, o.source("s"))
	if _, err := o.executor().Run(ctx, []action.Ref{target}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	select { // on the worker, too
	case <-ended:
	case <-time.After(waiting):
		t.Error("the worker goes on")
	}
}

// Blobs that vanish from the server between two runs of one executor are made
// again.
func TestDispatchAfterEviction(t *testing.T) {
	s := reapitest.New(t, reapitest.Faults{})
	workers(s)
	o := newOffice(t, s)
	src := o.source("x")
	first := o.toyIn("p", toyParams{Name: "first", Size: 5 << 20}, transient, src)
	second := o.toyIn("p", toyParams{Name: "second"}, durable, first)
	e := o.executor()
	if _, err := e.Run(t.Context(), []action.Ref{second}); err != nil {
		t.Fatal(err)
	}
	if s.Remove(func(d reapi.Digest, _ []byte) bool { return d.Size == 5<<20 }) != 1 {
		t.Fatal("nothing to remove")
	}
	third := o.toyIn("q", toyParams{Name: "third"}, durable, first)
	if _, err := e.Run(t.Context(), []action.Ref{third}); err != nil {
		t.Fatal(err)
	}
	o.check(e, second, third)
	o.calls("first=2 second third")
}
