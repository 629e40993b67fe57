package executor

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/executor/dispatch"
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
)

// rate is what is assumed of a worker where nothing better is known: floating
// point operations a second.
const rate = 120e9

// maxCrewSeconds bounds the expected time of actions that are sent together
// though they are about different things: what is lost with a worker is small,
// and so is what a way there and back would cost.
const maxCrewSeconds = 10

// seconds is what an action is expected to take.
func (e *Executor) seconds(a *action.Action) float64 {
	if e.o.Cost != nil {
		if s := e.o.Cost(a); s > 0 {
			return s
		}
	}
	return a.Flops / rate
}

// goes reports whether a job is to be done elsewhere. Bytes are made again here:
// that is for when there is trouble elsewhere.
func (p *pass) goes(j *job) bool {
	if j.n == nil || j.rewind || j.here || !p.e.o.Dispatch.Usable() {
		return false
	}
	var bytes int64
	for _, o := range j.wants {
		if tree, err := o.tree(); err == nil {
			for _, l := range tree.Entries {
				if !p.e.o.Remote.Has(l) {
					bytes += l.Size
				}
			}
		}
	}
	return p.e.o.Dispatch.Worth(p.e.seconds(j.n.a), bytes)
}

// elsewhere returns the gaps that are gaps for a worker too.
func (p *pass) elsewhere(gaps []gap) []gap {
	return slices.DeleteFunc(gaps, func(g gap) bool {
		tree, err := g.out.tree()
		if err != nil {
			return false
		}
		return p.e.o.Remote.Has(leavesIn(tree, []artifact.Digest{g.digest})[0])
	})
}

// send has a job done elsewhere, at once or when there is room.
func (p *pass) send(j *job) {
	if len(p.away) >= p.e.o.Dispatch.InFlight() {
		p.outbox = append(p.outbox, j)
		return
	}
	p.away[j] = true
	p.e.ev.count(func(t *Totals) { t.Running++ })
	crew := p.crew(j)
	p.spawn(func() func() {
		r := p.dispatch(j, crew)
		return func() {
			delete(p.away, j)
			p.e.ev.count(func(t *Totals) { t.Running-- })
			if len(p.outbox) > 0 && !p.stopping {
				next := p.outbox[0]
				p.outbox = p.outbox[1:]
				p.send(next)
			}
			p.completed(j, r)
		}
	})
}

// crew returns the node of j and those that are done along with it: as long as
// exactly one node could begin when these are done, it does, on the same worker,
// and nobody waits longer for it.
func (p *pass) crew(j *job) []*node {
	crew := []*node{j.n}
	if j.alone {
		return crew
	}
	seconds := p.e.seconds(j.n.a)
	for {
		var next *node
		for _, m := range crew {
			for _, u := range m.users {
				if u == next || u.state != demanded || slices.Contains(crew, u) || !couldBegin(u, crew) {
					continue
				}
				if next != nil {
					return crew
				}
				next = u
			}
		}
		if next == nil || next.a.Kernel.Structural || next.a.Node != j.n.a.Node || !p.atHand(next, crew) {
			return crew
		}
		if seconds += p.e.seconds(next.a); next.a.Label != j.n.a.Label && seconds > maxCrewSeconds {
			return crew
		}
		crew = append(crew, next)
	}
}

// couldBegin reports whether u reads nothing that is not known, or made by the
// crew.
func couldBegin(u *node, crew []*node) bool {
	for _, in := range u.ins {
		if m := in.out.n; m.state != done && m.state != computed && !slices.Contains(crew, m) {
			return false
		}
	}
	return true
}

// atHand reports whether what u reads, and the crew does not make, is here or on
// the server.
func (p *pass) atHand(u *node, crew []*node) bool {
	for _, in := range u.ins {
		if slices.Contains(crew, in.out.n) {
			continue
		}
		tree, err := in.out.tree()
		if err != nil {
			return false
		}
		for _, l := range tree.Entries {
			if !p.e.o.Remote.Has(l) && !p.e.here(l) {
				return false
			}
		}
	}
	return true
}

// here reports whether a leaf's bytes are on this machine. It may run in any
// goroutine.
func (e *Executor) here(l artifact.Entry) bool {
	if m := e.mem.get(l.Digest); m != nil {
		e.mem.release(m)
		return true
	}
	return e.air.get(l.Digest) != nil || e.store.Has(cache.Digest(l.Digest))
}

