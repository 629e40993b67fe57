package transform

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/mask"
	"github.com/compressc/compressc/internal/model"
	"github.com/compressc/compressc/internal/nn"
	"github.com/compressc/compressc/passes"
	"github.com/compressc/compressc/passes/prune"
	"pgregory.net/rapid"
)

// The examples of the method's description.
func TestRecentreExactly(t *testing.T) {
	crms := recentring{Fold: true, Drop: true}
	w, shift := reader(crms, nil, []float32{1, 2, 3}, nil, nil, 3)
	if !slices.Equal(w, []float32{-2, -1}) || shift[0] != 0 {
		t.Errorf("a reader became %v and %v", w, shift)
	}
	// W·x of x = (1, 2, −3), and of what is stored of it.
	if a, b := 1*1+2*2-3*3, int(w[0])*1+int(w[1])*2; a != -4 || b != a {
		t.Errorf("the product was %d and is %d", a, b)
	}
	if got := writer(recentring{}, []float32{1, 2, 3}, 3); !slices.Equal(got, []float32{-1, 0, 1}) {
		t.Errorf("a column became %v", got)
	}
	if got := writer(crms, []float32{1, 10, 2, 10, 3, 10}, 3); !slices.Equal(got, []float32{-1, 0, 0, 0}) {
		t.Errorf("a narrower layer is %v", got)
	}
	if got := streamRows(recentring{}, nil, []float32{1, 2, 3, 5, 5, 5}, 3); !slices.Equal(got, []float32{-1, 0, 1, 0, 0, 0}) {
		t.Errorf("rows became %v", got)
	}
	w, shift = reader(recentring{Fold: true}, nil, []float32{1, 2, 3, 4}, []float32{0, 3}, []float32{10, -1}, 2)
	if !slices.Equal(w, []float32{0, 6, 0, 12}) || !slices.Equal(shift, []float64{8, 26}) {
		t.Errorf("a gain of 0 and a bias gave %v and %v", w, shift)
	}
}

// rewritten does to a model in memory what the kernels do to a stored one.
func rewritten[T nn.Float](r recentring, m *nn.ModelOf[T]) *nn.ModelOf[T] {
	c := m.Config
	d, n := c.Hidden, r.config(c)
	out := &nn.ModelOf[T]{Config: n, Embed: streamRows(r, nil, m.Embed, d)}
	if m.Positions != nil {
		out.Positions = streamRows(r, nil, m.Positions, d)
	}
	norm := func(x []T) (kept, gain, bias []T) {
		if !r.Fold {
			return x, nil, nil
		}
		kept = slices.Repeat([]T{1}, n.Hidden)
		if gain = x[:d]; c.NormBias {
			bias = x[d:]
		}
		return kept, gain, bias
	}
	reader := func(l nn.LinearOf[T], gain, bias []T, hasBias bool) nn.LinearOf[T] {
		old := l.Bias
		if old == nil {
			old = make([]T, l.Out)
		}
		l.Sides = slices.Clone(l.Sides)
		var b []T
		l.W, b = read(r, nil, l.W, old, l.Sides, gain, bias, d)
		if l.In = n.Hidden; hasBias {
			l.Bias = b
		}
		return l
	}
	writer := func(l nn.LinearOf[T]) nn.LinearOf[T] {
		l.W, l.Out = writer(r, l.W, d), n.Hidden
		if l.Bias != nil {
			l.Bias = streamRows(r, nil, l.Bias, d)
		}
		l.Sides = slices.Clone(l.Sides)
		for i := range l.Sides {
			l.Sides[i].B = writer(r, l.Sides[i].B, d)
		}
		return l
	}
	for _, b := range m.Blocks {
		nb := *b
		kept, gain, bias := norm(b.InputNorm)
		nb.InputNorm = kept
		for _, l := range []*nn.LinearOf[T]{&nb.Q, &nb.K, &nb.V} {
			*l = reader(*l, gain, bias, n.AttentionBias)
		}
		kept, gain, bias = norm(b.PostNorm)
		nb.PostNorm = kept
		nb.Up = reader(b.Up, gain, bias, n.MLPBias)
		if b.Gate.Out > 0 {
			nb.Gate = reader(b.Gate, gain, bias, n.MLPBias)
		}
		nb.O, nb.Down = writer(b.O), writer(b.Down)
		out.Blocks = append(out.Blocks, &nb)
	}
	kept, gain, bias := norm(m.Norm)
	out.Norm, out.Head = kept, reader(m.Head, gain, bias, n.HeadBias)
	return out
}

