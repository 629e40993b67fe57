package executor

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/compressc/compressc/internal/action"
)

// sequential builds chains of hidden states through blocks, each of which is
// worked on with the states that enter it, as sequential methods do.
func sequential(w *world, blocks, chains int, last string) (hidden [][]action.Ref, targets []action.Ref) {
	hidden = make([][]action.Ref, chains)
	for c := range chains {
		hidden[c] = append(hidden[c], w.source(fmt.Sprint("windows ", c)))
	}
	for b := range blocks {
		name := fmt.Sprint("q", b)
		if b == blocks-1 {
			name = last
		}
		var ins []action.Ref
		for c := range chains {
			ins = append(ins, hidden[c][b])
		}
		q := w.toy(toyParams{Name: name}, durable, ins...)
		targets = append(targets, q)
		for c := range chains {
			hidden[c] = append(hidden[c], w.toy(toyParams{Name: fmt.Sprintf("h%d.%d", b+1, c)}, checkpoint, hidden[c][b], q))
		}
	}
	for c := range chains {
		targets = append(targets, w.toy(toyParams{Name: fmt.Sprint("end", c)}, durable, hidden[c][blocks]))
	}
	return hidden, targets
}

// kept tells which hidden states are in the store: "h3.0 h3.1".
func kept(w *world, e *Executor, hidden [][]action.Ref) string {
	var names []string
	for _, chain := range hidden {
		for _, h := range chain[1:] {
			if n := e.nodes[h.Action]; n == nil || n.state != done {
				continue
			}
			if _, err := os.Stat(w.blobPath(w.leafDigest(e, h))); err == nil {
				names = append(names, h.Action.Label)
			}
		}
	}
	return strings.Join(names, " ")
}

func TestCheckpointsOfAChain(t *testing.T) {
	w := newWorld(t)
	hidden, targets := sequential(w, 4, 2, "q3")
	e, _ := w.run(targets...)
	if got := kept(w, e, hidden); got != "h4.0 h4.1" {
		t.Errorf("kept %q, want the newest of each chain", got)
	}
	e.CompleteNode("node")
	if got := kept(w, e, hidden); got != "" {
		t.Errorf("kept %q of a complete node", got)
	}
	totalCalls()
	w.reopen()
	w.rebuild()
	_, targets = sequential(w, 4, 2, "q3")
	_, res := w.run(targets...)
	w.calls("")
	if res.Ran+res.Rewound > 0 {
		t.Errorf("warm: %+v", res)
	}
	// A new end needs them again; the node is running again.
	w.rebuild()
	_, targets = sequential(w, 4, 2, "other")
	_, res = w.run(targets...)
	if res.Rewound != 6 || res.Ran != 1+2+2 {
		t.Errorf("new end: %+v", res)
	}
}

// A run that was stopped goes on from the newest checkpoint.
// What somebody asked to be kept is not dropped by a run to which it is a
// checkpoint.
func TestCheckpointOfOnesThatAreKept(t *testing.T) {
	w := newWorld(t)
	w.g.Keep = true
	hidden, targets := sequential(w, 3, 1, "q2")
	e, _ := w.run(targets...)
	e.CompleteNode("node")
	if got := kept(w, e, hidden); got != "h1.0 h2.0 h3.0" {
		t.Errorf("kept %q", got)
	}
	w.reopen()
	w.rebuild()
	hidden, targets = sequential(w, 3, 1, "other")
	totalCalls()
	e, res := w.run(targets...)
	e.CompleteNode("node")
	if res.Rewound != 0 {
		t.Errorf("%+v", res)
	}
	if got := kept(w, e, hidden); got != "h1.0 h2.0" {
		t.Errorf("then kept %q", got)
	}
}

func TestResumeFromCheckpoint(t *testing.T) {
	w := newWorld(t)
	hidden, targets := sequential(w, 6, 1, "q5")
	e := w.executor()
	if _, err := e.Run(t.Context(), targets[:4]); err != nil { // as far as q3
		t.Fatal(err)
	}
	if got := kept(w, e, hidden); got != "h3.0" {
		t.Errorf("kept %q", got)
	}
	w.calls("h1.0 h2.0 h3.0 q0 q1 q2 q3")
	w.reopen()
	w.rebuild()
	_, targets = sequential(w, 6, 1, "q5")
	_, res := w.run(targets...)
	if res.Rewound != 0 {
		t.Errorf("%+v", res)
	}
	w.calls("end0 h4.0 h5.0 h6.0 q4 q5")
}

// What a durable output also has is not removed with a checkpoint.
func TestCheckpointSharesLeaves(t *testing.T) {
	w := newWorld(t)
	s := w.source("x")
	h := w.toy(toyParams{Name: "h"}, checkpoint, s)
	d := w.toy(toyParams{Name: "d", Carry: true}, durable, h)
	e, _ := w.run(d)
	e.CompleteNode("node")
	if _, err := os.Stat(w.blobPath(w.leafDigest(e, h))); err != nil {
		t.Error(err)
	}
	totalCalls()
	w.reopen()
	w.run(d)
	w.calls("")
}

// A node may be said to be complete while a run is under way.
func TestCompleteDuringRun(t *testing.T) {
	w := newWorld(t)
	var e *Executor
	act("complete", func(*action.Context) error { e.CompleteNode("node"); return nil })
	h := w.toyIn("node", toyParams{Name: "h"}, checkpoint, w.source("x"))
	c := w.toyIn("other", toyParams{Name: "c", Do: "complete"}, durable, h)
	e = w.executor()
	if _, err := e.Run(t.Context(), []action.Ref{c}); err != nil {
		t.Fatal(err)
	}
	w.check(e, c)
	if _, err := os.Stat(w.blobPath(w.leafDigest(e, h))); !os.IsNotExist(err) {
		t.Errorf("the checkpoint is still there: %v", err)
	}
}
