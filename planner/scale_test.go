package planner

import (
	"errors"
	"fmt"
	"runtime"
	"testing"

	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/model"
	"github.com/compressc/compressc/lang"
	"github.com/compressc/compressc/passes"
	"github.com/compressc/compressc/passes/all"
)

// mockSources know a model of Llama 3 70B's shape and any text, without files:
// their leaves have made-up digests.
type mockSources struct{ config *arch.Config }

func (m mockSources) sources() Sources {
	return Sources{
		Model: func(addr string, a *lang.ModelArgs) (*passes.Model, diag.List) {
			t := model.New(m.config, addr, func(string) float64 { return 16 })
			t.Tokenizer = "tok"
			return &passes.Model{Type: t, From: addr}, nil
		},
		Data: func(addr string, a *lang.DataArgs, _ uint64) (*passes.Data, diag.List) {
			return &passes.Data{From: addr, Type: passes.DataType{Windows: 128, SequenceLength: a.SequenceLength, Tokenizer: "tok",
				WindowDigests: []string{fmt.Sprint(a.Source, a.SequenceLength)}}}, nil
		},
	}
}

func (m mockSources) leaf(g *action.Graph, name string, size int) action.Ref {
	return g.AddLeaf("mock", &artifact.Tree{Entries: []artifact.Entry{{Name: name, Digest: artifact.Sum([]byte(name)), Size: int64(size)}}})
}

func (m mockSources) LowerModel(g *action.Graph, _ *cache.Store, out *passes.Model) error {
	out.Config, out.Tokenizer = m.leaf(g, "config.json", 1), m.leaf(g, "tokenizer.json", 1)
	out.Embed, out.Final = m.leaf(g, "embed", 1<<30), m.leaf(g, "final", 1<<30)
	for b := range m.config.Layers {
		out.Blocks = append(out.Blocks, m.leaf(g, fmt.Sprint("block ", b), 1<<30))
	}
	return nil
}

func (m mockSources) LowerData(g *action.Graph, _ *cache.Store, out *passes.Data) error {
	out.Tokens = m.leaf(g, out.Type.WindowDigests[0], 1<<20)
	return nil
}

func (m mockSources) LowerAdapter(*action.Graph, *cache.Store, *passes.Adapter) error {
	return errors.New("no adapters here")
}

const planText = `
model "base" {
  source = "mock"
}
data "text" "calib" {
  source          = "calib.txt"
  tokenizer       = model.base
  sequence_length = 2048
}
data "text" "test" {
  source          = "test.txt"
  tokenizer       = model.base
  sequence_length = 2048
}
sweep "grid" "try" {
  bits       = [2, 3, 4, 8]
  group_size = [32, 64, 128, 256, 512]
  rank       = range(8, 408, 8)
}
prune "sparsegpt" "sparse" {
  model    = model.base
  data     = data.calib
  sparsity = "2:4"
}
quantize "gptq" "packed" {
  model      = prune.sparse
  data       = data.calib
  bits       = sweep.try.bits
  group_size = sweep.try.group_size
}
compensate "eora" "final" {
  model     = quantize.packed
  reference = model.base
  data      = data.calib
  rank      = sweep.try.rank
}
evaluate "perplexity" "ppl" {
  model = compensate.final
  data  = data.test
}
gate "quality" {
  condition = evaluate.ppl.perplexity < 10
}
output "perplexity" {
  value = evaluate.ppl.perplexity
}
`

// BenchmarkPlan plans a thousand points of a model of 80 decoder blocks with
// the real methods, and looks up every action in an empty cache; the goals are
// 5 s and 1 GB.
func BenchmarkPlan(b *testing.B) {
	m := mockSources{&arch.Config{ModelType: "llama", Hidden: 8192, Intermediate: 28672, Layers: 80, Heads: 64, KVHeads: 8, HeadDim: 128, Vocab: 128256,
		MaxPosition: 8192, RMSEps: 1e-5, RopeTheta: 500000}}
	reg, err := lang.NewRegistry(all.Passes()...)
	if err != nil {
		b.Fatal(err)
	}
	store, err := cache.Open(b.TempDir(), cache.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	for b.Loop() {
		p, diags := lang.LoadFiles(".", map[string][]byte{"a.pipeline.hcl": []byte(planText)}, lang.Options{Registry: reg})
		x, more := Expand(p, m.sources())
		if diags.HasErrors() || more.HasErrors() {
			b.Fatal(diags, more)
		}
		plan, err := Build(x, m, store)
		if err != nil {
			b.Fatal(err)
		}
		pr := plan.Predict(store, plan.Roots())
		if len(pr.Of) < 100_000 {
			b.Fatalf("only %d actions", len(pr.Of))
		}
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		b.ReportMetric(float64(s.HeapSys)/1e6, "heap-MB")
		b.ReportMetric(float64(len(plan.Graph.Actions)), "actions")
	}
}