func logits[T nn.Float](m *nn.ModelOf[T], ids []int32) []T {
	r := nn.NewRunnerOf[T](m.Config, nil)
	x := make([]T, len(ids)*m.Config.Hidden)
	r.Embed(m.Embed, ids, x)
	if m.Positions != nil {
		r.AddPositions(m.Positions, x, len(ids))
	}
	for _, b := range m.Blocks {
		r.Forward(b, x, len(ids), nil)
	}
	return r.Logits(m.Norm, &m.Head, x, len(ids))
}

// greedy continues ids by n tokens, each the likeliest.
func greedy(m *nn.Model, ids []int32, n int) []int32 {
	ids = slices.Clone(ids)
	for range n {
		all := logits(m, ids)
		last, top := all[len(all)-m.Config.Vocab:], 0
		for j, v := range last {
			if v > last[top] {
				top = j
			}
		}
		ids = append(ids, int32(top))
	}
	return ids
}

// Whatever the weights, gains and biases, with and without gates, biases, tied
// heads, learned positions and side paths: the logits stay.
func TestRecentreKeepsTheFunction(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		flag := func(name string) bool { return rapid.Bool().Draw(t, name) }
		c := &arch.Config{ModelType: "gpt2", Layers: 2, Hidden: rapid.IntRange(2, 24).Draw(t, "hidden"), Intermediate: 12, KVHeads: 2, Heads: 2, HeadDim: 4,
			RMSEps: 1e-5, RopeTheta: 1e4, Vocab: 30, Norm: arch.NormLayer, NormBias: flag("norm bias"), Tied: flag("tied"), HeadBias: flag("head bias"),
			AttentionBias: flag("bias"), AttentionOutBias: flag("out bias"), MLPBias: flag("mlp bias"), MLPOutBias: flag("down bias"), MaxPosition: 80}
		if flag("plain") {
			c.Plain, c.Learned, c.PositionOffset = true, true, 2
			c.Activation = rapid.SampledFrom([]string{arch.ActGELUTanh, arch.ActReLU}).Draw(t, "activation")
		}
		seed := rapid.Uint64().Draw(t, "seed")
		m := drawn(t, c, seed)
		if flag("sides") {
			for _, b := range m.Blocks {
				for _, l := range []*nn.Linear{&b.Q, &b.O, &b.Up, &b.Down} {
					l.Sides = append(l.Sides, nn.Side{A: noise(&seed, 2*l.In), B: noise(&seed, 2*l.Out), Rank: 2, Scale: 1})
				}
			}
		}
		ids := []int32{1, 7, 3, 29, 7, 0, 11}
		want, exact := logits(m, ids), logits(widen(m), ids)
		// A stream of few entries may lie close to its mean, where a norm makes much
		// of the last bits: the model itself shows how much.
		scale, rounding := 1.0, 0.0
		for i, v := range exact {
			scale, rounding = max(scale, math.Abs(v)), max(rounding, math.Abs(v-float64(want[i])))
		}
		for _, r := range []recentring{{}, {Fold: true}, {Fold: true, Drop: true}} {
			n := rewritten(r, m)
			if n.Config.Parameters()-elements(n) != 0 {
				t.Fatalf("%+v: the configuration counts %d parameters, the model has %d", r, n.Config.Parameters(), elements(n))
			}
			for i, v := range logits(n, ids) {
				if d := math.Abs(float64(v - want[i])); !(d <= 1e-4*scale+30*rounding) {
					t.Fatalf("%+v: logit %d is %v, was %v", r, i, v, want[i])
				}
			}
		}
	})
}

