package quantize

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/grid"
	"github.com/compressc/compressc/internal/mask"
	"github.com/compressc/compressc/internal/nn"
	"github.com/compressc/compressc/passes/blockwise"
)

// built is what reading back would give; leaves that were carried over are those
// of from.
func built(b *artifact.Builder, from ...*artifact.Value) *artifact.Value {
	tree, leaves := b.Finish()
	data := map[artifact.Digest][]byte{}
	for _, l := range leaves {
		if l.Data != nil {
			data[l.Digest] = l.Data
		}
	}
	return &artifact.Value{Tree: tree, Load: func(e artifact.Entry) ([]byte, error) {
		if d, ok := data[e.Digest]; ok {
			return d, nil
		}
		for _, v := range from {
			if d, err := v.Load(e); err == nil {
				return d, nil
			}
		}
		return nil, fmt.Errorf("no bytes of %s", e.Name)
	}}
}

// awqBlock is a block with drawn weights of one of the families, and the
// statistics of its inputs, some channels of which are large.
type awqBlock struct {
	geometry        blockwise.Geometry
	cfg             *arch.Config
	block, hidden   *artifact.Value
	norms, gram     *artifact.Value
	x               []float32
	windows, tokens int
	layers          []awqLayer
	sites           []string
	spec            grid.Spec
	masked          map[string]bool
	seed            uint64
}

func (b *awqBlock) noise(n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		b.seed = b.seed*6364136223846793005 + 1442695040888963407
		x[i] = float32(int32(b.seed>>33)-1<<30) / (1 << 31)
	}
	return x
}

func drawBlock(t *rapid.T) *awqBlock {
	flag := func(name string) bool { return rapid.Bool().Draw(t, name) }
	kv := rapid.IntRange(1, 2).Draw(t, "kv heads")
	cfg := &arch.Config{ModelType: "llama", Layers: 1, Hidden: 8, Intermediate: 12, KVHeads: kv,
		Heads: kv * rapid.IntRange(1, 3).Draw(t, "group"), HeadDim: 4, RMSEps: 1e-6, RopeTheta: 1e4, Vocab: 8,
		AttentionBias: flag("bias"), AttentionOutBias: flag("out bias"), MLPBias: flag("mlp bias"), QKNorm: flag("qk norm")}
	if flag("layer norm") {
		cfg.Norm, cfg.NormBias, cfg.Plain, cfg.Learned, cfg.MaxPosition, cfg.QKNorm = arch.NormLayer, true, true, true, 16, false
		cfg.Activation = rapid.SampledFrom([]string{arch.ActGELUTanh, arch.ActReLU}).Draw(t, "activation")
	}
	b := &awqBlock{geometry: blockwise.BlockGeometry(cfg, 0), windows: 2, tokens: 5, seed: rapid.Uint64().Draw(t, "seed"), masked: map[string]bool{}}
	b.cfg = b.geometry.Config()
	b.spec = grid.Spec{Bits: rapid.IntRange(2, 4).Draw(t, "bits"), GroupSize: 4, Symmetric: flag("symmetric"), ScaleDType: grid.F32}
	linear := map[string]arch.LinearSpec{}
	for _, l := range cfg.Linears() {
		linear[l.Weight()] = l
		b.layers = append(b.layers, awqLayer{Name: l.Name, Site: l.Site, Out: l.Out, In: l.In, Spec: b.spec})
	}
	w := artifact.NewBuilder()
	for _, s := range cfg.BlockTensors() {
		x := b.noise(int(s.Elements()))
		l, ok := linear[s.Name]
		if !ok {
			w.PutFloat32(s.Name, s.Shape, x)
			continue
		}
		var m *mask.Mask
		if flag("masked " + s.Name) {
			m = mask.New(l.Out, l.In)
			for i, v := range b.noise(len(x)) {
				m.Set(i/l.In, i%l.In, v > 0)
			}
			m.Apply(x)
			b.masked[l.Name] = true
		}
		blockwise.PutDense(w, l.Name, l.Out, l.In, x, m)
	}
	b.block = built(w)
	b.x = b.noise(b.windows * b.tokens * cfg.Hidden)
	for i := range b.x {
		if i%cfg.Hidden == 3 {
			b.x[i] *= 50
		}
	}
	h := artifact.NewBuilder()
	h.PutFloat32("hidden", []int{b.windows, b.tokens, cfg.Hidden}, slices.Clone(b.x))
	b.hidden = built(h)
	b.statistics(t)
	for _, k := range b.cfg.Couplings() {
		b.sites = append(b.sites, k.Site)
	}
	return b
}

