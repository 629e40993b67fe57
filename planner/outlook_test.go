package planner

import (
	"fmt"
	"strings"
	"testing"

	"github.com/compressc/compressc/lang"
)

// ladder is a pipeline in which each of n blocks is made of the two before it, so
// that there are as many ways down as Fibonacci's numbers.
func ladder(n int) string {
	var s strings.Builder
	s.WriteString(huntText[:strings.Index(huntText, "sweep")])
	above := []string{"model.base", "model.base"}
	for i := range n {
		fmt.Fprintf(&s, `
compensate "eora" "c%d" {
  model     = %s
  reference = %s
  data      = data.calib
  rank      = 1
}
`, i, above[1], above[0])
		above = []string{above[1], fmt.Sprint("compensate.c", i)}
	}
	fmt.Fprintf(&s, `
evaluate "perplexity" "ppl" {
  model = %s
  data  = data.test
}
`, above[1])
	return s.String()
}

// What keeps a node from running is asked of each node that it is made of, not on
// each way to it: of the latter there are 10¹² here.
func TestOutlookOfALadder(t *testing.T) {
	x, diags := load(t, map[string][]byte{"a.pipeline.hcl": []byte(ladder(60))}, lang.Options{})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	asked := 0
	res := x.Results(func(*Node) Outcome { asked++; return Outcome{Status: Pending} })
	o := &Outlook{res: res, out: map[*Node]bool{}}
	for _, n := range x.Nodes {
		if o.Out(n) {
			t.Errorf("%s is ruled out", n.Addr())
		}
		if n.Block.Name == "ppl" {
			if s := res.outcome(n).Status; s != Pending {
				t.Errorf("%s is %v", n.Addr(), s)
			}
		}
	}
	if asked != 1 {
		t.Errorf("%d outcomes were asked for", asked)
	}
}
