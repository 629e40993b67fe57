package planner

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/compressc/compressc/lang"
)

const huntText = `
model "base" {
  source = "base"
}
data "text" "calib" {
  source          = "a+b+c.txt"
  tokenizer       = model.base
  sequence_length = 8
}
data "text" "test" {
  source          = "x+y.txt"
  tokenizer       = model.base
  sequence_length = 8
}
sweep "grid" "b" {
  bits = [2, 3, 4, 8]
}
sweep "grid" "g" {
  group = [2, 4, 8]
}
quantize "gptq" "q" {
  model      = model.base
  data       = data.calib
  bits       = sweep.b.bits
  group_size = sweep.g.group
}
evaluate "perplexity" "dense" {
  model = model.base
  data  = data.test
}
evaluate "perplexity" "ppl" {
  model = quantize.q
  data  = data.test
}
gate "small" {
  condition = evaluate.ppl.perplexity < 1000
}
%s "best" {
  from     = quantize.q
  minimize = %s
  where    = evaluate.ppl.perplexity < 50
%s
}
export "gguf" "out" {
  model = %s.best
  path  = "out"
}
output "ppl" {
  value = evaluate.ppl.perplexity
}
`

// hunted brings a pipeline about in rounds, as a run does, with a perplexity for
// each point of evaluate.ppl; one that is not a number diverges. It returns the
// results at the end and the points whose evaluations ran.
func hunted(t testing.TB, text string, ppl map[string]float64) (*Expansion, *Results, []string) {
	t.Helper()
	x, diags := load(t, map[string][]byte{"a.pipeline.hcl": []byte(text)}, lang.Options{})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	var ran []string
	of := func(n *Node) Outcome {
		at := n.Point.String()
		switch {
		case n.Block.Name == "dense" || n.Block.Type == "quantize":
			return Outcome{Status: Done, Metrics: map[string]float64{"perplexity": 1, "windows": 2}}
		case n.Block.Name == "ppl" && slices.Contains(ran, at):
			return Outcome{Status: Done, Metrics: map[string]float64{"perplexity": ppl[at], "windows": 2}}
		}
		return Outcome{Status: Pending}
	}
	for {
		r := x.Results(of)
		var next []string
		for _, n := range x.Of(x.Pipeline.Lookup("evaluate.ppl")) {
			if by, _ := r.Held(n); by == nil && !slices.Contains(ran, n.Point.String()) {
				next = append(next, n.Point.String())
			}
		}
		if len(next) == 0 {
			return x, r, ran
		}
		ran = append(ran, next...)
	}
}

func searchText(method, objective, more string) string {
	return fmt.Sprintf(huntText, `search "`+method+`"`, objective, more, "search")
}

// A search that must agree with a selection does, and runs no more than it says;
// what it has not tried is withheld, and fails no gate.
func TestSearchAgreesWithSelect(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		ppl := map[string]float64{}
		for _, b := range []int{2, 3, 4, 8} {
			for _, g := range []int{2, 4, 8} {
				v := rapid.Float64Range(1, 100).Draw(r, "ppl")
				if rapid.IntRange(0, 9).Draw(r, "diverges") == 0 {
					v = math.NaN()
				}
				ppl[fmt.Sprintf("b.bits=%d,g.group=%d", b, g)] = v
			}
		}
		x, all, _ := hunted(t, fmt.Sprintf(huntText, "select", "quantize.q.size", "", "select"), ppl)
		want := all.Select(x.Of(x.Pipeline.Lookup("select.best"))[0])
		y, got, ran := hunted(t, searchText("first", "quantize.q.size", ""), ppl)
		n := y.Of(y.Pipeline.Lookup("search.best"))[0]
		won, tried := got.Select(n), got.Tried(n)
		if (won.Node == nil) != (want.Node == nil) || won.Node != nil && won.Node.Addr() != want.Node.Addr() {
			r.Fatalf("the search chose %v, the selection %v", won, want)
		}
		if !tried.Over || len(tried.Nodes) != len(ran) || len(ran) > tried.Most || tried.Of != 12 {
			r.Fatalf("%d ran, %d of %d tried, at most %d", len(ran), len(tried.Nodes), tried.Of, tried.Most)
		}
		for _, e := range y.Of(y.Pipeline.Lookup("evaluate.ppl")) {
			status := got.status(e)
			if slices.Contains(ran, e.Point.String()) != (status == Done) || status != Done && status != Withheld {
				r.Fatalf("%s is %v", e.Addr(), status)
			}
		}
		out := got.Output(y.Pipeline.Lookup("output.ppl"))
		withheld := 0
		for _, p := range out.Points {
			if strings.Contains(p.Reason, "search.best did not try this point") {
				withheld++
			}
		}
		if len(out.Points) != 12 || withheld != 12-len(ran) {
			r.Fatalf("%d of %d points of the output are withheld", withheld, len(out.Points))
		}
		diverged := slices.ContainsFunc(ran, func(at string) bool { return math.IsNaN(ppl[at]) })
		if got.GateHolds(y.Pipeline.Lookup("gate.small")) == diverged {
			r.Fatalf("a gate that only points that ran count for: %v", !diverged)
		}
	})
}

// Every method ends, in rounds that do not depend on what came before but by way
// of its results.
func TestSearchesEnd(t *testing.T) {
	ppl := map[string]float64{}
	for i, b := range []int{2, 3, 4, 8} {
		for k, g := range []int{2, 4, 8} {
			ppl[fmt.Sprintf("b.bits=%d,g.group=%d", b, g)] = 40 - 8*float64(i) + float64(k*k)
		}
	}
	for method, c := range map[string]struct {
		objective, more, winner string
		ran                     int
	}{
		"bisect":  {"quantize.q.size", "", "quantize.q[b.bits=2,g.group=8]", 4},
		"climb":   {"evaluate.ppl.perplexity", "", "quantize.q[b.bits=8,g.group=2]", 12},
		"random":  {"evaluate.ppl.perplexity", "  tries = 12", "quantize.q[b.bits=8,g.group=2]", 12},
		"halving": {"evaluate.ppl.perplexity", "  fidelity = sweep.g.group\n  keep = 0.5", "quantize.q[b.bits=8,g.group=8]", 7},
	} {
		x, r, ran := hunted(t, searchText(method, c.objective, c.more), ppl)
		w := r.Select(x.Of(x.Pipeline.Lookup("search.best"))[0])
		if w.Node == nil || w.Node.Addr() != c.winner || len(ran) > c.ran {
			t.Errorf("%s: %+v after %d evaluations, want %s after at most %d", method, w, len(ran), c.winner, c.ran)
		}
		_, _, again := hunted(t, searchText(method, c.objective, c.more), ppl)
		if !slices.Equal(ran, again) {
			t.Errorf("%s went another way: %v and %v", method, ran, again)
		}
	}
}
