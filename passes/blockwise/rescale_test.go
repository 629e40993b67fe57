package blockwise

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/mask"
	"github.com/compressc/compressc/internal/nn"
)

// randomBlock is a block of cfg with a side path on every layer and a mask on
// some.
func randomBlock(t *rapid.T, cfg *arch.Config) *artifact.Value {
	seed := rapid.Uint64().Draw(t, "seed")
	next := func() float32 {
		seed = seed*6364136223846793005 + 1442695040888963407
		return float32(int32(seed>>33)-1<<30) / (1 << 30)
	}
	b := artifact.NewBuilder()
	linear := map[string]arch.LinearSpec{}
	for _, l := range cfg.Linears() {
		linear[l.Weight()] = l
	}
	for _, s := range cfg.BlockTensors() {
		x := make([]float32, s.Elements())
		for i := range x {
			x[i] = next()
		}
		l, ok := linear[s.Name]
		if !ok {
			b.PutFloat32(s.Name, s.Shape, x)
			continue
		}
		var m *mask.Mask
		if rapid.Bool().Draw(t, "masked "+s.Name) {
			m = mask.New(l.Out, l.In)
			for i := range x {
				m.Set(i/l.In, i%l.In, next() > 0)
			}
			m.Apply(x)
		}
		PutDense(b, l.Name, l.Out, l.In, x, m)
		side := [2][]float32{make([]float32, 2*l.In), make([]float32, l.Out*2)}
		for _, x := range side {
			for i := range x {
				x[i] = next()
			}
		}
		PutSide(b, l.Name, 0, 2, side[0], side[1])
	}
	return built(b)
}

func forward(t *rapid.T, cfg *arch.Config, v *artifact.Value, x []float32, n int) []float32 {
	b, err := Load(cfg, v)
	if err != nil {
		t.Fatal(err)
	}
	x = slices.Clone(x)
	nn.NewRunner(cfg, nil).Forward(b, x, n, nil)
	return x
}

// Whatever factors the sites get, a rewritten block computes what it did, its
// masks are the same and their zeros are zeros.
func TestRescaleKeepsTheFunction(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		flag := func(name string) bool { return rapid.Bool().Draw(t, name) }
		kv := rapid.IntRange(1, 2).Draw(t, "kv heads")
		cfg := &arch.Config{ModelType: "llama", Layers: 1, Hidden: 8, Intermediate: 12, KVHeads: kv,
			Heads: kv * rapid.IntRange(1, 3).Draw(t, "group"), HeadDim: 4, RMSEps: 1e-6, RopeTheta: 1e4, Vocab: 8,
			AttentionBias: flag("bias"), AttentionOutBias: flag("out bias"), MLPBias: flag("mlp bias"), QKNorm: flag("qk norm")}
		if flag("layer norm") {
			cfg.Norm, cfg.NormBias, cfg.Plain, cfg.Learned, cfg.MaxPosition, cfg.QKNorm = arch.NormLayer, true, true, true, 16, false
			cfg.Activation = rapid.SampledFrom([]string{arch.ActGELUTanh, arch.ActReLU}).Draw(t, "activation")
		}
		in := randomBlock(t, cfg)
		r := NewRescale(cfg)
		for _, k := range cfg.Couplings() {
			if !flag(k.Site) {
				continue
			}
			s := make([]float32, k.Free)
			for i := range s {
				s[i] = float32(math.Exp2(rapid.Float64Range(-6, 6).Draw(t, "factor")))
			}
			r.Add(k, s)
		}
		b := artifact.NewBuilder()
		if err := r.Put(b, in, func(string) bool { return false }); err != nil {
			t.Fatal(err)
		}
		out := built(b, in)

		n := 5
		x := make([]float32, n*cfg.Hidden)
		for i := range x {
			x[i] = float32(i%7) - 3 + float32(i)/11
		}
		want, got := forward(t, cfg, in, x, n), forward(t, cfg, out, x, n)
		scale := 0.0
		for _, v := range want {
			scale = max(scale, math.Abs(float64(v)))
		}
		for i := range want {
			if d := math.Abs(float64(want[i] - got[i])); d > 1e-4*scale {
				t.Fatalf("element %d: %v instead of %v", i, got[i], want[i])
			}
		}
		for _, e := range in.Tree.Entries {
			if !out.Has(e.Name) {
				t.Fatalf("%s is lost", e.Name)
			}
		}
		for _, l := range cfg.Linears() {
			m, err := Mask(out, l.Name)
			if err != nil {
				t.Fatal(err)
			}
			if m == nil {
				continue
			}
			w, err := Dense(out, l.Name)
			if err != nil {
				t.Fatal(err)
			}
			z := slices.Clone(w)
			m.Apply(z)
			if !slices.Equal(w, z) {
				t.Fatalf("%s: a pruned weight is no longer zero", l.Name)
			}
		}
	})
}

func TestRoundRows(t *testing.T) {
	for _, c := range []struct {
		bits int
		top  float32
		x    []float32
		want []float32
	}{
		{8, 127, []float32{126.5, 0.5, 1.5, -0.4, -300}, []float32{126, 0, 2, 0, -127}},
		{8, 254, []float32{1, 3, 253}, []float32{0, 4, 252}},
		{16, 32767, []float32{.4, 32766.6}, []float32{0, 32767}},
		{8, 0, []float32{0, 1}, []float32{0, 0}},
	} {
		x := slices.Clone(c.x)
		RoundRows(x, c.top, c.bits)
		if !slices.Equal(x, c.want) {
			t.Errorf("%d bits to %v: %v became %v, expected %v", c.bits, c.top, c.x, x, c.want)
		}
	}
}

// Ranges that do not lie around zero: s = (max − min)/(2^bits − 1) with zero
// between them, and a zero point.
func TestRoundBetween(t *testing.T) {
	for _, c := range []struct {
		bits    int
		x, want []float32
	}{
		{2, []float32{0, 1, 2.4, 3}, []float32{0, 1, 2, 3}},
		{2, []float32{3, 5.9, 6}, []float32{4, 6, 6}}, // 0 belongs to the range: s = 2
		{2, []float32{-1, 0.4, 2}, []float32{-1, 0, 2}},
		{2, []float32{-6, -3.1}, []float32{-6, -4}},
		{8, []float32{-1, 0, 254}, []float32{-1, 0, 254}},
		{4, []float32{0, 0}, []float32{0, 0}},
		{16, []float32{-32768, 32767, 0.4}, []float32{-32768, 32767, 0}},
	} {
		x := slices.Clone(c.x)
		RoundBetween(x, c.bits)
		if !slices.Equal(x, c.want) {
			t.Errorf("%d bits: %v became %v, expected %v", c.bits, c.x, x, c.want)
		}
	}
}
