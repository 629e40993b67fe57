package executor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
)

// writers is how many leaves of one action are written at a time: a file
// system's journal serves neighbouring syncs with one commit.
const writers = 8

// keeping says what becomes of an output's new leaves.
type keeping struct {
	stored, durable bool
	rank            float64 // of leaves in memory
}

// execution is what exec reports.
type execution struct {
	// entry is set when the action turned out to be published.
	entry *cache.Entry
	// parked: the lock is held now, but the job's place was given up meanwhile.
	parked  bool
	lockErr error
	unlock  func()
	// worker did it, elsewhere. here: it is to be done here after all; alone: it
	// is to be sent by itself.
	worker      string
	here, alone bool

	again   bool // it had run before and is compared with that
	trees   map[string]finished
	made    []*memLeaf
	err     error
	lost    []artifact.Digest // leaves that were gone or damaged
	seconds float64
	peak    int64
}

// finished is an output's tree in all its forms.
type finished struct {
	tree   *artifact.Tree
	raw    []byte
	digest artifact.Digest
}

// exec runs a job's kernel and publishes what it made. It runs in a goroutine
// of its own.
func (p *pass) exec(j *job, how []keeping) *execution {
	r := &execution{unlock: j.unlock}
	if !j.rewind && r.unlock == nil {
		parked := false
		unlock, err := p.e.store.LockAction(p.waiting, cache.Digest(j.n.key), p.onWait(j, func() {
			p.unslot(j)
		}, &parked))
		if err != nil {
			r.lockErr = err
			return r
		}
		r.unlock = unlock
		// Whoever had the lock before has probably just published.
		if r.entry, err = p.e.find(p.waiting, j.n); err != nil {
			r.err = err
			return r
		}
		if r.entry != nil {
			return r
		}
		if r.parked = parked; parked {
			return r
		}
	}
	p.compute(j, how, r)
	return r
}

// compute runs the kernel and, if that went well, publishes.
func (p *pass) compute(j *job, how []keeping, r *execution) {
	n, e := j.n, p.e
	in := newReader(e)
	defer in.close()
	w := newLeafWriter(p.ctx, e, j)
	ctx := p.ctx
	if e.o.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, e.o.Timeout, &TimeoutError{e.o.Timeout})
		defer cancel()
	}
	c := &action.Context{Context: ctx, Params: n.a.Params, Progress: e.ev.progress(n.a, j.rewind),
		In: map[string]*artifact.Value{}, Out: map[string]*artifact.Builder{}}
	if !j.solo {
		c.Pool = e.pool
		live, reserved, _, _ := e.mem.usage()
		c.Memory = max(0, e.mem.budget-live-reserved)
	}
	for _, i := range n.ins {
		v, err := in.value(i.out)
		if err != nil {
			r.err = err
			return
		}
		c.In[i.name] = v
	}
	for i, o := range n.outs {
		c.Out[o.name] = w.builder(how[i])
	}
	if !j.rewind {
		w.text(n.record) // while the kernel runs: a sync takes its time
	}
	e.ev.send(Event{Kind: EventStarted, Action: n.a, Rewind: j.rewind})
	peak := e.anon.watch()
	start := time.Now()
	err := call(n.a, c)
	if err != nil && ctx.Err() != nil && p.ctx.Err() == nil {
		err = context.Cause(ctx)
	}
	r.seconds, r.peak = time.Since(start).Seconds(), peak()
	r.trees = make(map[string]finished, len(n.outs))
	for i, o := range n.outs {
		tree, _ := c.Out[o.name].Finish()
		raw := tree.Encode()
		r.trees[o.name] = finished{tree, raw, artifact.Sum(raw)}
		if how[i].stored && err == nil {
			w.text(raw)
		}
	}
	r.made = w.takeMade()
	r.lost = in.lost()
	switch {
	case err == nil && len(r.lost) > 0:
		// The kernel went on without bytes that it asked for.
		r.err = in.err()
	case err != nil:
		r.err = err
	default:
		if r.err = in.check(); r.err == nil {
			r.err = e.carry(n, how, r, w)
		}
	}
	// Threads and inputs are free while the leaves are on their way to disk.
	// What has been on record before is compared with that first.
	r.again = n.outs[0].digest != ""
	w.handOver()
	if r.err == nil && !j.rewind && !r.again {
		in.releaseHeap()
		p.post(func() { p.computed(j, r) })
	} else {
		p.post(func() { p.unslot(j) })
	}
	if werr := w.wait(); r.err == nil {
		r.err = werr
	}
	if r.err == nil {
		r.err = in.landed()
	}
	if r.err == nil {
		r.err = e.publish(n, how, r, j.rewind)
	}
}

