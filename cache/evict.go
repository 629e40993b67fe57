package cache

import (
	"cmp"
	"container/heap"
	"errors"
	"math"
	"os"
	"slices"
	"time"
)

// To make room, gc takes bytes and leaves the facts: an entry whose blobs it
// takes stays in the index, its durable outputs becoming Evicted. Downstream
// results keep their keys, and the bytes are made again when somebody reads
// them, from the inputs that the entry names.
//
// What that would cost is known. To rebuild an entry is to run its action, and
// before it every action whose bytes it reads and that are not at hand either,
// each once. The price of evicting an entry is by how much that raises the
// expected time of rebuilding, over all evicted entries, for each byte that is
// freed; an entry that was not used for long is the less likely to be wanted.
// gc evicts what is cheapest, looks again at what that did to the others, and
// goes on until the rest fits, but never lets the time to rebuild an entry
// exceed the bound it was given. This is the greedy method for keeping a table
// or deleting it and the recipe (R2D2, SIGMOD 2025), on the graph of actions.

// useHalfLife is the time in which the chance that an unused result is wanted
// again is taken to halve.
const useHalfLife = 7 * 24 * time.Hour

// rebuilder knows what it takes to make bytes again.
type rebuilder struct {
	makers map[Digest]*candidate // of trees
	users  map[*candidate][]*candidate
	mark   int // of the walk under way; see candidate.seen
}

func newRebuilder(entries []*candidate) *rebuilder {
	r := &rebuilder{makers: make(map[Digest]*candidate), users: make(map[*candidate][]*candidate)}
	for _, c := range entries {
		for _, o := range c.outputs {
			// Of several actions with equal results the one that has them.
			if have := r.makers[o.digest]; have == nil || !have.has(o.digest) && c.has(o.digest) {
				r.makers[o.digest] = c
			}
		}
	}
	for _, c := range entries {
		for _, d := range c.inputs {
			if m := r.makers[d]; m != nil && m != c && !slices.Contains(r.users[m], c) {
				r.users[m] = append(r.users[m], c)
			}
		}
	}
	return r
}

// has reports whether the bytes of one of c's trees are at hand.
func (c *candidate) has(tree Digest) bool {
	if c.taken || c.evicted {
		return false
	}
	i := slices.IndexFunc(c.outputs, func(o treeOutput) bool { return o.digest == tree })
	return i >= 0 && c.outputs[i].stored
}

// seconds is the time to rebuild c: of itself and of all it needs that is not
// at hand. Trees that no entry made are those of sources.
func (r *rebuilder) seconds(c *candidate) float64 {
	r.mark++
	var visit func(c *candidate) float64
	visit = func(c *candidate) float64 {
		if c.seen == r.mark {
			return 0
		}
		c.seen = r.mark
		sum := c.seconds
		for _, d := range c.inputs {
			if m := r.makers[d]; m != nil && !m.has(d) {
				sum += visit(m)
			}
		}
		return sum
	}
	return visit(c)
}

// affected lists the evicted entries whose rebuilding reads c's bytes, c among
// them, whether or not it is evicted yet.
func (r *rebuilder) affected(c *candidate) []*candidate {
	out, seen := []*candidate{c}, map[*candidate]bool{c: true}
	for todo := []*candidate{c}; len(todo) > 0; {
		next := todo[0]
		todo = todo[1:]
		for _, u := range r.users[next] {
			if seen[u] {
				continue
			}
			seen[u] = true
			if u.evicted || u.taken {
				out = append(out, u)
			}
			if u.evicted || u.taken || slices.ContainsFunc(u.outputs, func(o treeOutput) bool { return !o.stored }) {
				todo = append(todo, u)
			}
		}
	}
	return out
}

// price returns by how many seconds evicting c raises the expected time of
// rebuilding, and the longest time to rebuild anything that it concerns.
func (r *rebuilder) price(c *candidate) (expected, longest float64) {
	all := r.affected(c)
	before := make([]float64, len(all))
	for i, a := range all {
		if a != c {
			before[i] = r.seconds(a)
		}
	}
	was := c.evicted
	c.evicted = true
	for i, a := range all {
		s := r.seconds(a)
		expected += float64(a.use * (s - before[i]))
		longest = max(longest, s)
	}
	c.evicted = was
	return expected, longest
}

