package executor

import (
	"fmt"
	"sync"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
)

// state is where a node stands. Only the coordinator changes it.
type state int

const (
	fresh     state = iota // nothing is known
	demanded               // waits for its inputs' digests
	lookingUp              // its key is being looked up
	wanted                 // a miss: it has a job, or follows a node with the same key
	computed               // its outputs are known and in use, its record is not durable yet
	done
	failed
)

// node is an action in this executor. It outlives a pass.
type node struct {
	a    *action.Action
	ins  []input
	outs []*output

	state   state
	key     artifact.Digest
	record  []byte // canonical JSON of what the key is made of
	def     artifact.Digest
	outcome Outcome      // guarded by Executor.mu
	cause   *ActionError // why it failed, or why what it depends on did
	// broken is why its bytes cannot be made again, once that has failed.
	broken error

	// recalled says that a memo told of it: its trees are not known.
	recalled bool
	// evicted says that the store has given its bytes up; see cache.Evicted.
	evicted bool

	job *job // first run or rewind under way

	// In the totals it is one of the actions if expected, and counted as that.
	// Both are guarded by sender.mu.
	expected bool
	counted  Status

	// Of the current pass:

	users     []*node // demanded nodes that read an output of it, each once
	waiting   int     // producers of inputs that are not done
	holding   bool    // it counts as a pending consumer of its inputs
	followers []*node // nodes with the same key, which take over its outputs
	told      bool    // its users know its outputs
	// settling runs once the node is done or failed, for those who may not
	// settle before it.
	settling []func()
	// tail is the estimated work of the longest path from here to a target.
	tail float64
}

// input is a named edge to the output that it reads.
type input struct {
	name string
	out  *output
}

// output is one result of a node.
type output struct {
	n     *node
	name  string
	class action.Class
	// promised: the index promises the bytes, since something wanted them to
	// last. Who only needs them for a while leaves them.
	promised bool
	// digest is known once the node is done.
	digest artifact.Digest
	bytes  int64

	raw   []byte // the tree's text
	once  sync.Once
	tree_ *artifact.Tree
	err   error
	index map[artifact.Digest]bool

	// pending counts the consumers that may still need the bytes.
	pending int
	// held are the leaves kept in memory for them.
	held []*memLeaf
	// superseded says that a later checkpoint of the node makes this one
	// unnecessary; dropped, that its blobs have been given up.
	superseded, dropped bool
}

func (n *node) output(name string) *output {
	for _, o := range n.outs {
		if o.name == name {
			return o
		}
	}
	return nil
}

// setTree fixes what the output is. tree may be nil if raw is its text. Others
// may be reading an earlier tree, so an equal one is left alone.
func (o *output) setTree(d artifact.Digest, raw []byte, tree *artifact.Tree, bytes int64) {
	if o.digest == d {
		return
	}
	o.digest, o.bytes = d, bytes
	o.setText(raw)
	if tree != nil {
		o.once.Do(func() { o.tree_, o.err = tree, nil })
	}
}

func (o *output) ref() action.Ref { return action.Ref{Action: o.n.a, Output: o.name} }

// setText fixes the text of the output's tree.
func (o *output) setText(raw []byte) {
	o.raw, o.once, o.index = raw, sync.Once{}, nil
}

// tree returns the output's tree, parsed when it is first asked for: a warm
// run needs none. It may be called from several goroutines once the node is
// done.
func (o *output) tree() (*artifact.Tree, error) {
	o.once.Do(func() {
		o.tree_, o.err = artifact.DecodeTree(o.raw)
		if o.err != nil {
			o.err = fmt.Errorf("output %s: %w", o.name, o.err)
		}
	})
	return o.tree_, o.err
}

// contains reports whether a leaf of the output has digest d. Coordinator
// only.
func (o *output) contains(d artifact.Digest) bool {
	if o.index == nil {
		o.index = map[artifact.Digest]bool{}
		if t, err := o.tree(); err == nil {
			for _, e := range t.Entries {
				o.index[e.Digest] = true
			}
		}
	}
	return o.index[d]
}

// origin returns the output whose action made the leaf d of o: it follows a
// leaf that was carried over up to where it is new. It is nil if the leaf
// comes from a source.
func origin(o *output, d artifact.Digest) *output {
	for {
		if o.n.a.Leaf != nil {
			return nil
		}
		var from *output
		for _, in := range o.n.ins {
			if in.out.contains(d) {
				from = in.out
				break
			}
		}
		if from == nil {
			return o
		}
		o = from
	}
}

// stored reports whether the output's bytes are to be in the store.
func (o *output) stored() bool {
	return o.class == action.Durable || o.class == action.Checkpoint && !o.dropped && !o.superseded
}