// In float64, with drawn gains and biases, the logits of decoders like GPT-2 and
// OPT stay to 1e-10.
func TestRecentreInFloat64(t *testing.T) {
	base := arch.Config{ModelType: "gpt2", Layers: 3, Hidden: 48, Intermediate: 96, KVHeads: 4, Heads: 4, HeadDim: 12, RMSEps: 1e-5, RopeTheta: 1e4, Vocab: 60,
		Norm: arch.NormLayer, NormBias: true, Plain: true, Learned: true, Activation: arch.ActGELUTanh, MaxPosition: 80, Tied: true,
		AttentionBias: true, AttentionOutBias: true, MLPBias: true, MLPOutBias: true}
	opt := base
	opt.ModelType, opt.Activation, opt.PositionOffset = "opt", arch.ActReLU, 2
	ids := []int32{1, 7, 3, 29, 7, 0, 11, 59, 42}
	for seed, c := range []*arch.Config{&base, &opt} {
		m := widen(drawn(t, c, uint64(seed)))
		want := logits(m, ids)
		for _, r := range []recentring{{}, {Fold: true}, {Fold: true, Drop: true}} {
			most, n := 0.0, rewritten(r, m)
			for i, v := range logits(n, ids) {
				most = max(most, math.Abs(v-want[i]))
			}
			if !(most <= 1e-10) {
				t.Errorf("%s, %+v: a logit is off by %.3g", c.ModelType, r, most)
			}
			t.Logf("%s, %+v: %.2g", c.ModelType, r, most)
		}
	}
}

// A model that has the norm already is passed on as it is.
func TestRecentreTwice(t *testing.T) {
	for _, r := range []recentring{{}, {Fold: true}, {Fold: true, Drop: true}} {
		g := action.NewGraph()
		leaf := g.AddLeaf("model.m", &artifact.Tree{})
		in := &passes.Model{Type: typeOf(t, gpt2), From: "model.m", Embed: leaf, Blocks: []action.Ref{leaf, leaf}, Final: leaf, Config: leaf}
		of := func(node string, m *passes.Model) *passes.Model {
			res, ds := r.typed(node, m)
			if ds.HasErrors() {
				t.Fatal(ds)
			}
			return r.lowered(node, g, m, res, Verified{}).Model
		}
		once := of("transform.x", in)
		if once.Blocks[0] == leaf {
			t.Errorf("%+v does nothing the first time", r)
		}
		n := len(g.Actions)
		twice := of("transform.y", once)
		if len(g.Actions) != n {
			t.Errorf("%+v again adds %d actions", r, len(g.Actions)-n)
		}
		if twice.Embed != once.Embed || twice.Final != once.Final || twice.Config != once.Config || !slices.Equal(twice.Blocks, once.Blocks) {
			t.Errorf("%+v again gives another model", r)
		}
	}
}

// 64 tokens generated greedily are the same, of a model whose next token is clear.
func TestRecentreGeneratesTheSame(t *testing.T) {
	c := &arch.Config{ModelType: "gpt2", Layers: 3, Hidden: 32, Intermediate: 64, KVHeads: 4, Heads: 4, HeadDim: 8, RMSEps: 1e-5, RopeTheta: 1e4, Vocab: 50,
		Norm: arch.NormLayer, NormBias: true, Plain: true, Learned: true, Activation: arch.ActGELUTanh, MaxPosition: 80,
		AttentionBias: true, AttentionOutBias: true, MLPBias: true, MLPOutBias: true}
	m := drawn(t, c, 77)
	for i := range m.Norm[c.Hidden:] { // else one token's logit is the largest everywhere
		m.Norm[c.Hidden+i] /= 8
	}
	want := greedy(m, []int32{4, 17}, 64)
	seen := map[int32]bool{}
	for _, id := range want {
		seen[id] = true
	}
	if len(seen) < 6 {
		t.Fatalf("only %d different tokens are generated: the test shows little", len(seen))
	}
	for _, r := range []recentring{{}, {Fold: true}, {Fold: true, Drop: true}} {
		if got := greedy(rewritten(r, m), []int32{4, 17}, 64); !slices.Equal(got, want) {
			t.Errorf("%+v generates %v instead of %v", r, got, want)
		}
	}
}

