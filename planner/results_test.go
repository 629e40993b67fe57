package planner

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"

	"github.com/compressc/compressc/lang"
)

const runText = `
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
  bits = [2, 4, 8]
}
quantize "gptq" "q" {
  model = model.base
  data  = data.calib
  bits  = sweep.b.bits
}
evaluate "perplexity" "dense" {
  model = model.base
  data  = data.test
}
evaluate "perplexity" "ppl" {
  model = quantize.q
  data  = data.test
}
gate "quality" {
  condition     = evaluate.ppl.perplexity <= 2 * evaluate.dense.perplexity
  error_message = "too much lost at ${sweep.b.bits} bits: ${evaluate.ppl.perplexity}"
}
gate "any" {
  condition = evaluate.ppl.perplexity <= 11
  require   = "any"
}
gate "finite" {
  condition = !evaluate.ppl.diverged
}
gate "table" {
  condition = alltrue([for e in all.evaluate.ppl : e.perplexity < 100 if e.status == "ok"])
}
select "best" {
  from     = quantize.q
  minimize = quantize.q.size
  where    = evaluate.ppl.perplexity <= 2 * evaluate.dense.perplexity
}
export "gguf" "out" {
  model    = select.best
  path     = "out.gguf"
  requires = [gate.quality]
}
output "perplexity" {
  value = evaluate.ppl.perplexity
}
output "dense" {
  value = evaluate.dense.perplexity
}
output "chosen" {
  value = select.best.bits_per_weight
}
output "guarded" {
  value    = evaluate.ppl.perplexity
  requires = [gate.quality]
}
output "table" {
  value = all.evaluate.ppl[*].status
}
`

// run expands runText with a perplexity for each node of evaluate: by bits, and
// "dense". A node that is not named is pending; NaN is a metric that diverged,
// -1 a node that failed and -2 one that was withheld.
func run(t *testing.T, ppl map[string]float64) (*Expansion, *Results) {
	t.Helper()
	x, diags := load(t, map[string][]byte{"a.pipeline.hcl": []byte(runText)}, lang.Options{})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	return x, x.Results(func(n *Node) Outcome {
		if n.Block.Kind != lang.KindVerb {
			t.Errorf("asked for the outcome of %s", n.ID())
		}
		name := n.Block.Name
		if name == "ppl" {
			name = strings.TrimSuffix(strings.TrimPrefix(n.Point.String(), "b.bits="), "]")
		}
		if n.Block.Type == "quantize" {
			return Outcome{Status: Done}
		}
		v, ok := ppl[name]
		switch {
		case !ok:
			return Outcome{Status: Pending}
		case v == -1:
			return Outcome{Status: Failed}
		case v == -2:
			return Outcome{Status: Withheld}
		}
		return Outcome{Status: Done, Metrics: map[string]float64{"perplexity": v, "windows": 2}}
	})
}

