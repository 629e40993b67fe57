package executor

import (
	"math"
	"slices"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
)

// Differences in memory below grain do not count against a longer path, unless
// more than pressure of the budget is taken.
const (
	grain    = 1 << 20
	pressure = 0.7
)

// maxPublishing bounds the actions that have computed and wait for the disk:
// enough that syncs of small actions share the file system's commits, few
// enough threads in the kernel.
const maxPublishing = 32

// enqueue makes j ready, or fulfils it if it is a wish.
func (p *pass) enqueue(j *job) {
	if j.n == nil {
		p.fulfil(j)
		return
	}
	if p.goes(j) {
		p.send(j)
		return
	}
	if j.need() > p.e.mem.budget {
		p.failJob(j, p.e.fitError(j.n.a, j.need()))
		return
	}
	p.ready = append(p.ready, j)
}

// schedule starts what can start. A kernel has all threads, one at a time,
// unless there are at least as many actions as threads, each no more than its
// share of the work: those run side by side with one thread each, which wastes
// nothing on synchronisation. Nothing starts while lookups, which take no time,
// may still tell of more to choose from.
func (p *pass) schedule() {
	if p.looking > 0 || p.publishing >= maxPublishing {
		return
	}
	for len(p.ready) > 0 && !p.stopping && !p.wide {
		threads := p.e.o.Threads
		if p.solos >= threads {
			return
		}
		j := p.best()
		if threads > 1 && p.share(j) && p.e.mem.reserve(j.need()) {
			p.start(j, true)
			continue
		}
		if !p.e.mem.reserve(j.need()) {
			if len(p.running) > 0 || p.e.mem.flies() {
				return // it will fit once something has ended, or is stored
			}
			p.rankLeaves()
			p.e.mem.makeRoom(j.need(), func(d artifact.Digest) bool { return j.reads(d) })
			p.e.mem.force(j.need())
		}
		p.start(j, false)
	}
}

func (j *job) reads(d artifact.Digest) bool {
	for _, o := range j.wants {
		if o.contains(d) {
			return true
		}
	}
	return false
}

// share reports whether j may run on one thread: there is enough to do for all
// threads, and j is not the one that everything would wait for.
func (p *pass) share(j *job) bool {
	if p.solos+len(p.ready) < p.e.o.Threads {
		return false
	}
	var sum float64
	for _, r := range p.ready {
		sum += r.n.a.Flops
	}
	for r := range p.running {
		sum += r.n.a.Flops
	}
	return j.n.a.Flops*float64(p.e.o.Threads) <= sum
}

// best returns the ready job to start next: the one that frees most memory, or
// takes least; among equals the one at the head of the longest path. Kernels
// are parallel inside, so the order hardly costs time, while following the
// longest path alone would walk through all blocks before it works on the
// first, with everything that hangs on them in memory.
func (p *pass) best() *job {
	live, reserved, _, _ := p.e.mem.usage()
	unit := float64(grain)
	if float64(live+reserved) > pressure*float64(p.e.mem.budget) {
		unit = 1
	}
	var best *job
	var bestFrees float64
	for _, j := range p.ready {
		frees := math.Round(j.frees(p.e.mem) / unit)
		if best == nil || before(frees, j, bestFrees, best) {
			best, bestFrees = j, frees
		}
	}
	return best
}

func before(fa float64, a *job, fb float64, b *job) bool {
	if fa != fb {
		return fa > fb
	}
	if a.n.tail != b.n.tail {
		return a.n.tail > b.n.tail
	}
	return a.n.a.ID < b.n.a.ID
}

// frees estimates the transient bytes that go when j has run, less those that
// come. Bytes that others wait for too are shared among all who do.
func (j *job) frees(mem *memory) float64 {
	var n float64
	for _, o := range j.wants {
		if len(o.held) > 0 {
			n += float64(mem.heapBytes(o.held)) / float64(max(1, o.pending))
		}
	}
	for _, o := range j.n.outs {
		if !o.stored() {
			n -= float64(o.bytes)
		}
	}
	return n
}

func (p *pass) start(j *job, solo bool) {
	p.ready = slices.Delete(p.ready, slices.Index(p.ready, j), slices.Index(p.ready, j)+1)
	j.reserved, j.solo = j.need(), solo
	p.running[j] = true
	if solo {
		p.solos++
	} else {
		p.wide = true
	}
	p.e.ev.count(func(t *Totals) { t.Running++ })
	live, _, _, _ := p.e.mem.usage()
	if live > p.e.mem.budget/2 {
		p.rankLeaves()
	}
	how := make([]keeping, len(j.n.outs))
	for i, o := range j.n.outs {
		how[i] = keeping{rank: p.rank(o)}
		if j.compared == nil {
			how[i].stored, how[i].durable = o.stored(), o.class == action.Durable
		}
	}
	p.spawn(func() func() {
		r := p.exec(j, how)
		return func() { p.completed(j, r) }
	})
}

// unslot gives back the threads and the memory of a job; again, nothing.
func (p *pass) unslot(j *job) {
	if !p.running[j] {
		return
	}
	delete(p.running, j)
	if j.solo {
		p.solos--
	} else {
		p.wide = false
	}
	p.e.mem.unreserve(&j.reserved)
	p.e.ev.count(func(t *Totals) { t.Running-- })
}

// soon ranks what a ready job reads above everything else.
const soon = 1e300

// rank says how soon an output will be needed: the longer the path behind who
// needs it, the sooner.
func (p *pass) rank(o *output) float64 {
	r := 0.0
	for _, u := range o.n.users {
		if u.holding {
			r = max(r, u.tail)
		}
	}
	if o.n.job != nil && o.n.job.rewind {
		r = soon
	}
	return r
}

// rankLeaves updates the ranks of all leaves in memory.
func (p *pass) rankLeaves() {
	for _, n := range p.todo {
		for _, o := range n.outs {
			if len(o.held) == 0 {
				continue
			}
			r := p.rank(o)
			for _, l := range o.held {
				p.e.mem.setRank(l, r)
			}
		}
	}
	for _, j := range p.ready {
		for _, l := range j.refs {
			p.e.mem.setRank(l, soon)
		}
	}
}
