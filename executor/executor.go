package executor

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/cache/remote"
	"github.com/compressc/compressc/executor/dispatch"
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/linalg"
)

// Options configure an Executor.
type Options struct {
	// Store is where results are looked up and published. The caller closes
	// it, after the executor.
	Store *cache.Store
	// Remote, when not nil, is asked for what the store does not have, and told
	// what is computed here.
	Remote *remote.Cache
	// Dispatch, when not nil, has actions done elsewhere. It needs Remote, whose
	// server holds what its workers read and write.
	Dispatch *dispatch.Dispatcher
	// Cost, when not nil, returns how many seconds an action is expected to take;
	// 0 where that is not known.
	Cost func(*action.Action) float64
	// Threads is how many threads compute; 0 means as many as the process has.
	Threads int
	// Memory is the budget in bytes for what the process holds in anonymous
	// memory; 0 means 80 % of what the machine or the control group has.
	Memory int64
	// FailFast ends the run at the first failure. Otherwise what does not
	// depend on a failed action is finished.
	FailFast bool
	// Timeout bounds the wall time of each action that runs here; 0 is no
	// bound. A kernel looks at it between two steps of its work.
	Timeout time.Duration
	// Events, when not nil, is told of each step, one call at a time, from
	// several goroutines. It must be quick and must not call the executor.
	Events func(Event)
	// Logf, when not nil, is told what went wrong without failing the run.
	Logf func(format string, args ...any)
	// Recall lets Run go by what earlier runs found on record, as long as
	// nothing has been removed from the store since: a run without work then
	// reads one file a node instead of one an action. Entries that somebody
	// deleted by hand are not missed before something needs them.
	Recall bool
	// Sample has some of what is found on record run again.
	Sample Sample
	// Defs are definition keys of the graph's actions as far as they are known
	// (action.DefKeys); the executor adds to them.
	Defs map[*action.Action]artifact.Digest
	// Producer names the program's version in index entries.
	Producer string
}

// Executor runs a graph. Run, Value and CompleteNode may be called from several
// goroutines and then wait for each other; Stop, Outcome and PeakAnon may be
// called at any time.
type Executor struct {
	g     *action.Graph
	o     Options
	store *cache.Store
	pool  *linalg.Pool
	mem   *memory
	ev    *sender
	anon  sampler
	known *blobSet
	air   *air
	// flight bounds the bytes of leaves on their way to the store.
	flight *semaphore.Weighted
	// checkpointing is set once there is a checkpoint in the graph.
	checkpointing atomic.Bool

	sampleShare float64 // see the constant

	pacing    *pacing
	scratch   int64
	closeOnce sync.Once

	passMu sync.Mutex // one pass at a time; guards what follows
	nodes  map[*action.Action]*node
	defs   map[*action.Action]artifact.Digest
	// completed are the nodes whose checkpoints may go.
	completed map[string]bool
	// recalled are the nodes that are settled from memos, memos those to write.
	recalled []*node
	memos    []memo
	// checkpoints are the stored checkpoint outputs, by node.
	checkpoints map[string][]*output
	// durables are the outputs whose blobs must stay; lasting their leaves, as
	// far as they have been looked at.
	durables []*output
	lasting  map[artifact.Digest]bool

	mu         sync.Mutex // guards outcomes, current, completing, expected and arrived
	completing []string
	outcomes   map[*action.Action]*node
	current    *pass
	// expected are results of the remote that are to be compared with.
	expected map[artifact.Digest]*cache.Entry
	// arrived are actions that were done along with others, by key.
	arrived map[artifact.Digest]arrival
}

const (
	// flightBytes is how much may be on its way to the store: enough to keep
	// a disk busy, little against any budget.
	flightBytes = 64 << 20
	// maxScratch is what kernels may leave lying for the next one to work in.
	maxScratch = 192 << 20
)

// usable is the part of a budget that may be planned with: the rest is for
// the program itself and for garbage.
func usable(memory int64) int64 { return memory - max(32<<20, memory/8) }

// budgetFor is the least budget with n usable bytes.
func budgetFor(n int64) int64 { return max(n+32<<20, (n*8+6)/7) }

// New returns an executor for g, which may grow between calls of Run. It sets
// the process's garbage collection to the budget until Close.
func New(g *action.Graph, o Options) (*Executor, error) {
	if o.Store == nil {
		return nil, errors.New("executor: no store")
	}
	if o.Dispatch != nil && o.Remote == nil {
		return nil, errors.New("executor: actions are to be done elsewhere, and nothing holds their bytes")
	}
	if o.Threads < 0 {
		return nil, fmt.Errorf("executor: %d threads: want at least 1, or 0 for all", o.Threads)
	}
	if o.Memory == 0 {
		o.Memory = machineMemory() / 5 * 4
	}
	if o.Memory < minMemory {
		return nil, fmt.Errorf("executor: a memory budget of %d bytes: want at least %d MiB, or 0 for most of the machine", o.Memory, minMemory>>20)
	}
	e := &Executor{
		g: g, o: o, store: o.Store, pool: linalg.NewPool(o.Threads), known: newBlobSet(o.Store), air: newAir(min(maxLent, usable(o.Memory)/16)),
		flight:      semaphore.NewWeighted(flightBytes),
		sampleShare: sampleShare,
		nodes:       map[*action.Action]*node{},
		defs:        o.Defs,
		completed:   map[string]bool{},
		checkpoints: map[string][]*output{},
		lasting:     map[artifact.Digest]bool{},
		outcomes:    map[*action.Action]*node{},
		expected:    map[artifact.Digest]*cache.Entry{},
		arrived:     map[artifact.Digest]arrival{},
	}
	if e.defs == nil {
		e.defs = map[*action.Action]artifact.Digest{}
	}
	e.o.Threads = e.pool.Threads()
	e.pacing = pace(o.Memory)
	e.mem = newMemory(usable(o.Memory), filepath.Join(o.Store.Dir(), "tmp"), e.logf, e.pacing.dropped)
	e.ev = &sender{f: o.Events, mem: e.mem}
	e.scratch = linalg.BoundScratch(min(maxScratch, usable(o.Memory)/16))
	return e, nil
}