// verdicts is each gate node's decision and message, by point.
func verdicts(x *Expansion, r *Results, gate string) string {
	var parts []string
	for _, n := range x.Of(x.Pipeline.Lookup(gate)) {
		v := r.Gate(n)
		s := v.Decision.String()
		if v.Pending {
			s = "pending"
		}
		if v.Decision == GateFailed {
			s += " (" + v.Message + ")"
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, "; ")
}

func outputText(x *Expansion, r *Results, name string) string {
	b, err := json.Marshal(r.Output(x.Pipeline.Lookup("output." + name)))
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func TestResults(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	for _, c := range []struct {
		name    string
		ppl     map[string]float64
		gates   map[string]string
		holds   map[string]bool
		winner  string
		outputs map[string]string
	}{
		{
			name: "all well",
			ppl:  map[string]float64{"dense": 10, "2": 50, "4": 12, "8": 10.5},
			gates: map[string]string{
				"gate.quality": "failed (too much lost at 2 bits: 50); passed; passed",
				"gate.any":     "failed (the condition of gate.any[b.bits=2] does not hold); failed (the condition of gate.any[b.bits=4] does not hold); passed",
				"gate.finite":  "passed; passed; passed",
				"gate.table":   "passed",
			},
			holds:  map[string]bool{"gate.quality": false, "gate.any": true, "gate.finite": true, "gate.table": true},
			winner: "quantize.q[b.bits=4]",
			outputs: map[string]string{
				"perplexity": `{"points":[{"point":{"b":{"bits":2}},"status":"ok","value":50},{"point":{"b":{"bits":4}},"status":"ok","value":12},{"point":{"b":{"bits":8}},"status":"ok","value":10.5}]}`,
				"dense":      `{"value":10}`,
				"chosen":     `{"value":4.5}`,
				"guarded":    `{"points":[{"point":{"b":{"bits":2}},"status":"withheld","value":null,"reason":"gate.quality[b.bits=2] did not pass"},{"point":{"b":{"bits":4}},"status":"ok","value":12},{"point":{"b":{"bits":8}},"status":"ok","value":10.5}]}`,
				"table":      `{"value":["ok","ok","ok"]}`,
			},
		},
		{
			name: "failed, diverged and infinite points stop alone",
			ppl:  map[string]float64{"dense": 10, "2": -1, "4": nan, "8": inf},
			gates: map[string]string{
				"gate.quality": "undecided; failed (evaluate.ppl.perplexity diverged); failed (too much lost at 8 bits: +Inf)",
				"gate.finite":  "undecided; failed (the condition of gate.finite[b.bits=4] does not hold); passed",
			},
			holds: map[string]bool{"gate.quality": false, "gate.any": false},
			outputs: map[string]string{
				"perplexity": `{"points":[{"point":{"b":{"bits":2}},"status":"failed","value":null},{"point":{"b":{"bits":4}},"status":"ok","value":null},{"point":{"b":{"bits":8}},"status":"ok","value":"Infinity"}]}`,
				"chosen":     `{"value":null,"status":"failed","reason":"select.best: none of the 3 candidates can be chosen: 1 diverged, 1 failed, 1 filtered out by where"}`,
				"table":      `{"value":["failed","ok","ok"]}`,
			},
		},
		{
			name:    "pending while anything is open",
			ppl:     map[string]float64{"dense": 10, "2": 11},
			gates:   map[string]string{"gate.quality": "passed; pending; pending", "gate.table": "pending"},
			outputs: map[string]string{"table": `{"value":null,"status":"pending"}`},
		},
		{
			name:    "a failed dense model leaves all undecided",
			ppl:     map[string]float64{"dense": -1, "2": 1, "4": 1, "8": 1},
			gates:   map[string]string{"gate.quality": "undecided; undecided; undecided", "gate.any": "passed; passed; passed"},
			holds:   map[string]bool{"gate.quality": false, "gate.any": true},
			outputs: map[string]string{"dense": `{"value":null,"status":"failed"}`},
		},
		{
			name:    "withheld is told from failed",
			ppl:     map[string]float64{"dense": 10, "2": -2, "4": 10, "8": 10},
			gates:   map[string]string{"gate.quality": "undecided; passed; passed"},
			winner:  "quantize.q[b.bits=4]",
			outputs: map[string]string{"table": `{"value":["withheld","ok","ok"]}`},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			x, r := run(t, c.ppl)
			for gate, want := range c.gates {
				if got := verdicts(x, r, gate); got != want {
					t.Errorf("%s: %s, want %s", gate, got, want)
				}
			}
			for gate, want := range c.holds {
				if got := r.GateHolds(x.Pipeline.Lookup(gate)); got != want {
					t.Errorf("%s holds: %v, want %v", gate, got, want)
				}
			}
			for name, want := range c.outputs {
				if got := outputText(x, r, name); got != want {
					t.Errorf("output %s: %s\nwant %s", name, got, want)
				}
			}
			w := r.Select(x.Of(x.Pipeline.Lookup("select.best"))[0])
			if got := ""; w.Node != nil {
				got = w.Node.Addr()
				if got != c.winner {
					t.Errorf("winner %s, want %s", got, c.winner)
				}
			} else if c.winner != "" {
				t.Errorf("no winner (%s), want %s", w.Message, c.winner)
			}
		})
	}
}

// The gate of the candidate that won decides about what is made of it, and the
// gates of the others do not.
func TestGateOfWinnerDecides(t *testing.T) {
	x, r := run(t, map[string]float64{"dense": 10, "2": 50, "4": 12, "8": 10.5})
	active := 0
	for _, n := range x.Of(x.Pipeline.Lookup("export.out")) {
		if !r.Active(n) {
			continue
		}
		active++
		if gate, _ := r.Blocked(n); gate != nil {
			t.Errorf("%s is withheld by %s", n.ID(), gate.Addr())
		}
		if got := n.Choices[0].Candidate.Addr(); got != "quantize.q[b.bits=4]" {
			t.Errorf("active is the candidate %s", got)
		}
	}
	if active != 1 {
		t.Errorf("%d exports are active, want 1", active)
	}
}

// Of equal candidates the first point wins, whichever way the objective goes.
func TestSelectTies(t *testing.T) {
	for _, objective := range []string{"minimize = model.base.size", "maximize = model.base.size"} {
		text := strings.Replace(runText, "minimize = quantize.q.size", objective, 1)
		x, diags := load(t, map[string][]byte{"a.pipeline.hcl": []byte(text)}, lang.Options{})
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		r := x.Results(func(*Node) Outcome {
			return Outcome{Status: Done, Metrics: map[string]float64{"perplexity": 1}}
		})
		if w := r.Select(x.Of(x.Pipeline.Lookup("select.best"))[0]); w.Node == nil || w.Node.Addr() != "quantize.q[b.bits=2]" {
			t.Errorf("%s: winner %+v", objective, w)
		}
	}
}

// The whole text as JSON means the same graph.
func TestJSONMeansTheSame(t *testing.T) {
	native := `
model "base" {
  source = "base"
}
sweep "grid" "s" {
  keep = [0.25, 0.5]
}
prune "wanda" "p" {
  model    = model.base
  sparsity = sweep.s.keep
  override "model.layers.0.*" {
    sparsity = 0
  }
  override {
    match    = ["*.up_proj"]
    sparsity = "2:4"
  }
}
retrain "lora" "r" {
  model = prune.p
  data  = data.d
  steps = 3
  optimizer "adamw" {
    learning_rate = 0.5
  }
}
data "text" "d" {
  source          = "a.txt"
  tokenizer       = model.base
  sequence_length = 8
}
`
	asJSON := `{
  "model": {"base": {"source": "base"}},
  "sweep": {"grid": {"s": {"keep": [0.25, 0.5]}}},
  "prune": {"wanda": {"p": {
    "model": "${model.base}", "sparsity": "${sweep.s.keep}",
    "override": [{"match": "model.layers.0.*", "sparsity": 0}, {"match": ["*.up_proj"], "sparsity": "2:4"}]
  }}},
  "retrain": {"lora": {"r": {"model": "${prune.p}", "data": "${data.d}", "steps": 3, "optimizer": {"adamw": {"learning_rate": 0.5}}}}},
  "data": {"text": {"d": {"source": "a.txt", "tokenizer": "${model.base}", "sequence_length": 8}}}
}`
	var texts []string
	for name, src := range map[string]string{"a.pipeline.hcl": native, "a.pipeline.hcl.json": asJSON} {
		x, diags := load(t, map[string][]byte{name: []byte(src)}, lang.Options{})
		if len(diags) > 0 {
			t.Fatalf("%s: %v", name, diags)
		}
		var b strings.Builder
		for _, n := range x.Nodes {
			if n.Call == nil {
				continue
			}
			switch a := n.Call.Args.(type) {
			case *fakePrune:
				j, err := json.Marshal([]any{n.ID(), a.Sparsity, a.Overrides})
				if err != nil {
					t.Fatal(err)
				}
				b.Write(j)
			case *fakeLoRA:
				j, err := json.Marshal([]any{n.ID(), a.Steps, a.Rank, a.Optimizer})
				if err != nil {
					t.Fatal(err)
				}
				b.Write(j)
			}
		}
		texts = append(texts, b.String())
	}
	if texts[0] != texts[1] || !strings.Contains(texts[0], `"2:4"`) {
		t.Errorf("native and JSON differ:\n%s\n%s", texts[0], texts[1])
	}
}

// Expansion finds the same, in the same order, every time.
func TestExpansionIsDeterministic(t *testing.T) {
	var first string
	for i := range 5 {
		x, diags := load(t, map[string][]byte{"a.pipeline.hcl": []byte(runText + "\ngate \"x\" {\n condition = nope\n y = 1\n}\n")}, lang.Options{})
		text := nodesText(x) + hcl.Diagnostics(diags).Error()
		if i == 0 {
			first = text
		}
		if text != first {
			t.Fatal("two expansions of one text differ")
		}
	}
}
