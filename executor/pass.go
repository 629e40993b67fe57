package executor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
)

// pass is one walk from targets to results. Its methods run in the
// coordinator's goroutine, the one that called run, unless they say otherwise.
type pass struct {
	e *Executor
	// ctx is the kernels'; waiting ends earlier, when nothing new starts.
	ctx         context.Context
	cancel      context.CancelFunc
	waiting     context.Context
	stopWaiting context.CancelFunc
	stop        chan struct{}
	stopOnce    sync.Once

	// posts carries what goroutines have to report; underway counts those
	// that will.
	posts    chan func()
	underway int
	lookups  chan struct{} // limits lookups at a time
	looking  int           // lookups under way

	seen map[*node]bool
	todo []*node
	left int // nodes and value jobs that are not settled
	// leaders are the wanted nodes by key.
	leaders map[artifact.Digest]*node
	jobs    map[*job]bool // all that are not over

	ready   []*job
	running map[*job]bool // those that compute
	wide    bool          // one of them has all threads
	solos   int           // those with one thread
	away    map[*job]bool // those that are done elsewhere
	outbox  []*job        // those that are to be sent when there is room
	// publishing counts the jobs that have computed and are on their way to
	// the disk.
	publishing int

	stopping bool
	cause    error
	rewound  int
}

func newPass(e *Executor, ctx context.Context) *pass {
	p := &pass{e: e, stop: make(chan struct{}), posts: make(chan func()),
		lookups: make(chan struct{}, max(4, 2*runtime.GOMAXPROCS(0))),
		seen:    map[*node]bool{}, leaders: map[artifact.Digest]*node{},
		jobs: map[*job]bool{}, running: map[*job]bool{}, away: map[*job]bool{}}
	p.ctx, p.cancel = context.WithCancel(ctx)
	p.waiting, p.stopWaiting = context.WithCancel(p.ctx)
	return p
}

// demand adds what the targets need to the pass.
func (p *pass) demand(targets []action.Ref) {
	for _, r := range targets {
		n := p.e.node(r.Action)
		if n.output(r.Output) == nil {
			panic(fmt.Sprintf("executor: %s has no output %q", describe(r.Action), r.Output))
		}
		p.want(n)
	}
	// Inputs are older than what reads them.
	slices.SortFunc(p.todo, func(a, b *node) int { return cmp.Compare(a.a.ID, b.a.ID) })
}

func (p *pass) want(n *node) {
	if p.seen[n] {
		return
	}
	p.seen[n] = true
	for i, o := range n.outs {
		class := n.a.Outputs[i].Class
		if class == action.Durable && o.class != action.Durable && n.state == done && n.a.Leaf == nil {
			n.state = fresh // its bytes are wanted in the store now
		}
		o.class = class
	}
	if n.state != fresh {
		return
	}
	n.state = demanded
	for _, in := range n.ins {
		p.want(in.out.n)
	}
	p.todo = append(p.todo, n)
}

// run settles everything that is demanded.
func (p *pass) run() error {
	e := p.e
	stopSampling := e.anon.run()
	defer stopSampling()
	defer p.cancel()
	e.mu.Lock()
	e.current = p
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		e.current = nil
		e.mu.Unlock()
	}()

	p.begin()
	cancelled := p.ctx.Done()
	stop := p.stop
	for {
		// An end that has been asked for comes before whatever else there is.
		select {
		case <-stop:
			stop = nil
			p.halt(ErrStopped)
		case <-cancelled:
			cancelled = nil
			p.halt(context.Cause(p.ctx))
		default:
		}
		p.schedule()
		if p.underway == 0 {
			if p.left == 0 || p.stopping {
				break
			}
			panic(fmt.Sprintf("executor: nothing runs, but %d actions are left", p.left))
		}
		select {
		case f := <-p.posts:
			f()
		case <-stop:
			stop = nil
			p.halt(ErrStopped)
		case <-cancelled:
			cancelled = nil
			p.halt(context.Cause(p.ctx))
		}
	}
	return p.end()
}