func (b *awqBlock) statistics(t *rapid.T) {
	weights, err := blockwise.Load(b.cfg, b.block)
	if err != nil {
		t.Fatal(err)
	}
	sum, gram := map[string][]float64{}, map[string][]float64{}
	x := slices.Clone(b.x)
	nn.NewRunner(b.cfg, nil).ForwardWindows(weights, x, b.windows, b.tokens, func(_ int, site string, rows []float32, width int) {
		if sum[site] == nil {
			sum[site], gram[site] = make([]float64, width), make([]float64, width*width)
		}
		for ; len(rows) > 0; rows = rows[width:] {
			for i, v := range rows[:width] {
				sum[site][i] += math.Abs(float64(v))
				for j, u := range rows[:width] {
					gram[site][i*width+j] += float64(v) * float64(u)
				}
			}
		}
	}, true)
	norms, grams := artifact.NewBuilder(), artifact.NewBuilder()
	norms.PutFloat64("count", []int{1}, []float64{float64(b.windows * b.tokens)})
	for _, s := range arch.Sites() {
		n := len(sum[s])
		norms.PutFloat64(s+".sum_abs", []int{n}, sum[s])
		grams.PutFloat64(s, []int{n, n}, gram[s])
	}
	b.norms, b.gram = built(norms), built(grams)
}

// call runs a kernel on the block and what more there is.
func (b *awqBlock) call(t *rapid.T, k *action.Kernel, params any, more map[string]*artifact.Value, outputs ...string) map[string]*artifact.Value {
	raw, err := json.Marshal(params)
	if err != nil {
		t.Fatal(err)
	}
	c := &action.Context{Context: context.Background(), Params: raw, In: map[string]*artifact.Value{"block": b.block, "gram": b.gram}, Out: map[string]*artifact.Builder{}}
	for n, v := range more {
		c.In[n] = v
	}
	for _, n := range outputs {
		c.Out[n] = artifact.NewBuilder()
	}
	if err := action.Call(k, c); err != nil {
		t.Fatal(err)
	}
	out := map[string]*artifact.Value{}
	for _, n := range outputs {
		out[n] = built(c.Out[n], b.block)
	}
	return out
}

func (b *awqBlock) scales(t *rapid.T) *artifact.Value {
	p := awqScaleParams{b.geometry, b.sites, b.layers, 20, b.windows}
	return b.call(t, awqScaleKernel, p, map[string]*artifact.Value{"norms": b.norms, "hidden": b.hidden}, "scales")["scales"]
}

func (b *awqBlock) forward(t *rapid.T, v *artifact.Value) []float32 {
	w, err := blockwise.Load(b.cfg, v)
	if err != nil {
		t.Fatal(err)
	}
	x := slices.Clone(b.x)
	nn.NewRunner(b.cfg, nil).ForwardWindows(w, x, b.windows, b.tokens, nil, false)
	return x
}