// evict chooses among candidates until the blobs left fit MaxBytes, and marks
// them. A blob that several candidates share counts in equal parts for each,
// and one that must stay does not count. It returns them in the order of
// eviction.
func (g *collector) evict(candidates []*candidate) []*candidate {
	users := make(map[Digest]int) // entries that keep a blob
	fixed := make(map[Digest]bool)
	free := make(map[*candidate]bool)
	for _, c := range candidates {
		free[c] = true
	}
	for _, e := range g.entries {
		if e.chosen {
			continue
		}
		for _, d := range e.blobs {
			users[d]++
			fixed[d] = fixed[d] || !free[e]
		}
		if e.record != "" {
			users[e.record]++
			fixed[e.record] = true
		}
	}
	removable := func(d Digest) int64 {
		f, ok := g.blobs[d]
		if !ok || fixed[d] || g.roots[d] || g.leases.held[d] || g.young(f.changed()) {
			return 0
		}
		return f.size
	}
	var total int64
	for d, f := range g.blobs { // a sum of integers: the order does not matter
		if users[d] > 0 || removable(d) == 0 {
			total += f.size
		}
	}
	r := newRebuilder(g.entries)
	q := &offers{}
	look := func(c *candidate) (offer, bool) {
		var frees float64
		for _, d := range c.blobs {
			frees += float64(removable(d)) / float64(users[d])
		}
		if frees == 0 {
			return offer{}, false
		}
		expected, longest := r.price(c)
		if g.opts.MaxRebuild > 0 && longest > g.opts.MaxRebuild.Seconds() {
			return offer{}, false // and it will not get less
		}
		return offer{c, expected / frees}, true
	}
	for _, c := range candidates {
		if o, ok := look(c); ok {
			*q = append(*q, o)
		}
	}
	heap.Init(q)
	var chosen []*candidate
	for total > g.opts.MaxBytes && q.Len() > 0 {
		o := heap.Pop(q).(offer)
		now, ok := look(o.c)
		if !ok {
			continue
		}
		if q.Len() > 0 && now.price > (*q)[0].price {
			heap.Push(q, now) // it has become dearer since
			continue
		}
		for _, d := range o.c.blobs {
			if users[d]--; users[d] == 0 {
				total -= removable(d)
			}
		}
		o.c.evicted, o.c.chosen = true, true
		chosen = append(chosen, o.c)
	}
	for _, c := range chosen {
		g.report.Rebuild = max(g.report.Rebuild, r.seconds(c))
	}
	return chosen
}

// offer is a candidate at its price: expected seconds a byte.
type offer struct {
	c     *candidate
	price float64
}

// offers is a heap, the cheapest first; of equals the one used longest ago.
type offers []offer

func (q offers) Len() int { return len(q) }
func (q offers) Less(i, j int) bool {
	a, b := q[i], q[j]
	return cmp.Or(cmp.Compare(a.price, b.price), cmp.Compare(a.c.file.time, b.c.file.time), cmp.Compare(a.c.action, b.c.action)) < 0
}
func (q offers) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *offers) Push(x any)   { *q = append(*q, x.(offer)) }
func (q *offers) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}

// useRate is how likely an entry is to be wanted, from how long ago it was.
func useRate(unused time.Duration) float64 {
	return math.Exp2(-max(0, unused.Hours()) / useHalfLife.Hours())
}

// markEvicted writes f's entry anew with its durable outputs as evicted. What
// it says otherwise, and when it was used, stays. It reports whether the entry
// was there and had not been used since gc looked. To be called under the
// removal lock.
func (g *collector) markEvicted(f file) (bool, error) {
	old, err := g.stillOld(f)
	if err != nil || !old {
		return false, err
	}
	data, err := os.ReadFile(f.path())
	if err != nil {
		return false, err
	}
	e, err := parseEntry(data, Digest(f.name))
	if err != nil {
		return false, nil // its next reader drops it
	}
	for i := range e.Outputs {
		if e.Outputs[i].Class == Durable {
			e.Outputs[i].Class = Evicted
		}
	}
	if data, err = e.encode(); err != nil {
		return false, err
	}
	// A power cut may leave it torn, or as it was: a miss either way.
	err = g.s.writeHint(f.path(), data, "the entry of action "+e.Action.Short())
	if err != nil {
		return false, err
	}
	err = os.Chtimes(f.path(), f.changed(), f.changed())
	return err == nil, errors.Join(err)
}