// begin links the demanded nodes and starts with those that wait for nothing.
func (p *pass) begin() {
	for _, n := range p.todo {
		n.users, n.waiting, n.followers, n.tail = nil, 0, nil, 0
		n.told, n.settling = false, nil
	}
	for _, n := range p.todo {
		n.holding = true
		var producers []*node
		for _, in := range n.ins {
			in.out.pending++
			if m := in.out.n; m.state != done && m.state != failed && !slices.Contains(producers, m) {
				producers = append(producers, m)
				m.users = append(m.users, n)
			}
		}
		n.waiting = len(producers)
	}
	for _, n := range slices.Backward(p.todo) {
		for _, u := range n.users {
			n.tail = max(n.tail, u.tail)
		}
		n.tail += n.a.Flops
	}
	p.left += len(p.todo)
	p.e.ev.expect(p.todo)
	for _, n := range p.todo {
		if n.state != demanded {
			continue // failed along with an earlier one
		}
		if cause := n.failedInput(); cause != nil {
			p.fail(n, cause, false)
		} else if n.waiting == 0 {
			p.lookup(n)
		}
	}
}

func (n *node) failedInput() *ActionError {
	for _, in := range n.ins {
		if in.out.n.state == failed {
			return in.out.n.cause
		}
	}
	return nil
}

// end gives up what was not reached and sums up.
func (p *pass) end() error {
	for j := range p.jobs {
		p.dismiss(j)
		if j.n == nil {
			j.done(nil, p.cause)
		}
	}
	err := &RunError{Cause: p.cause}
	// Also what failed in an earlier run.
	for n := range p.seen {
		if n.state == failed && !slices.Contains(err.Failed, n.cause) {
			err.Failed = append(err.Failed, n.cause)
		}
	}
	slices.SortFunc(err.Failed, func(a, b *ActionError) int { return cmp.Compare(a.Action.ID, b.Action.ID) })
	for _, n := range p.todo {
		switch n.state {
		case done:
		case failed:
			if n.outcome.Status == Skipped && n.a.Computes() {
				err.Skipped++
			}
		default:
			n.state, n.job = fresh, nil
			p.settle(n, Outcome{Status: Skipped, Err: p.cause, Key: n.key})
			if n.a.Computes() {
				err.Skipped++
			}
		}
	}
	p.e.completeQueued()
	if len(err.Failed) == 0 && err.Skipped == 0 && p.left == 0 {
		return nil
	}
	return err
}

// halt starts nothing new from now on.
func (p *pass) halt(cause error) {
	if p.cause == nil {
		p.cause = cause
	}
	p.stopping = true
	p.stopWaiting()
}

// spawn runs f in a goroutine; what f returns runs in the coordinator.
func (p *pass) spawn(f func() func()) {
	p.underway++
	go func() {
		g := f()
		p.posts <- func() {
			p.underway--
			g()
		}
	}()
}

// lookup asks the index for a node whose inputs are known.
func (p *pass) lookup(n *node) {
	if p.stopping {
		return
	}
	if n.a.Kernel.Structural {
		p.arrange(n)
		return
	}
	n.state = lookingUp
	p.looking++
	p.spawn(func() func() {
		p.lookups <- struct{}{}
		defer func() { <-p.lookups }()
		if n.key == "" {
			digests := make(map[string]artifact.Digest, len(n.ins))
			for _, in := range n.ins {
				digests[in.name] = in.out.digest
			}
			n.key, n.record = action.ActionKey(n.a, digests)
		}
		entry, err := p.e.find(p.waiting, n)
		if entry == nil && err == nil {
			entry, err = p.e.findRemote(p.waiting, n)
		}
		return func() {
			p.looking--
			p.lookedUp(n, entry, err)
		}
	})
}

