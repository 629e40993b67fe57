package planner

import (
	"strings"
	"testing"

	"github.com/compressc/compressc/lang"
)

const addressText = `
model "base" {
  source = "base"
}
data "text" "calib" {
  source          = "a.txt"
  tokenizer       = model.base
  sequence_length = 8
}
sweep "grid" "q" {
  bits  = [4, 8]
  group = [32, 64]
}
sweep "list" "odd" {
  what = ["a,b", "a", { x = 1, y = 2 }]
}
quantize "gptq" "q" {
  model      = model.base
  data       = data.calib
  bits       = sweep.q.bits
  group_size = sweep.q.group
}
output "odd" {
  value = sweep.odd.what
}
`

func TestFind(t *testing.T) {
	x, diags := load(t, map[string][]byte{"a.pipeline.hcl": []byte(addressText)}, lang.Options{})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	for _, c := range []struct{ addr, want, err string }{
		{"model.base", "model.base", ""},
		{"quantize.q[q.bits=4]", "quantize.q[q.bits=4,q.group=32] quantize.q[q.bits=4,q.group=64]", ""},
		{"quantize.q[q.group=64,q.bits=8]", "quantize.q[q.bits=8,q.group=64]", ""},
		{"output.odd[odd.what=a]", "output.odd[odd.what=a]", ""},
		{`output.odd[odd.what="a,b"]`, `output.odd[odd.what="a,b"]`, ""},
		{"output.odd[odd.what={x=1,y=2}]", "output.odd[odd.what={x=1,y=2}]", ""},
		{"quantise.q", "", `there is no block "quantise.q". Did you mean "quantize.q"?`},
		{"sweep.q", "", `there is no block "sweep.q"`},
		{"quantize.q[q.bits=5]", "", "q.bits has no value 5; it has 4, 8"},
		{"quantize.q[q.bit=4]", "", `no sweep has an axis "q.bit". Did you mean "q.bits"?`},
		{"quantize.q[q.bits=4,q.bits=8]", "", "two values are given for q.bits"},
		{"quantize.q[odd.what=a]", "", "quantize.q does not depend on odd.what; its points are [q.bits=4,q.group=32]"},
		{"quantize.q[q.bits=4", "", "is not closed"},
		{"quantize.q[4]", "", `"4" is not written axis=value`},
	} {
		nodes, err := x.Find(c.addr)
		var got []string
		for _, n := range nodes {
			got = append(got, n.Addr())
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %v, want %s", c.addr, got, c.want)
		}
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: error %v, want %q", c.addr, err, c.err)
		}
	}
	// Every node is found under its own address.
	for _, n := range x.Nodes {
		found, err := x.Find(n.Addr())
		if err != nil || len(found) != 1 || found[0] != n {
			t.Errorf("%s finds %v, %v", n.Addr(), found, err)
		}
	}
}
