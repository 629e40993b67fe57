package executor

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
)

// maxAttempts bounds how often a job finds the same leaf gone. Once or twice is
// damage; this often, the disk or another program is at work.
const maxAttempts = 6

// job is one execution of a kernel, or the wish to have an output's bytes at
// hand (then n is nil). Its fields belong to the coordinator, but for those
// that exec says it uses.
type job struct {
	n      *node
	rewind bool      // n is on record, its bytes are wanted
	wants  []*output // what it reads

	refs  []*memLeaf // leaves of wants that are in memory
	holds []*output  // outputs it counts as a pending consumer of
	deps  int        // rewinds it waits for
	// dependents are the jobs that wait for this rewind.
	dependents []*job
	attempts   map[artifact.Digest]int
	fetched    map[artifact.Digest]bool // leaves that the remote was asked for
	locking    bool
	unlock     func() // set while the action's lock is held
	over       bool
	// here: it is not sent elsewhere (again); alone: not with others.
	here, alone bool

	reserved int64 // of the memory budget; the kernel's sink turns it into live bytes
	solo     bool
	made     []*memLeaf // transient leaves that the kernel put

	// done is called when a wish is fulfilled, with references to the leaves
	// that are in memory, or has failed.
	done func([]*memLeaf, error)
	// compared is set for a rewind that only compares: it is told whether the
	// record holds, and nothing is stored.
	compared func(error)
	// publishing is set from when the kernel has ended well until all is on
	// record.
	publishing bool
}

func (p *pass) newJob(n *node, rewind bool) *job {
	j := &job{n: n, rewind: rewind}
	for _, in := range n.ins {
		j.wants = append(j.wants, in.out)
	}
	n.job = j
	p.jobs[j] = true
	if rewind {
		for _, o := range j.wants {
			p.hold(j, o)
		}
	}
	return j
}

// newWish returns a job that only brings o's bytes about.
func (p *pass) newWish(o *output, done func([]*memLeaf, error)) *job {
	j := &job{wants: []*output{o}, done: done}
	p.jobs[j] = true
	p.left++
	p.hold(j, o)
	return j
}

// hold makes j a pending consumer of o.
func (p *pass) hold(j *job, o *output) {
	if !slices.Contains(j.holds, o) {
		j.holds = append(j.holds, o)
		o.pending++
	}
}

// again counts that a leaf is gone and reports whether it is worth making it
// again.
func (j *job) again(d artifact.Digest) bool {
	if j.attempts == nil {
		j.attempts = map[artifact.Digest]int{}
	}
	j.attempts[d]++
	return j.attempts[d] <= maxAttempts
}

// gap is a leaf that is nowhere.
type gap struct {
	out    *output
	digest artifact.Digest
}

// gather takes references to the leaves j reads that are in memory and returns
// those that are neither there nor in the store.
func (p *pass) gather(j *job) ([]gap, error) {
	p.e.mem.release(j.refs...)
	j.refs = nil
	var gaps []gap
	for _, o := range j.wants {
		tree, err := o.tree()
		if err != nil {
			return nil, err
		}
		var ask []artifact.Digest
		for _, e := range tree.Entries {
			if l := p.e.mem.get(e.Digest); l != nil {
				j.refs = append(j.refs, l)
			} else if p.e.air.get(e.Digest) == nil {
				ask = append(ask, e.Digest)
			}
		}
		gone, err := p.e.known.missing(ask)
		if err != nil {
			return nil, err
		}
		for _, d := range gone {
			gaps = append(gaps, gap{o, d})
		}
	}
	return gaps, nil
}

// prepare materialises what j reads: it becomes ready at once, or once the
// rewinds that it needs are over.
func (p *pass) prepare(j *job) {
	gaps, err := p.gather(j)
	if err != nil {
		p.failJob(j, err)
		return
	}
	if len(gaps) > 0 && p.goes(j) {
		gaps = p.elsewhere(gaps)
	}
	if len(gaps) == 0 {
		p.enqueue(j)
		return
	}
	if j.n != nil && !j.rewind && j.unlock == nil {
		// Another process may be about to publish this action. Making its
		// inputs again meanwhile, back to the first block perhaps, would be a
		// waste, so the lock comes first.
		p.lockEarly(j)
		return
	}
	if p.fetch(j, gaps) {
		return
	}
	for _, g := range gaps {
		if j.over {
			return // a rewind failed at once
		}
		if !j.again(g.digest) {
			p.failJob(j, fmt.Errorf("leaf %s of %s is gone again each time it is made", g.digest.Short(), describe(g.out.n.a)))
			return
		}
		r := origin(g.out, g.digest)
		if r == nil {
			p.failJob(j, p.e.sourceError(g))
			return
		}
		if r.n.broken != nil {
			p.failJob(j, r.n.broken)
			return
		}
		p.hold(j, r)
		rj := r.n.job
		if rj == nil {
			rj = p.newJob(r.n, true)
			j.deps++
			rj.dependents = append(rj.dependents, j)
			p.prepare(rj)
		} else if !slices.Contains(rj.dependents, j) {
			j.deps++
			rj.dependents = append(rj.dependents, j)
		}
	}
}