// post has f run in the coordinator; exec goes on at once after it.
func (p *pass) post(f func()) { p.posts <- f }

// call runs the kernel; a panic becomes an *ActionError with its stack.
func call(a *action.Action, c *action.Context) error {
	err := action.Call(a.Kernel, c)
	var p *action.PanicError
	if errors.As(err, &p) {
		return &ActionError{Action: a, Err: err, Stack: p.Stack}
	}
	return err
}

// leafWriter takes the leaves that a kernel puts to the store or into memory.
type leafWriter struct {
	ctx  context.Context
	e    *Executor
	j    *job
	g    errgroup.Group
	mu   sync.Mutex
	made []*memLeaf
	// sent are the leaves that are stored or on their way.
	sent map[artifact.Digest]bool
	// landings are leaves of others on their way, which are carried over.
	landings []*landing
	// flying are bytes on their way. The job's reservation counts them until over
	// is set, the memory budget from then on.
	flying int64
	over   bool
}

func newLeafWriter(ctx context.Context, e *Executor, j *job) *leafWriter {
	w := &leafWriter{ctx: ctx, e: e, j: j, sent: map[artifact.Digest]bool{}}
	w.g.SetLimit(writers)
	return w
}

func (w *leafWriter) builder(how keeping) *artifact.Builder {
	return artifact.NewSinkBuilder(func(entry artifact.Entry, data []byte) {
		if how.durable {
			w.e.known.claim(entry.Digest)
		}
		if how.stored {
			w.store(entry.Digest, data, false)
			return
		}
		if w.e.known.isLost(entry.Digest) {
			w.store(entry.Digest, data, true)
		}
		l := w.e.mem.add(entry.Digest, data, how.rank, &w.j.reserved)
		w.mu.Lock()
		w.made = append(w.made, l)
		w.mu.Unlock()
	})
}

// store sends a leaf on its way, whose bytes others have read, or may read,
// from memory if shared. It blocks while too much is on its way already.
func (w *leafWriter) store(d artifact.Digest, data []byte, shared bool) {
	size := int64(len(data))
	w.mu.Lock()
	w.sent[d] = true
	w.mu.Unlock()
	n := min(size, flightBytes)
	if err := w.e.flight.Acquire(w.ctx, n); err != nil {
		w.g.Go(func() error { return err })
		return
	}
	w.fly(size)
	l := w.e.air.takeOff(d, data)
	w.g.Go(func() error {
		defer w.e.flight.Release(n)
		err := w.e.store.PutAs(cache.Digest(d), data)
		if lent := w.e.air.land(d, l); err == nil && (lent || shared) {
			err = w.e.readBack(d, data)
		}
		if err == nil {
			w.e.known.add(d)
		}
		l.landed(err)
		data, l = nil, nil
		w.e.pacing.dropped(size) // before others that wait for the flight go on
		w.fly(-size)
		return err
	})
}

// fly counts n more bytes on their way, or fewer.
func (w *leafWriter) fly(n int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flying += n
	if w.over {
		w.e.mem.fly(n)
	}
}

// handOver has the budget count what is on its way when the job gives its
// reservation back.
func (w *leafWriter) handOver() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	w.e.mem.fly(w.flying)
}

// readBack has the store hash the file of a leaf that was read from memory
// before it was there: of all others the first reader does. A leaf that the
// disk has damaged, or that somebody took away, is stored again.
func (e *Executor) readBack(d artifact.Digest, data []byte) error {
	b, err := e.store.Open(cache.Digest(d))
	if err == nil {
		b.Release()
		return nil
	}
	if !errors.Is(err, cache.ErrCorrupt) && !errors.Is(err, cache.ErrNotFound) {
		return err
	}
	got, err := e.store.Put(data)
	if err == nil && artifact.Digest(got) != d {
		err = fmt.Errorf("a leaf changed while it was being stored (digest %s, now %s): the kernel writes to bytes it has put", d.Short(), got.Short())
	}
	return err
}

// text stores a tree or a key record alongside.
func (w *leafWriter) text(data []byte) {
	w.g.Go(func() error {
		_, err := w.e.store.Put(data)
		return err
	})
}

// has reports whether the leaf was put here for the store.
func (w *leafWriter) has(d artifact.Digest) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sent[d]
}

// takeMade hands over the references to the transient leaves.
func (w *leafWriter) takeMade() []*memLeaf {
	w.mu.Lock()
	defer w.mu.Unlock()
	made := w.made
	w.made = nil
	return made
}

