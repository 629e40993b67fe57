package executor

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"

	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
)

// A run without work would look up every action only to find that it is on
// record. So the store keeps a memo (cache.Store.Remember) of each group of
// actions that a run has found or brought there, under their definition keys:
// one file tells of a whole node. A group is the actions of one node that a
// run needs; when all groups of a run are remembered, it has nothing to do.

// Recalled is what a memo says of an action.
type Recalled struct {
	Key     artifact.Digest
	Seconds float64
	Peak    int64
	// Outputs are in the order of the action's.
	Outputs []RecalledOutput
}

// RecalledOutput is an output's digest and size.
type RecalledOutput struct {
	Digest artifact.Digest
	Bytes  int64
}

// group is the actions of a node in the order of the graph.
type group []*action.Action

// groups sorts actions, which are in the order of the graph, by node.
func groups(actions []*action.Action) []group {
	index := map[string]int{}
	var out []group
	for _, a := range actions {
		i, ok := index[a.Node]
		if !ok {
			i = len(out)
			index[a.Node] = i
			out = append(out, nil)
		}
		out[i] = append(out[i], a)
	}
	return out
}

// key identifies what is wanted of a group: definitions and classes.
func (g group) key(defs map[*action.Action]artifact.Digest) cache.Digest {
	h := sha256.New()
	fmt.Fprintf(h, "compressc memo %d\n", action.KeyScheme)
	for _, a := range g {
		h.Write([]byte(defs[a]))
		for _, o := range a.Outputs {
			fmt.Fprintf(h, " %d", o.Class)
		}
		h.Write([]byte{'\n'})
	}
	return cache.Digest(hex.EncodeToString(h.Sum(nil)))
}

// Recall returns what memos say of actions, which are in the order of their
// graph; defs are their definition keys. Of nodes that no memo tells of it has
// nothing. What it returns was on record when it was called, and may be taken
// away afterwards like everything that is not leased.
func Recall(s *cache.Store, actions []*action.Action, defs map[*action.Action]artifact.Digest) map[*action.Action]*Recalled {
	out := make(map[*action.Action]*Recalled, len(actions))
	for _, g := range groups(actions) {
		body, ok := s.Recall(g.key(defs))
		if !ok {
			continue
		}
		rs, err := parseMemo(body)
		if err != nil || !g.fits(rs) {
			continue
		}
		for i, a := range g {
			out[a] = &rs[i]
		}
	}
	return out
}

func (g group) fits(rs []Recalled) bool {
	for i, a := range g {
		if len(rs) != len(g) || len(rs[i].Outputs) != len(a.Outputs) {
			return false
		}
	}
	return true
}

// encodeMemo writes a line an action: its key, seconds, peak, and digest and
// size of each output.
func encodeMemo(rs []Recalled) []byte {
	var b []byte
	for _, r := range rs {
		b = fmt.Appendf(b, "%s %s %d", r.Key, strconv.FormatFloat(r.Seconds, 'g', -1, 64), r.Peak)
		for _, o := range r.Outputs {
			b = fmt.Appendf(b, " %s %d", o.Digest, o.Bytes)
		}
		b = append(b, '\n')
	}
	return b
}

func parseMemo(b []byte) ([]Recalled, error) {
	var rs []Recalled
	for line := range bytes.Lines(b) {
		line, whole := bytes.CutSuffix(line, []byte{'\n'})
		f := bytes.Split(line, []byte{' '})
		if !whole || len(f) < 3 || len(f)%2 != 1 {
			return nil, fmt.Errorf("executor: a memo's line %d has %d fields", len(rs)+1, len(f))
		}
		r := Recalled{Key: artifact.Digest(f[0])}
		var err [2]error
		r.Seconds, err[0] = strconv.ParseFloat(string(f[1]), 64)
		r.Peak, err[1] = strconv.ParseInt(string(f[2]), 10, 64)
		bad := err[0] != nil || err[1] != nil || !cache.Digest(r.Key).Valid()
		for f = f[3:]; len(f) > 0 && !bad; f = f[2:] {
			n, err := strconv.ParseInt(string(f[1]), 10, 64)
			bad = err != nil || n < 0 || !cache.Digest(f[0]).Valid()
			r.Outputs = append(r.Outputs, RecalledOutput{artifact.Digest(f[0]), n})
		}
		if bad {
			return nil, fmt.Errorf("executor: a memo's line %d does not parse: %.80q", len(rs)+1, line)
		}
		rs = append(rs, r)
	}
	return rs, nil
}