// The factors that are found leave what the block computes as it was, whatever
// the family; no site loses more than rounding to nearest does; and they help
// where channels differ.
func TestAWQScalesKeepTheFunction(t *testing.T) {
	scaled := 0
	rapid.Check(t, func(t *rapid.T) {
		b := drawBlock(t)
		s := b.scales(t)
		r := blockwise.NewRescale(b.cfg)
		var found map[string]map[string]float64
		if err := s.JSON("numbers", &found); err != nil {
			t.Fatal(err)
		}
		for _, k := range b.cfg.Couplings() {
			f, err := s.Float32(k.Site)
			if err != nil {
				t.Fatal(err)
			}
			r.Add(k, f)
			n := found[k.Site]
			if !(n["loss"] <= n["loss_at_0"]) || n["alpha"] < 0 || n["alpha"] > .95 {
				t.Fatalf("site %s: %v", k.Site, n)
			}
			if n["alpha"] > 0 {
				scaled++
			}
		}
		out := artifact.NewBuilder()
		if err := r.Put(out, b.block, func(string) bool { return false }); err != nil {
			t.Fatal(err)
		}
		want, got := b.forward(t, b.block), b.forward(t, built(out, b.block))
		for i, v := range want {
			if math.Abs(float64(got[i]-v)) > 1e-4*(1+math.Abs(float64(v))) {
				t.Fatalf("output %d is %v, before it was %v", i, got[i], v)
			}
		}
	})
	if scaled == 0 {
		t.Error("no site was scaled")
	}
}

// Codes are of the scaled weights, on the grid that was asked for; pruned weights
// are still zero, and norms and biases have the factors that the columns lack.
func TestAWQBlock(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := drawBlock(t)
		s := b.scales(t)
		p := awqParams{Geometry: b.geometry, Sites: b.sites, Layers: b.layers, Steps: 20, Shrink: .5}
		out := b.call(t, awqKernel, p, map[string]*artifact.Value{"scales": s}, "block", "report")
		var report map[string]map[string]float64
		if err := out["report"].JSON("report", &report); err != nil {
			t.Fatal(err)
		}
		for _, l := range b.layers {
			q, err := blockwise.Quantized(out["block"], l.Name)
			if err != nil {
				t.Fatal(err)
			}
			if q.Spec != b.spec {
				t.Fatalf("%s: grid %+v", l.Name, q.Spec)
			}
			w := make([]float32, l.Out*l.In)
			q.Dequantize(w)
			m, err := blockwise.Mask(out["block"], l.Name)
			if err != nil || (m != nil) != b.masked[l.Name] {
				t.Fatalf("%s: mask %v, %v", l.Name, m, err)
			}
			if m != nil {
				z := slices.Clone(w)
				m.Apply(z)
				if !slices.Equal(w, z) {
					t.Fatalf("%s: a pruned weight is no longer zero", l.Name)
				}
			}
			n := report[l.Name]
			if share, ok := n["range"]; ok != clipped(l.Name) || ok && !(share > .5 && share <= 1) {
				t.Fatalf("%s: ranges %v", l.Name, n)
			}
			if e := n["relative_output_error"]; !(e >= 0 && e < 1.5) {
				t.Fatalf("%s: error %v", l.Name, e)
			}
		}
		got := b.forward(t, out["block"])
		for i, v := range got {
			if v-v != 0 {
				t.Fatalf("output %d is %v", i, v)
			}
		}
		// Without scales and ranges it is rounding to nearest.
		bare := b.call(t, awqKernel, awqParams{Geometry: b.geometry, Layers: b.layers}, nil, "block", "report")["block"]
		for _, l := range b.layers {
			w, err := blockwise.Dense(b.block, l.Name)
			if err != nil {
				t.Fatal(err)
			}
			want, err := grid.Quantize(nil, w, l.Out, l.In, l.Spec, nil)
			if err != nil {
				t.Fatal(err)
			}
			got, err := blockwise.Quantized(bare, l.Name)
			if err != nil || !slices.Equal(got.Codes, want.Codes) || !slices.Equal(got.Scales, want.Scales) {
				t.Fatalf("%s: not what rounding to nearest gives (%v)", l.Name, err)
			}
		}
	})
}