// wait returns when all leaves are stored, or one has failed.
func (w *leafWriter) wait() error {
	err := w.g.Wait()
	for _, l := range w.landings {
		<-l.done
	}
	return err
}

// reader gives a kernel the bytes of its inputs and remembers what it lent.
type reader struct {
	e      *Executor
	mu     sync.Mutex
	leaves map[artifact.Digest]*memLeaf
	blobs  map[artifact.Digest]*cache.Blob
	flying map[artifact.Digest][]byte // what is or was on its way to the store
	lent   int64                      // of them
	ways   []*landing                 // of all that flew
	gone   []artifact.Digest
	first  error // of loading
}

func newReader(e *Executor) *reader {
	return &reader{e: e, leaves: map[artifact.Digest]*memLeaf{}, blobs: map[artifact.Digest]*cache.Blob{}, flying: map[artifact.Digest][]byte{}}
}

func (r *reader) value(o *output) (*artifact.Value, error) {
	tree, err := o.tree()
	if err != nil {
		return nil, err
	}
	return &artifact.Value{Tree: tree, Load: r.load}, nil
}

// load returns a leaf from memory, else from the store. The bytes stay valid
// until close.
func (r *reader) load(e artifact.Entry) ([]byte, error) {
	r.mu.Lock()
	l, b := r.leaves[e.Digest], r.blobs[e.Digest]
	data, flying := r.flying[e.Digest]
	r.mu.Unlock()
	switch {
	case flying:
		return data, nil
	case l != nil:
		return r.e.mem.bytes(l), nil
	case b != nil:
		return b.Bytes(), nil
	}
	if l := r.e.mem.get(e.Digest); l != nil {
		r.mu.Lock()
		if have := r.leaves[e.Digest]; have != nil {
			r.mu.Unlock()
			r.e.mem.release(l)
			return r.e.mem.bytes(have), nil
		}
		r.leaves[e.Digest] = l
		r.mu.Unlock()
		return r.e.mem.bytes(l), nil
	}
	if l, n, ok := r.e.air.lend(e.Digest); ok {
		r.mu.Lock()
		r.flying[e.Digest] = l.data
		r.lent += n
		r.ways = append(r.ways, l)
		r.mu.Unlock()
		return l.data, nil
	} else if l != nil {
		<-l.done
	}
	b, err := r.e.store.Open(cache.Digest(e.Digest))
	if err == nil && int64(len(b.Bytes())) != e.Size {
		err = fmt.Errorf("%d bytes, expected %d: %w", len(b.Bytes()), e.Size, cache.ErrCorrupt)
		b.Release()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.gone = append(r.gone, e.Digest)
		if r.first == nil {
			r.first = fmt.Errorf("leaf %q: %w", e.Name, err)
		}
		return nil, err
	}
	if have := r.blobs[e.Digest]; have != nil {
		b.Release()
		return have.Bytes(), nil
	}
	r.blobs[e.Digest] = b
	return b.Bytes(), nil
}

func (r *reader) lost() []artifact.Digest {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.gone
}

func (r *reader) err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.first
}

// check reports a source file that was changed while its bytes were in use.
func (r *reader) check() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var errs []error
	for _, b := range r.blobs {
		if err := b.Check(); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		return fmt.Errorf("the result is thrown away: %w", errors.Join(errs[0]))
	}
	return nil
}

// releaseHeap gives back the leaves that are on the heap, when the kernel has
// ended. Slices of them that a kernel passed on stay valid; a mapping would not
// until close.
func (r *reader) releaseHeap() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for d, l := range r.leaves {
		if r.e.mem.releaseHeap(l) {
			delete(r.leaves, d)
		}
	}
	r.land()
}

// land gives back what was read on its way to the store. Its caller has mu.
func (r *reader) land() {
	r.e.air.giveBack(r.lent)
	r.lent = 0
	clear(r.flying)
}

// errAdrift is for what was made from bytes that never got to the store: they
// may have been others than their digest says.
var errAdrift = errors.New("a leaf that it had read on its way to the store did not get there")

// landed waits until what was read on its way to the store is there. What was
// made from it may be put on record then.
func (r *reader) landed() error {
	r.mu.Lock()
	ways := r.ways
	r.mu.Unlock()
	for _, l := range ways {
		<-l.done
		if l.err != nil {
			return fmt.Errorf("%w: %w", errAdrift, l.err)
		}
	}
	return nil
}

// close ends the validity of what load returned.
func (r *reader) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range r.blobs {
		b.Release()
	}
	for _, l := range r.leaves {
		r.e.mem.release(l)
	}
	clear(r.blobs)
	clear(r.leaves)
	r.land()
}
