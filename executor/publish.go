package executor

import (
	"errors"
	"slices"

	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
)

// carry sees to the leaves that a stored output has from its inputs. Some may
// have lived in memory only, and go to the store with the new ones; some are
// on their way there already. It may run in any goroutine, while the inputs
// are still held.
func (e *Executor) carry(n *node, how []keeping, r *execution, w *leafWriter) error {
	var carried []artifact.Digest
	for i, o := range n.outs {
		if !how[i].stored {
			continue
		}
		leaves := leafDigests(r.trees[o.name].tree)
		if how[i].durable {
			e.known.claim(leaves...)
		}
		for _, d := range leaves {
			if !w.has(d) {
				carried = append(carried, d)
			}
		}
	}
	ask := carried[:0]
	for _, d := range carried {
		if l := e.air.get(d); l != nil {
			w.landings = append(w.landings, l)
		} else {
			ask = append(ask, d)
		}
	}
	gone, err := e.known.missing(ask)
	if err != nil {
		return err
	}
	for _, d := range gone {
		if l := e.mem.get(d); l != nil {
			w.store(d, e.mem.bytes(l), true)
			e.mem.release(l)
		} else {
			r.lost = append(r.lost, d)
		}
	}
	if len(r.lost) > 0 {
		return &cache.MissingError{Action: cache.Digest(n.key), Blobs: digests(r.lost)}
	}
	return nil
}

// publish puts what n made on record, its blobs having been stored: the index
// entry, then the prediction. For a rewind it compares with the record instead.
// It may run in any goroutine.
func (e *Executor) publish(n *node, how []keeping, r *execution, rewind bool) error {
	if rewind || r.again {
		err := e.compare(n, r)
		if err == nil && rewind && n.evicted {
			// Its bytes are in the store again, and may be promised.
			entry := e.entry(n, how, r)
			entry.KeyRecord = ""
			err = e.store.PutEntry(entry)
		}
		if err != nil || rewind {
			return err
		}
	}
	entry := e.entry(n, how, r)
	if err := e.agrees(n.key, n, entry); err != nil {
		return err
	}
	err := e.store.PutEntry(entry)
	var missing *cache.MissingError
	if errors.As(err, &missing) {
		for _, d := range missing.Blobs {
			r.lost = append(r.lost, artifact.Digest(d))
		}
	}
	if err != nil {
		return err
	}
	if err := e.store.PutDef(cache.Digest(n.def), cache.Digest(n.key)); err != nil {
		e.logf("executor: %v", err) // it only predicts
	}
	e.o.Remote.Publish(entry, n.record, "")
	return nil
}

func digests(ds []artifact.Digest) []cache.Digest {
	out := make([]cache.Digest, len(ds))
	for i, d := range ds {
		out[i] = cache.Digest(d)
	}
	return out
}

// entry is the index entry of what n made. An output is on record as no more
// than what was kept of it.
func (e *Executor) entry(n *node, how []keeping, r *execution) *cache.Entry {
	entry := &cache.Entry{Action: cache.Digest(n.key), Kernel: n.a.Kernel.Name, Seconds: r.seconds,
		PeakBytes: r.peak, Producer: e.o.Producer, KeyRecord: cache.Digest(artifact.Sum(n.record)), Inputs: n.reads()}
	for i, o := range n.outs {
		t := r.trees[o.name]
		class := cache.Transient
		switch {
		case how[i].stored && o.class == action.Durable:
			class = cache.Durable
		case how[i].stored:
			class = cache.Checkpoint
		}
		entry.Outputs = append(entry.Outputs, cache.Output{Name: o.name, Digest: cache.Digest(t.digest), Tree: t.raw, Bytes: t.tree.Size(), Class: class})
	}
	return entry
}

// compare checks that a rewind gave what is on record. If not, the store is
// told, so that nobody else trusts the action.
func (e *Executor) compare(n *node, r *execution) error {
	for _, o := range n.outs {
		got := r.trees[o.name]
		if got.digest == o.digest {
			continue
		}
		bad := &NondeterministicError{Kernel: n.a.Kernel.Name, Output: o.name, Want: o.digest, Got: got.digest}
		if want, err := o.tree(); err == nil {
			bad.Leaf = firstDifference(want, got.tree)
		}
		claim := e.entry(n, make([]keeping, len(n.outs)), r)
		claim.KeyRecord = "" // it is stored along with the first result only
		bad.Err = e.store.PutEntry(claim)
		return bad
	}
	return nil
}

// firstDifference names the first leaf that is not the same in both trees.
func firstDifference(a, b *artifact.Tree) string {
	var names []string
	for _, t := range []*artifact.Tree{a, b} {
		for _, e := range t.Entries {
			names = append(names, e.Name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		x, okX := a.Lookup(name)
		y, okY := b.Lookup(name)
		if okX != okY || x.Digest != y.Digest || x.Meta.String() != y.Meta.String() {
			return name
		}
	}
	return ""
}