func elements(m *nn.Model) int64 {
	n := len(m.Embed) + len(m.Positions) + len(m.Norm) + len(m.Head.W) + len(m.Head.Bias)
	for _, b := range m.Blocks {
		n += len(b.InputNorm) + len(b.PostNorm)
		for _, l := range b.Linears() {
			n += len(l.W) + len(l.Bias)
		}
	}
	return int64(n)
}

func noise(seed *uint64, n int) []float32 {
	r, x := rand.New(rand.NewPCG(*seed, 1)), make([]float32, n)
	*seed = r.Uint64()
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

// drawn is a model of c with noise in all of its tensors, gains and biases
// included.
func drawn(t interface{ Fatal(...any) }, c *arch.Config, seed uint64) *nn.Model {
	sizes := map[string]int{}
	for _, x := range c.OuterTensors() {
		sizes[x.Name] = int(x.Elements())
	}
	for b := range c.Layers {
		for _, x := range c.BlockTensors() {
			sizes[c.BlockPrefix(b)+x.Name] = int(x.Elements())
		}
	}
	m, err := nn.LoadModel(c, func(name string) ([]float32, error) { return noise(&seed, sizes[name]), nil })
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func typeOf(t *testing.T, config string) *model.Type {
	t.Helper()
	c, err := arch.ParseConfig([]byte(config))
	if err != nil {
		t.Fatal(err)
	}
	ty := model.New(c, "source", func(string) float64 { return 16 })
	ty.OtherBytes = 2 * (c.Parameters() - c.LinearParameters())
	return ty
}

const (
	gpt2  = `{"model_type": "gpt2", "n_embd": 8, "n_head": 2, "n_layer": 2, "n_positions": 16, "vocab_size": 10}`
	llama = `{"model_type": "llama", "hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 10}`
)

// What the type rule says of shapes, parameters and sizes.
func TestRecentredTypes(t *testing.T) {
	ty := typeOf(t, gpt2)
	in := &passes.Model{Type: ty, From: "model.m"}
	before := ty.Parameters()
	for _, c := range []struct {
		r          recentring
		parameters int64 // more than before
		linears    int   // rewritten in a block
		hidden     int
	}{
		{recentring{}, 10 * 8, 2, 8},
		// The head's table and bias, less the biases of five norms.
		{recentring{Fold: true}, 10*8 + 10 - 5*8, 6, 8},
		// A row or a column less everywhere.
		{recentring{Fold: true, Drop: true}, 10*8 + 10 - 5*8 - 2*10 - 16 - 5 - 2*(4*8+2*32) - 2*2, 6, 7},
	} {
		res, ds := c.r.typed("transform.x", in)
		if len(ds) > 0 {
			t.Fatalf("%+v: %v", c.r, ds)
		}
		got := res.Model.Type
		if d := got.Parameters() - before; d != c.parameters || got.Config.Hidden != c.hidden || got.Config.HeadDim != 4 {
			t.Errorf("%+v: %d more parameters, expected %d; width %d", c.r, d, c.parameters, got.Config.Hidden)
		}
		n, bits := 0, 0.0
		for _, l := range got.Linears {
			if len(l.ScaledBy) == 1 && l.ScaledBy[0] == "transform.x" && l.StoredBits == prune.DenseBits {
				n++
			}
			bits += l.StoredBits * float64(l.Out) * float64(l.In)
		}
		if n != 2*c.linears {
			t.Errorf("%+v: %d layers are rewritten, expected %d", c.r, n, 2*c.linears)
		}
		if want := int64(bits/8) + 2*(got.Config.Parameters()-got.Config.LinearParameters()); got.Size() != want {
			t.Errorf("%+v: size %d, expected %d", c.r, got.Size(), want)
		}
		// The configuration that is stored says the same.
		raw, err := got.Config.JSON()
		if err != nil {
			t.Fatal(err)
		}
		back, err := arch.ParseConfig(raw)
		if err != nil {
			t.Fatal(err)
		}
		if back.Norm != got.Config.Norm || back.NormBias != got.Config.NormBias || back.HeadBias != got.Config.HeadBias || back.Tied || back.Hidden != got.Config.Hidden || back.HeadDim != 4 || back.Parameters() != got.Config.Parameters() {
			t.Errorf("%+v: config.json reads back as %+v", c.r, back)
		}
		// Once more changes nothing, and says so.
		again, ds := c.r.typed("transform.y", &passes.Model{Type: got, From: "transform.x"})
		if len(ds) != 1 || ds[0].Severity != diag.Warning || again.Model.Type.Config != got.Config {
			t.Errorf("%+v again: %v", c.r, ds)
		}
	}
}

func TestRecentreRefuses(t *testing.T) {
	fold, drop := recentring{Fold: true}, recentring{Fold: true, Drop: true}
	with := func(config string, change func(l *model.Linear)) *model.Type {
		ty := typeOf(t, config)
		for _, l := range ty.Linears {
			change(l)
		}
		return ty
	}
	masked := func(name string) *model.Type {
		return with(gpt2, func(l *model.Linear) {
			if l.Name == name {
				l.Mask, l.MaskedBy = mask.Pattern{Fraction: .5}, "prune.p"
			}
		})
	}
	coded := func(name string) *model.Type {
		return with(gpt2, func(l *model.Linear) {
			if l.Name == name {
				l.Format, l.QuantizedBy = model.Format{Bits: 4, GroupSize: -1}, "quantize.q"
			}
		})
	}
	of := func(kind string) *model.Type {
		ty := typeOf(t, gpt2)
		c := *ty.Config
		c.Norm = kind
		ty.Config = &c
		return ty
	}
	for _, c := range []struct {
		name string
		r    recentring
		ty   *model.Type
		want string // "" for no error
	}{
		{"a masked writer", recentring{}, masked("self_attn.o_proj"), "Zeros would be filled"},
		{"a masked reader", fold, masked("mlp.up_proj"), ""},
		{"a masked reader of what goes", drop, masked("mlp.up_proj"), "Zeros would be filled"},
		{"a writer of codes", recentring{}, coded("mlp.down_proj"), "Rewriting codes"},
		{"a reader of codes", fold, coded("self_attn.q_proj"), "Rewriting codes"},
		{"a reader of codes that stays", recentring{}, coded("self_attn.q_proj"), ""},
		{"crmsnorm of RMSNorm", drop, typeOf(t, llama), "The stream may have a mean"},
		{"rmsnorm of RMSNorm", fold, typeOf(t, llama), ""},
		{"rmsnorm of CRMSNorm", fold, of(arch.NormCompressed), "The stream has lost an entry"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, ds := c.r.typed("transform.x", &passes.Model{Type: c.ty, From: "model.m"})
			switch {
			case c.want == "" && ds.HasErrors(), c.want != "" && (len(ds) != 1 || ds[0].Summary != c.want):
				t.Errorf("%v, expected %q", ds, c.want)
			}
		})
	}
}

// widen is a model in float64.
func widen(m *nn.Model) *nn.ModelOf[float64] {
	wide := func(x []float32) []float64 {
		if x == nil {
			return nil
		}
		y := make([]float64, len(x))
		for i, v := range x {
			y[i] = float64(v)
		}
		return y
	}
	linear := func(l nn.Linear) nn.LinearOf[float64] {
		out := nn.LinearOf[float64]{Out: l.Out, In: l.In, W: wide(l.W), Bias: wide(l.Bias)}
		for _, s := range l.Sides {
			out.Sides = append(out.Sides, nn.SideOf[float64]{A: wide(s.A), B: wide(s.B), Rank: s.Rank, Scale: float64(s.Scale)})
		}
		return out
	}
	out := &nn.ModelOf[float64]{Config: m.Config, Embed: wide(m.Embed), Positions: wide(m.Positions), Norm: wide(m.Norm), Head: linear(m.Head)}
	for _, b := range m.Blocks {
		out.Blocks = append(out.Blocks, &nn.BlockOf[float64]{InputNorm: wide(b.InputNorm), PostNorm: wide(b.PostNorm),
			Q: linear(b.Q), K: linear(b.K), V: linear(b.V), O: linear(b.O), Gate: linear(b.Gate), Up: linear(b.Up), Down: linear(b.Down)})
	}
	return out
}