// find returns the index entry of n if it will do, or nil. It may run in any
// goroutine.
func (e *Executor) find(ctx context.Context, n *node) (*cache.Entry, error) {
	entry, ok, err := e.store.GetEntry(cache.Digest(n.key))
	if err != nil || !ok {
		return nil, err
	}
	lasting := true
	for _, o := range n.outs {
		have := entryOutput(entry, o.name)
		if have == nil {
			return nil, nil
		}
		if o.class != action.Durable || have.Class == cache.Durable && !e.checkpointing.Load() {
			continue
		}
		if have.Class == cache.Evicted {
			continue // it is made again when somebody reads it
		}
		// Leaves that a checkpoint may have, and be about to take along.
		tree, err := artifact.DecodeTree(have.Tree)
		if err != nil {
			return nil, err
		}
		e.known.claim(leafDigests(tree)...)
		gone, err := e.known.missing(leafDigests(tree))
		if err != nil {
			return nil, err
		}
		if len(gone) > 0 {
			// On record from the remote, say, which has the bytes.
			if !e.o.Remote.Holds(ctx, leavesIn(tree, gone)) {
				return nil, nil
			}
			continue
		}
		if have.Class == cache.Durable {
			continue
		}
		// On record with less than is wanted now, but all bytes happen to be
		// there, so the promise can be made good.
		if _, err := e.store.Put(have.Tree); err != nil {
			return nil, err
		}
		have.Class, lasting = cache.Durable, false
	}
	if !lasting {
		var gone *cache.MissingError
		if err := e.store.PutEntry(entry); errors.As(err, &gone) {
			return nil, nil
		} else if err != nil {
			return nil, err
		}
	}
	if err := e.store.PutDef(cache.Digest(n.def), cache.Digest(n.key)); err != nil {
		e.logf("executor: %v", err) // it only predicts
	}
	return entry, nil
}

func entryOutput(e *cache.Entry, name string) *cache.Output {
	for i := range e.Outputs {
		if e.Outputs[i].Name == name {
			return &e.Outputs[i]
		}
	}
	return nil
}

func leafDigests(t *artifact.Tree) []artifact.Digest {
	ds := make([]artifact.Digest, len(t.Entries))
	for i, e := range t.Entries {
		ds[i] = e.Digest
	}
	return ds
}

func (p *pass) lookedUp(n *node, entry *cache.Entry, err error) {
	cause := n.failedInput()
	switch {
	case cause != nil:
		p.fail(n, cause, false)
	case err != nil:
		p.fail(n, &ActionError{Action: n.a, Err: err}, true)
	case entry != nil:
		p.hit(n, entry)
	case p.leaders[n.key] != nil:
		n.state = wanted
		l := p.leaders[n.key]
		l.followers = append(l.followers, n)
	default:
		n.state = wanted
		p.leaders[n.key] = n
		p.prepare(p.newJob(n, false))
	}
}

// hit settles n with what the index says.
func (p *pass) hit(n *node, entry *cache.Entry) {
	for _, o := range n.outs {
		have := entryOutput(entry, o.name)
		o.setTree(artifact.Digest(have.Digest), have.Tree, nil, have.Bytes)
		n.evicted = n.evicted || have.Class == cache.Evicted
		o.promised = have.Class == cache.Durable
	}
	out := Outcome{Status: Cached, Seconds: entry.Seconds, PeakBytes: entry.PeakBytes}
	if a, ok := p.e.landed(n.key); ok {
		out.Status, out.Seconds, out.Worker = Ran, a.seconds, a.worker
	}
	p.finish(n, out)
}

// tell lets the users of a node begin, whose outputs are known.
func (p *pass) tell(n *node) {
	if n.told {
		return
	}
	n.told = true
	for _, o := range n.outs {
		p.keep(o)
	}
	for _, u := range n.users {
		u.waiting--
		if u.waiting == 0 && u.state == demanded {
			p.lookup(u)
		}
	}
}

// defers reports whether n has to wait with settling for what it reads: that
// is computed, and may still fail to get on record. Then what n waits for
// calls again. So outcomes do not depend on who is quicker to the disk.
func (p *pass) defers(n *node, again func()) bool {
	for _, in := range n.ins {
		if m := in.out.n; m.state == computed {
			m.settling = append(m.settling, again)
			return true
		}
	}
	return false
}

