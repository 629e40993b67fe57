package action

import (
	"testing"

	"github.com/compressc/compressc/internal/artifact"
)

// What an executor has seen of an action stays so: who asks for more afterwards
// gets an action of its own, who asks for what is there the same one.
func TestSealedActionsKeepTheirOutputs(t *testing.T) {
	g := NewGraph()
	a := g.Add(keySpec(g))
	g.Seal()
	if b := g.Add(keySpec(g)); b != a {
		t.Error("an equal addition to a sealed graph is another action")
	}
	more := keySpec(g)
	more.Outputs = append(more.Outputs, Output{Name: "more", Class: Durable})
	b := g.Add(more)
	if b == a || len(b.Outputs) != len(a.Outputs)+1 {
		t.Errorf("asked for more, the sealed action has %d outputs, the other %d", len(a.Outputs), len(b.Outputs))
	}
	if c := g.Add(more); c != b {
		t.Error("the second that asks for more gets a third action")
	}
}

// An origin does not depend on what else is asked for on the way to an output,
// and on all that its bytes depend on.
func TestOriginKey(t *testing.T) {
	origin := func(change func(first, second *Spec)) artifact.Digest {
		g := NewGraph()
		first, second := keySpec(g), keySpec(g)
		second.Params = keyParams{Bits: 7}
		if change != nil {
			change(&first, &second)
		}
		a := g.Add(first)
		second.Inputs = []Input{{second.Inputs[0].Name, Ref{a, first.Outputs[0].Name}}}
		return OriginKey(Ref{g.Add(second), second.Outputs[0].Name}, map[*Action]artifact.Digest{})
	}
	want := origin(nil)
	if got := origin(func(first, second *Spec) {
		first.Outputs = append(first.Outputs, Output{Name: "more"})
		second.Outputs = append(second.Outputs, Output{Name: "more"})
		second.Node, second.Label = "other", "other"
	}); got != want {
		t.Error("an origin depends on what else is asked for")
	}
	for name, change := range map[string]func(first, second *Spec){
		"parameters":            func(_, s *Spec) { s.Params = keyParams{Bits: 6} },
		"parameters before":     func(f, _ *Spec) { f.Params = keyParams{Bits: 6} },
		"the output":            func(_, s *Spec) { s.Outputs[0].Name = "x" },
		"the output before":     func(f, _ *Spec) { f.Outputs[0].Name = "x" },
		"the input's name":      func(_, s *Spec) { s.Inputs[0].Name = "x" },
		"what the source holds": func(f, _ *Spec) { f.Inputs[0].Ref = NewGraph().AddLeaf("m", leafTree("other")) },
	} {
		if origin(change) == want {
			t.Errorf("an origin does not depend on %s", name)
		}
	}
}