// sourceError says what is wrong with a leaf of a source.
func (e *Executor) sourceError(g gap) error {
	tree, err := g.out.tree()
	if err != nil {
		return err
	}
	name := ""
	for _, x := range tree.Entries {
		if x.Digest == g.digest {
			name = x.Name
			break
		}
	}
	blob, err := e.store.Open(cache.Digest(g.digest))
	if err == nil {
		blob.Release()
		err = fmt.Errorf("its bytes come and go")
	}
	return fmt.Errorf("leaf %q of a source: %w", name, err)
}

// lockEarly takes the lock before the inputs are there.
func (p *pass) lockEarly(j *job) {
	if j.locking || p.stopping {
		return
	}
	j.locking = true
	p.spawn(func() func() {
		unlock, err := p.e.store.LockAction(p.waiting, cache.Digest(j.n.key), p.onWait(j, nil, nil))
		if err != nil {
			return func() { j.locking = false; p.lockFailed(j, err) }
		}
		entry, err := p.e.find(p.waiting, j.n)
		return func() {
			j.locking, j.unlock = false, unlock
			switch {
			case err != nil:
				p.failJob(j, err)
			case entry != nil:
				p.found(j, entry)
			default:
				p.prepare(j)
			}
		}
	})
}

// onWait returns what to call while another process has the lock of j's
// action. The first time it sets waited and has first run in the coordinator.
func (p *pass) onWait(j *job, first func(), waited *bool) func(string) {
	return func(holder string) {
		p.e.ev.send(Event{Kind: EventWaiting, Action: j.n.a, Holder: holder})
		if first != nil && !*waited {
			*waited = true
			p.post(first)
		}
	}
}

func (p *pass) lockFailed(j *job, err error) {
	if p.waiting.Err() != nil {
		p.halt(context.Cause(p.ctx))
		p.dismiss(j)
		return
	}
	p.failJob(j, err)
}

// found ends a job whose action somebody else has published.
func (p *pass) found(j *job, entry *cache.Entry) {
	n := j.n
	p.dismiss(j)
	p.hit(n, entry)
}

// dismiss ends a job, whether or not it got anywhere; its node is settled by
// the caller, or at the end of the pass.
func (p *pass) dismiss(j *job) {
	if j.over {
		return
	}
	j.over = true
	delete(p.jobs, j)
	p.unslot(j)
	drop := func(list []*job) []*job { return slices.DeleteFunc(list, func(k *job) bool { return k == j }) }
	p.ready, p.outbox = drop(p.ready), drop(p.outbox)
	if j.unlock != nil {
		j.unlock()
		j.unlock = nil
	}
	p.e.mem.release(j.refs...)
	p.e.mem.release(j.made...)
	j.refs, j.made = nil, nil
	if j.n != nil && j.n.job == j {
		j.n.job = nil
	}
	p.dropHolds(j)
}

// failJob ends a job with an error, and those that wait for it.
func (p *pass) failJob(j *job, err error) {
	if j.over {
		return
	}
	dependents := j.dependents
	j.dependents = nil
	p.dismiss(j)
	switch {
	case j.n == nil:
		p.left--
		j.done(nil, err)
	case j.rewind:
		var w *cache.WriteError
		if !errors.As(err, &w) {
			j.n.broken = err
		}
		p.e.ev.send(Event{Kind: EventFinished, Action: j.n.a, Rewind: true, Status: Failed, Err: err})
		if j.compared != nil {
			j.compared(fmt.Errorf("running it again to compare: %w", err))
		}
		err = &ActionError{Action: j.n.a, Err: fmt.Errorf("making its bytes again: %w", err)}
	default:
		e, ok := err.(*ActionError)
		if !ok || e.Action != j.n.a {
			e = &ActionError{Action: j.n.a, Err: err}
		}
		p.fail(j.n, e, true)
	}
	for _, d := range dependents {
		p.failJob(d, err)
	}
}