// finish settles a node whose outputs are known.
func (p *pass) finish(n *node, out Outcome) {
	if p.defers(n, func() { p.finish(n, out) }) {
		n.state = computed
		p.tell(n)
		p.letGo(n)
		return
	}
	if cause := n.failedInput(); cause != nil {
		p.fail(n, cause, false)
		return
	}
	n.state = done
	out.Key, out.Digests = n.key, make(map[string]artifact.Digest, len(n.outs))
	for _, o := range n.outs {
		out.Digests[o.name] = o.digest
	}
	p.e.noteStored(n)
	p.tell(n)
	for _, f := range p.unlead(n) {
		p.follow(f, n, out)
	}
	p.settle(n, out)
	n.settled()
}

// settled lets those go on that waited for n to settle.
func (n *node) settled() {
	fs := n.settling
	n.settling = nil
	for _, f := range fs {
		f()
	}
}

// follow settles f with the outputs of n, which has the same key.
func (p *pass) follow(f, n *node, out Outcome) {
	for _, o := range f.outs {
		from := n.output(o.name)
		if o.class == action.Durable && from.class != action.Durable {
			p.lookup(f) // n stored less than f wants
			return
		}
	}
	for _, o := range f.outs {
		from := n.output(o.name)
		tree, err := from.tree()
		if err != nil {
			p.fail(f, &ActionError{Action: f.a, Err: err}, true)
			return
		}
		o.setTree(from.digest, from.raw, tree, from.bytes)
	}
	p.finish(f, Outcome{Status: Cached, Seconds: out.Seconds, PeakBytes: out.PeakBytes})
}

func (p *pass) unlead(n *node) []*node {
	if p.leaders[n.key] == n {
		delete(p.leaders, n.key)
	}
	fs := n.followers
	n.followers = nil
	return fs
}

// fail settles a node that gives nothing; own says that the failure is its
// own. What depends on it fails too.
func (p *pass) fail(n *node, cause *ActionError, own bool) {
	n.state, n.cause = failed, cause
	out := Outcome{Status: Skipped, Err: &DependencyError{cause}, Key: n.key}
	if own {
		out.Status, out.Err = Failed, cause
	}
	for _, f := range p.unlead(n) {
		p.lookup(f)
	}
	p.settle(n, out)
	for _, u := range n.users {
		if u.state == demanded {
			p.fail(u, cause, false)
		}
	}
	n.settled()
	if own && p.e.o.FailFast && !p.stopping {
		p.halt(errFailFast)
		p.cancel()
	}
}

// letGo ends n's claim on the bytes of its inputs.
func (p *pass) letGo(n *node) {
	if !n.holding {
		return
	}
	n.holding = false
	for _, in := range n.ins {
		p.unhold(in.out)
	}
}

// settle ends n's part in the pass and tells.
func (p *pass) settle(n *node, out Outcome) {
	p.left--
	p.letGo(n)
	p.e.mu.Lock()
	n.outcome = out
	p.e.mu.Unlock()
	if !n.a.Computes() {
		return
	}
	p.e.ev.settled(n, out.Status)
	p.e.ev.send(Event{Kind: EventFinished, Action: n.a, Status: out.Status, Err: out.Err, Seconds: out.Seconds})
}

// keep holds those leaves of o that are in memory if somebody will need them.
func (p *pass) keep(o *output) {
	if o.pending == 0 || p.e.mem.empty() {
		return
	}
	tree, err := o.tree()
	if err != nil {
		return // whoever needs it will say so
	}
	old := o.held
	o.held = nil
	for _, e := range tree.Entries {
		if l := p.e.mem.get(e.Digest); l != nil {
			o.held = append(o.held, l)
		}
	}
	p.e.mem.release(old...)
}

func (p *pass) unhold(o *output) {
	o.pending--
	if o.pending > 0 {
		return
	}
	p.e.mem.release(o.held...)
	o.held = nil
	p.e.tryDrop(o)
}
