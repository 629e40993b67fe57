package executor

import (
	"cmp"
	"context"
	"hash/fnv"
	"slices"
)

// Sample says how many of the actions that a run finds on record are run again
// and compared, so that a kernel that does not give the same bits each time does
// not stay unnoticed. Which they are follows from the action's key and the seed.
type Sample struct {
	// OneIn is the fraction's denominator; 0 takes none, 1 all.
	OneIn int
	Seed  string
	// Whole takes the fraction whatever it costs, makes inputs again that are
	// not kept, and looks up what memos tell of. Otherwise only those actions are
	// candidates of which all inputs are stored, and comparing takes no more than
	// a small share of the time that the run computed: a run without work
	// compares nothing.
	Whole bool
}

// sampleShare bounds the time of comparing, unless Sample.Whole, to this share
// of the time that actions ran.
const sampleShare = 0.05

// SeedSample sets the sample's seed. It must not be called during a run.
func (e *Executor) SeedSample(seed string) { e.o.Sample.Seed = seed }

// takes reports whether the sample has the action under key.
func (s Sample) takes(key string) bool {
	if s.OneIn <= 0 {
		return false
	}
	h := fnv.New64a()
	h.Write([]byte(s.Seed))
	h.Write([]byte{0})
	h.Write([]byte(key))
	// The low digits of this hash are poor where inputs differ in their last
	// bytes only; keys are digests, which do not.
	return h.Sum64()%uint64(s.OneIn) == 0
}

// compareSample runs actions again that p found on record, and returns how many
// gave what is on record. One that did not has failed then, and the store has
// been told.
func (e *Executor) compareSample(ctx context.Context, p *pass) (compared int, err error) {
	s := e.o.Sample
	if s.OneIn <= 0 {
		return 0, nil
	}
	var budget float64
	var picked []*node
	for _, n := range p.todo {
		switch {
		case n.state != done || !n.a.Computes():
		case n.outcome.Status == Ran:
			budget += n.outcome.Seconds
		// What gc took stays taken.
		case n.outcome.Status == Cached && !n.evicted && s.takes(string(n.key)):
			picked = append(picked, n)
		}
	}
	if !s.Whole {
		budget *= e.sampleShare
		picked = slices.DeleteFunc(picked, func(n *node) bool {
			budget -= n.outcome.Seconds
			if budget >= 0 && e.inputsStored(n) {
				return false
			}
			budget += n.outcome.Seconds
			return true
		})
	}
	if len(picked) == 0 {
		return 0, nil
	}
	q := newPass(e, ctx)
	var bad []*ActionError
	for _, n := range picked {
		j := q.newJob(n, true)
		j.compared = func(err error) {
			if err == nil {
				compared++
				return
			}
			cause := &ActionError{Action: n.a, Err: err}
			bad = append(bad, cause)
			n.state, n.cause = failed, cause
			e.mu.Lock()
			n.outcome.Status, n.outcome.Err = Failed, cause
			e.mu.Unlock()
		}
		q.prepare(j)
	}
	err = q.run()
	if len(bad) > 0 {
		slices.SortFunc(bad, func(a, b *ActionError) int { return cmp.Compare(a.Action.ID, b.Action.ID) })
		return compared, &RunError{Failed: bad, Cause: q.cause}
	}
	return compared, err
}

// inputsStored reports whether running n again needs nothing to be made.
func (e *Executor) inputsStored(n *node) bool {
	for _, in := range n.ins {
		tree, err := in.out.tree()
		if err != nil {
			return false
		}
		if gone, err := e.known.missing(leafDigests(tree)); err != nil || len(gone) > 0 {
			return false
		}
	}
	return true
}
