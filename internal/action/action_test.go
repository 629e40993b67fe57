package action

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
)

func TestGraphSharesEqualActions(t *testing.T) {
	g := NewGraph()
	s := keySpec(g)
	s.Outputs[0].Class = Transient
	a := g.Add(s)
	again := keySpec(g)
	again.Node, again.Label = "other", "other"
	if b := g.Add(again); b != a || g.Reused != 1 {
		t.Errorf("an equal action is another one; reused %d", g.Reused)
	}
	if a.OutputClass("out") != Durable || a.Node != "quantize.a" {
		t.Errorf("class %v, node %s; want the more lasting class and the first node", a.OutputClass("out"), a.Node)
	}
	again.Params = keyParams{Bits: 2}
	if g.Add(again) == a {
		t.Error("other parameters, same action")
	}
	if g.AddLeaf("x", leafTree("weights")) != s.Inputs[0].Ref {
		t.Error("an equal source is another one")
	}
}

func TestKernelParameters(t *testing.T) {
	type P struct{ N int }
	k := NewKernel("action test", 3, func(c *Context, p P) error {
		if p.N != 4 || c.Wants("x") {
			t.Errorf("parameters %+v", p)
		}
		return nil
	})
	if LookupKernel("action test") != k || LookupKernel("no such") != nil {
		t.Error("LookupKernel")
	}
	if err := k.Run(&Context{Context: context.Background(), Params: json.RawMessage(`{"N":4}`)}); err != nil {
		t.Error(err)
	}
	if err := k.Run(&Context{Context: context.Background(), Params: json.RawMessage(`{"N":"four"}`)}); err == nil || !strings.Contains(err.Error(), "action test") {
		t.Errorf("error %v does not name the kernel", err)
	}
	for name, f := range map[string]func(){
		"registered twice": func() { NewKernel("action test", 1, func(*Context, P) error { return nil }) },
		"no input":         func() { (&Context{}).Input("x") },
		"no output":        func() { (&Context{}).Output("x") },
		"two inputs x": func() {
			g := NewGraph()
			r := g.AddLeaf("m", leafTree("t"))
			g.Add(Spec{Kernel: k, Inputs: []Input{{"x", r}, {"x", r}}})
		},
		"not connected": func() { NewGraph().Add(Spec{Kernel: k, Inputs: []Input{{Name: "x"}}}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}
