package planner

import (
	"math"
	"testing"

	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/bench"
	"github.com/compressc/compressc/lang"
	"github.com/compressc/compressc/passes/all"
)

// What no run has timed is estimated from the figures of compressc bench, as long
// as they are of this machine, and from a constant otherwise.
func TestEstimatesFollowFigures(t *testing.T) {
	m := mockSources{&arch.Config{ModelType: "llama", Hidden: 64, Intermediate: 128, Layers: 2, Heads: 4, KVHeads: 2, HeadDim: 16, Vocab: 256, MaxPosition: 512, RMSEps: 1e-5, RopeTheta: 1e4}}
	reg, err := lang.NewRegistry(all.Passes()...)
	if err != nil {
		t.Fatal(err)
	}
	store, err := cache.Open(t.TempDir(), cache.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	const text = `
model "base" {
  source = "x"
}
data "text" "calib" {
  source          = "x"
  tokenizer       = model.base
  sequence_length = 64
  samples         = 4
}
prune "wanda" "sparse" {
  model    = model.base
  data     = data.calib
  sparsity = 0.5
}
output "model" {
  value = prune.sparse
}
`
	p, diags := lang.LoadFiles(".", map[string][]byte{"a.pipeline.hcl": []byte(text)}, lang.Options{Registry: reg})
	x, more := Expand(p, m.sources())
	if diags.HasErrors() || more.HasErrors() {
		t.Fatal(diags, more)
	}
	plan, err := Build(x, m, store)
	if err != nil {
		t.Fatal(err)
	}
	seconds := func() float64 { return plan.Predict(store, plan.Roots()).Seconds }
	before := seconds()
	if !(before > 0) {
		t.Fatalf("estimate without figures is %v s", before)
	}
	f := &bench.Figures{Machine: bench.ThisMachine(), Figures: []bench.Figure{{Name: bench.Forward, Rate: 2 * defaultRate / 1e9}}}
	if err := f.Save(store.Dir()); err != nil {
		t.Fatal(err)
	}
	if got := seconds(); math.Abs(got/before-0.5) > 1e-9 {
		t.Errorf("on a machine twice as fast as the constant it is %v s, without figures %v s", got, before)
	}
	f.Machine.CPUs++
	if err := f.Save(store.Dir()); err != nil {
		t.Fatal(err)
	}
	if got := seconds(); got != before {
		t.Errorf("with another machine's figures it is %v s, without figures %v s", got, before)
	}
}