// dispatch has a crew done and publishes what it made. It runs in a goroutine of
// its own.
func (p *pass) dispatch(j *job, crew []*node) *execution {
	e := p.e
	r := &execution{unlock: j.unlock}
	if r.unlock == nil {
		unlock, err := e.store.LockAction(p.waiting, cache.Digest(j.n.key), p.onWait(j, nil, nil))
		if err != nil {
			r.lockErr = err
			return r
		}
		r.unlock = unlock
		if r.entry, r.err = e.find(p.waiting, j.n); r.entry != nil || r.err != nil {
			return r
		}
	}
	in := newReader(e)
	defer in.close()
	e.ev.send(Event{Kind: EventStarted, Action: j.n.a})
	done, err := e.o.Dispatch.Do(p.ctx, p.order(j, crew, in))
	if err == nil {
		err = e.arrive(crew, done)
	}
	var kernel *dispatch.KernelError
	var lost *dispatch.LostError
	switch {
	case err == nil:
		made := done.Members[0]
		r.seconds, r.worker = made.Seconds, done.Worker
		r.trees = make(map[string]finished, len(made.Trees))
		for name, t := range made.Trees {
			raw := t.Encode()
			r.trees[name] = finished{t, raw, artifact.Sum(raw)}
		}
	case p.ctx.Err() != nil:
		r.err = context.Cause(p.ctx)
	case len(in.lost()) > 0: // what was here when it was sent for
		r.lost, r.err = in.lost(), in.err()
	case errors.As(err, &lost):
		r.lost, r.err = lost.Digests, err
	case errors.As(err, &kernel) && kernel.Member == 0:
		r.err = &ActionError{Action: j.n.a, Err: fmt.Errorf("on worker %s: %w", kernel.Worker, err), Stack: kernel.Stack}
	case errors.As(err, &kernel):
		// A later member's failure is told by that member, which goes by itself.
		r.parked, r.alone = true, true
	default:
		e.o.Dispatch.Once(fmt.Sprintf("%v; such actions are done here", err))
		r.parked, r.here = true, true
	}
	return r
}

// order is the crew as it is sent.
func (p *pass) order(j *job, crew []*node, in *reader) *dispatch.Crew {
	c := &dispatch.Crew{Open: func(l artifact.Entry) (func() ([]byte, func(), error), bool) {
		if !p.e.here(l) {
			return nil, false
		}
		return func() ([]byte, func(), error) {
			b, err := in.load(l)
			return b, func() {}, err
		}, true
	}}
	for _, n := range crew {
		m := dispatch.Member{Action: n.a}
		var reads int64
		for _, i := range n.ins {
			input := dispatch.Input{Name: i.name, Output: i.out.name}
			if k := slices.Index(crew, i.out.n); k >= 0 {
				input.Member = k
			} else {
				// It parsed when the job was prepared.
				input.Tree, _ = i.out.tree()
				reads += input.Tree.Size()
			}
			m.Inputs = append(m.Inputs, input)
		}
		for _, o := range n.outs {
			m.Outputs = append(m.Outputs, o.name)
		}
		c.Members = append(c.Members, m)
		c.Memory = max(c.Memory, reads+need(n.a, func(int) bool { return false }))
	}
	return c
}

// arrive puts what a crew made on record, each member under its own key. Bytes
// stay on the server until somebody wants them here.
func (e *Executor) arrive(crew []*node, done *dispatch.Done) error {
	keys := map[*node]artifact.Digest{}
	for i, n := range crew {
		digests := make(map[string]artifact.Digest, len(n.ins))
		for _, in := range n.ins {
			if k := slices.Index(crew, in.out.n); k >= 0 {
				digests[in.name] = done.Members[k].Trees[in.out.name].Digest()
			} else {
				digests[in.name] = in.out.digest
			}
		}
		key, record := action.ActionKey(n.a, digests)
		keys[n] = key
		made := done.Members[i]
		entry := &cache.Entry{Action: cache.Digest(key), Kernel: n.a.Kernel.Name, Seconds: made.Seconds, Producer: e.o.Producer, KeyRecord: cache.Digest(artifact.Sum(record))}
		for _, o := range n.outs {
			t := made.Trees[o.name]
			raw := t.Encode()
			class := cache.Transient
			if o.class == action.Durable {
				class = cache.Durable
			}
			entry.Outputs = append(entry.Outputs, cache.Output{Name: o.name, Digest: cache.Sum(raw), Tree: raw, Bytes: t.Size(), Class: class})
		}
		if err := e.agrees(key, n, entry); err != nil {
			return err
		}
		if _, err := e.o.Remote.Adopt(entry, record); err != nil {
			return err
		}
		if err := e.store.PutDef(cache.Digest(n.def), cache.Digest(key)); err != nil {
			e.logf("executor: %v", err) // it only predicts
		}
		e.o.Remote.Publish(entry, record, done.Worker)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, n := range crew[1:] {
		e.arrived[keys[n]] = arrival{done.Worker, done.Members[i+1].Seconds}
	}
	return nil
}

// arrival is what is known of an action that was done along with another one.
type arrival struct {
	worker  string
	seconds float64
}

// landed returns who did the action under key along with another one, once.
func (e *Executor) landed(key artifact.Digest) (arrival, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	a, ok := e.arrived[key]
	delete(e.arrived, key)
	return a, ok
}