// computed takes the news that j's kernel has ended well: what is to be stored
// is on its way, and nothing that j reads is needed any more. Whoever reads its
// outputs begins at once. So how long a value stays in memory does not depend
// on how long the disk takes.
func (p *pass) computed(j *job, r *execution) {
	n := j.n
	p.unslot(j)
	j.publishing = true
	p.publishing++
	n.state = computed
	for _, o := range n.outs {
		t := r.trees[o.name]
		o.setTree(t.digest, t.raw, t.tree, t.tree.Size())
	}
	p.tell(n)
	p.e.mem.release(r.made...)
	p.e.mem.release(j.refs...)
	r.made, j.refs = nil, nil
	p.letGo(n)
	for _, f := range n.followers {
		p.letGo(f)
	}
	p.dropHolds(j)
}

func (p *pass) dropHolds(j *job) {
	holds := j.holds
	j.holds = nil
	for _, o := range holds {
		p.unhold(o)
	}
}

// completed takes the report of exec.
func (p *pass) completed(j *job, r *execution) {
	n := j.n
	j.made, j.unlock = r.made, r.unlock
	if j.publishing {
		j.publishing = false
		p.publishing--
	}
	switch {
	case r.entry != nil:
		p.found(j, r.entry)
		return
	case r.parked:
		j.here, j.alone = j.here || r.here, j.alone || r.alone
		p.prepare(j) // it waited for the lock and has given up its place
		return
	case r.lockErr != nil:
		p.lockFailed(j, r.lockErr)
		return
	}
	if errors.Is(r.err, errAdrift) && !j.rewind {
		// Whoever made the leaf says what is wrong, if it is a node that n reads.
		if p.defers(n, func() { p.completed(j, r) }) {
			return
		}
		if cause := n.failedInput(); cause != nil {
			dependents := j.dependents
			j.dependents = nil
			p.dismiss(j)
			p.fail(n, cause, false)
			for _, d := range dependents {
				p.failJob(d, cause)
			}
			return
		}
	}
	if r.err != nil {
		p.unslot(j)
		switch {
		case len(r.lost) > 0 && p.retry(j, r.lost):
		case p.ctx.Err() != nil && errors.Is(r.err, p.ctx.Err()):
			p.halt(context.Cause(p.ctx))
			dependents := j.dependents
			p.dismiss(j)
			for _, d := range dependents {
				p.dismiss(d)
			}
		default:
			p.failJob(j, r.err)
		}
		return
	}
	dependents := j.dependents
	j.dependents = nil
	if j.rewind {
		if j.compared == nil {
			p.rewound++
		} else {
			j.compared(nil)
		}
		for _, o := range n.outs {
			p.keep(o)
		}
		p.dismiss(j)
		p.e.ev.send(Event{Kind: EventFinished, Action: n.a, Rewind: true, Status: Ran, Seconds: r.seconds})
	} else {
		for _, o := range n.outs {
			t := r.trees[o.name]
			o.setTree(t.digest, t.raw, t.tree, t.tree.Size())
		}
		for _, o := range n.outs {
			p.keep(o)
		}
		p.dismiss(j)
		p.finish(n, Outcome{Status: Ran, Seconds: r.seconds, PeakBytes: r.peak, Worker: r.worker})
	}
	for _, d := range dependents {
		if d.deps--; d.deps == 0 && !d.over {
			p.prepare(d)
		}
	}
}

// retry prepares j anew after leaves it relied on were found to be gone, and
// reports whether that makes sense.
func (p *pass) retry(j *job, lost []artifact.Digest) bool {
	for _, d := range lost {
		p.e.lose(d)
		for _, o := range j.wants {
			if o.contains(d) && origin(o, d) == nil {
				return false // a source: nothing here can make it again
			}
		}
		if !j.again(d) {
			return false
		}
	}
	p.e.mem.release(j.made...)
	j.made = nil
	p.prepare(j)
	return true
}

// lose deals with a blob that was relied on and is gone or damaged. It is
// stored again at once if another job has it in memory, else when it is made.
func (e *Executor) lose(d artifact.Digest) {
	e.known.lose(d)
	l := e.mem.get(d)
	if l == nil {
		return
	}
	defer e.mem.release(l)
	got, err := e.store.Put(e.mem.bytes(l))
	if err == nil && artifact.Digest(got) != d {
		err = fmt.Errorf("in memory it has become %s", got.Short())
	}
	if err != nil {
		e.logf("executor: storing the lost blob %s again: %v", d.Short(), err) // as good as still lost
		return
	}
	e.known.add(d)
}

// need is what a job is expected to take beyond what it reads. Leaves for the
// store leave memory as they are put.
func need(a *action.Action, stored func(i int) bool) int64 {
	n := a.Peak
	for i, o := range a.Outputs {
		if stored(i) {
			// One is being made, others are on their way.
			n += min(o.Bytes, max(flightBytes, o.Largest)+o.Largest)
		} else {
			n += o.Bytes
		}
	}
	return n
}

func (j *job) need() int64 {
	return need(j.n.a, func(i int) bool { return j.compared == nil && j.n.outs[i].stored() })
}