// minMemory is what the program itself takes, and something to work with.
const minMemory = 48 << 20

// Close ends the threads and restores the garbage collection. Values must have
// been released, and no call may be under way.
func (e *Executor) Close() {
	e.closeOnce.Do(func() {
		e.writeMemos()
		e.pool.Close()
		linalg.BoundScratch(e.scratch)
		e.pacing.end()
	})
}

func (e *Executor) logf(format string, args ...any) {
	if e.o.Logf != nil {
		e.o.Logf(format, args...)
	}
}

// Result sums a run up. Its counts are the actions that the run has added, or has
// made something else of.
type Result struct {
	Totals
	// Rewound counts the actions that ran again for their bytes, Compared those
	// that did to be compared with the record, and gave the same.
	Rewound, Compared int
	Wall              time.Duration
	// PeakAnon is the process's highest anonymous memory so far, PeakLive the
	// most that transient outputs took of it.
	PeakAnon, PeakLive int64
}

// Run brings the targets about. It may be called again, also after the graph
// has grown: what was done stays done, what failed stays failed, what was
// skipped is tried again. The result is never nil. The error, if any, is a
// *RunError, or a *FitError when the run was refused.
//
// When ctx is cancelled, running kernels are told so and no others start; what
// had finished is published.
func (e *Executor) Run(ctx context.Context, targets []action.Ref) (*Result, error) {
	start := time.Now()
	e.passMu.Lock()
	defer e.passMu.Unlock()
	var res *Result
	before, compared := e.ev.snapshot(), 0
	err := e.fits(targets)
	if err != nil {
		res = &Result{Totals: Totals{MemoryBudget: e.mem.budget}}
	} else {
		p := newPass(e, ctx)
		p.demand(targets)
		if !p.recall() {
			if len(p.todo) > 0 && len(e.recalled) > 0 {
				for _, n := range p.todo {
					n.state = fresh // the next pass is to take it up
				}
				p = newPass(e, ctx)
				p.demand(append(e.unrecall(), targets...))
			}
			if err = p.run(); err == nil {
				compared, err = e.compareSample(ctx, p)
			}
			if err == nil {
				p.remember()
			}
		}
		res = &Result{Totals: e.ev.snapshot().since(before), Rewound: p.rewound, Compared: compared}
	}
	res.Wall, res.PeakAnon = time.Since(start), e.PeakAnon()
	_, _, res.PeakLive, _ = e.mem.usage()
	return res, err
}

// Stop makes a run under way start nothing new: what runs is finished and
// published, then Run returns an error with ErrStopped in its chain. Without a
// run it does nothing.
func (e *Executor) Stop() {
	e.mu.Lock()
	p := e.current
	e.mu.Unlock()
	if p != nil {
		p.stopOnce.Do(func() { close(p.stop) })
	}
}

// Outcome returns how a stands.
func (e *Executor) Outcome(a *action.Action) Outcome {
	e.mu.Lock()
	defer e.mu.Unlock()
	if n := e.outcomes[a]; n != nil {
		return n.outcome
	}
	return Outcome{Status: Pending}
}

// PeakAnon returns the highest anonymous resident memory (RssAnon on Linux)
// that was seen during runs.
func (e *Executor) PeakAnon() int64 { return e.anon.peak.Load() }

// node returns the node of a, created together with what it reads.
func (e *Executor) node(a *action.Action) *node {
	if n := e.nodes[a]; n != nil {
		return n
	}
	n := &node{a: a, outcome: Outcome{Status: Pending}}
	e.nodes[a] = n
	for _, in := range a.Inputs {
		o := e.node(in.Ref.Action).output(in.Ref.Output)
		if o == nil {
			panic(fmt.Sprintf("executor: %s has no output %q, which input %q of %s reads", describe(in.Ref.Action), in.Ref.Output, in.Name, describe(a)))
		}
		n.ins = append(n.ins, input{in.Name, o})
	}
	for _, o := range a.Outputs {
		n.outs = append(n.outs, &output{n: n, name: o.Name, class: o.Class, bytes: o.Bytes})
		if o.Class == action.Checkpoint {
			e.checkpointing.Store(true)
		}
	}
	n.def = action.DefKey(a, e.defs)
	if a.Leaf != nil {
		n.state = done
		n.outcome = Outcome{Status: Cached, Digests: map[string]artifact.Digest{}}
		for _, o := range n.outs {
			t := a.Leaf[o.name]
			raw := t.Encode()
			o.setTree(artifact.Sum(raw), raw, t, t.Size())
			n.outcome.Digests[o.name] = o.digest
		}
		e.durables = append(e.durables, n.outs...) // nothing can make them again
	}
	e.mu.Lock()
	e.outcomes[a] = n
	e.mu.Unlock()
	return n
}