// recall settles a pass from memos, if they tell of all of it.
func (p *pass) recall() bool {
	e := p.e
	if !e.o.Recall || e.o.Sample.Whole || len(p.todo) == 0 {
		return false
	}
	actions := make([]*action.Action, len(p.todo))
	for i, n := range p.todo {
		if n.failedInput() != nil {
			return false
		}
		actions[i] = n.a
	}
	known := Recall(e.store, actions, e.defs)
	if len(known) < len(actions) {
		return false
	}
	e.ev.expect(p.todo)
	p.left = len(actions)
	for _, n := range p.todo {
		r := known[n.a]
		n.state, n.key, n.recalled = done, r.Key, true
		out := Outcome{Status: Cached, Key: r.Key, Seconds: r.Seconds, PeakBytes: r.Peak, Digests: make(map[string]artifact.Digest, len(n.outs))}
		for i, o := range n.outs {
			o.digest, o.bytes = r.Outputs[i].Digest, r.Outputs[i].Bytes
			o.dropped = o.class == action.Checkpoint // else there would be no memo
			out.Digests[o.name] = o.digest
			if o.class == action.Durable {
				e.durables = append(e.durables, o)
			}
		}
		p.settle(n, out)
	}
	e.recalled = append(e.recalled, p.todo...)
	return true
}

// fetch reads the trees of a recalled node from the index. It fails if the
// node is not on record any more as it was.
func (e *Executor) fetch(n *node) bool {
	if !n.recalled || n.outs[0].raw != nil {
		return true
	}
	if n.a.Kernel.Structural {
		return e.fetchArranged(n)
	}
	entry, ok, err := e.store.GetEntry(cache.Digest(n.key))
	if err != nil || !ok {
		return false
	}
	for _, o := range n.outs {
		if have := entryOutput(entry, o.name); have == nil || artifact.Digest(have.Digest) != o.digest {
			return false
		}
	}
	for _, o := range n.outs {
		o.setText(entryOutput(entry, o.name).Tree)
	}
	return true
}

// unrecall ends the belief in memos and returns what was recalled, to be
// looked up as if it had never been: because what is wanted now needs it, or
// because it turned out not to be there.
func (e *Executor) unrecall() []action.Ref {
	var refs []action.Ref
	for _, n := range e.recalled {
		refs = append(refs, n.outs[0].ref())
		n.state, n.key, n.recalled = fresh, "", false
		for _, o := range n.outs {
			o.digest, o.dropped, o.superseded = "", false, false
			o.setText(nil)
		}
	}
	e.durables = slices.DeleteFunc(e.durables, func(o *output) bool { return o.n.state == fresh })
	e.recalled = nil
	return refs
}

// remember notes a pass that has ended well; Close writes the memos, when its
// checkpoints are gone.
func (p *pass) remember() {
	if p.e.o.Recall && len(p.todo) > 0 {
		actions := make([]*action.Action, len(p.todo))
		for i, n := range p.todo {
			actions[i] = n.a
		}
		for _, g := range groups(actions) {
			p.e.memos = append(p.e.memos, memo{g, g.key(p.e.defs)})
		}
	}
}

// local reports whether the bytes of a durable output are in the store, not
// only with a remote.
func (e *Executor) local(o *output) bool {
	if e.o.Remote == nil || o.n.recalled {
		return true
	}
	tree, err := o.tree()
	if err != nil {
		return false
	}
	gone, err := e.known.missing(leafDigests(tree))
	return err == nil && len(gone) == 0
}

// memo is one that is to be written.
type memo struct {
	group group
	key   cache.Digest
}

// writeMemos writes what was noted. A checkpoint that is still in the store
// would be forgotten with a memo.
func (e *Executor) writeMemos() {
next:
	for _, m := range e.memos {
		rs := make([]Recalled, len(m.group))
		for i, a := range m.group {
			n := e.nodes[a]
			if n.state != done {
				continue next
			}
			rs[i] = Recalled{Key: n.key, Seconds: n.outcome.Seconds, Peak: n.outcome.PeakBytes}
			for _, o := range n.outs {
				if o.class == action.Checkpoint && !o.dropped && !o.promised {
					continue next
				}
				if o.class == action.Durable && !e.local(o) {
					continue next // a run without the remote has to look
				}
				rs[i].Outputs = append(rs[i].Outputs, RecalledOutput{o.digest, o.bytes})
			}
		}
		if err := e.store.Remember(m.key, encodeMemo(rs)); err != nil {
			e.logf("executor: %v", err) // it only saves time
			return
		}
	}
	e.memos = nil
}
