package nn

import (
	"encoding/binary"
	"hash/fnv"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/linalg"
	"pgregory.net/rapid"
)

// logitTolerance bounds the difference from torch relative to the largest
// logit: both round float32 products in their own order.
const logitTolerance = 1e-4

func TestLogitsMatchTransformers(t *testing.T) {
	pool := linalg.NewPool(2)
	defer pool.Close()
	check := func(t *testing.T, fx *fixture) {
		m := fx.model(t)
		r := NewRunner(fx.config, pool)
		x := pass(r, m, fx.ids)
		got := r.Logits(m.Norm, &m.Head, x, len(fx.ids))
		if e := worst(got, fx.f32["logits"]); !(e < logitTolerance) {
			t.Errorf("logits differ by %.3g of the largest; expected below %g", e, logitTolerance)
		} else {
			t.Logf("worst logit: %.3g", e)
		}
	}
	for _, name := range fixtures {
		t.Run(name, func(t *testing.T) {
			check(t, openFixture(t, filepath.Join("testdata", name), "golden.safetensors"))
		})
	}
	for _, name := range []string{"llama", "llama_tied", "mistral", "qwen2", "qwen3", "gpt2", "opt"} {
		t.Run("reference/"+name, func(t *testing.T) {
			check(t, openFixture(t, filepath.Join(referenceDir(t), "tiny", name), "model.safetensors", "golden.safetensors"))
		})
	}
}

// randomModel draws a small architecture and weights for it.
func randomModel(t *rapid.T) *Model {
	dim := 2 * rapid.IntRange(1, 5).Draw(t, "half head")
	kv := rapid.IntRange(1, 3).Draw(t, "kv heads")
	c := &arch.Config{
		ModelType: "llama", Hidden: rapid.IntRange(1, 40).Draw(t, "hidden"),
		Intermediate: rapid.IntRange(1, 50).Draw(t, "intermediate"), Layers: 1,
		Heads: kv * rapid.IntRange(1, 3).Draw(t, "group"), KVHeads: kv, HeadDim: dim,
		RMSEps: 1e-5, RopeTheta: 10000, Vocab: rapid.IntRange(2, 60).Draw(t, "vocab"),
		AttentionBias: rapid.Bool().Draw(t, "bias"), MLPBias: rapid.Bool().Draw(t, "mlp bias"), MLPOutBias: rapid.Bool().Draw(t, "down bias"),
		QKNorm: rapid.Bool().Draw(t, "qk norm"), SlidingWindow: rapid.SampledFrom([]int{0, 0, 1, 3, 100}).Draw(t, "window"),
	}
	if rapid.Bool().Draw(t, "plain") {
		c.Plain, c.Learned, c.MaxPosition = true, true, 1000
		c.Activation = rapid.SampledFrom([]string{arch.ActSiLU, arch.ActGELUTanh, arch.ActReLU}).Draw(t, "activation")
	}
	c.Norm = rapid.SampledFrom([]string{arch.NormRMS, arch.NormLayer, arch.NormCompressed}).Draw(t, "norm")
	c.NormBias, c.HeadBias = rapid.Bool().Draw(t, "norm bias"), rapid.Bool().Draw(t, "head bias")
	if p := rapid.SampledFrom([]string{"", arch.AdaptersFFN, arch.AdaptersBoth}).Draw(t, "adapters"); p != "" {
		n := rapid.IntRange(1, 4).Filter(func(n int) bool { return c.Hidden%n == 0 }).Draw(t, "order")
		c.Adapters = arch.Adapters{Placement: p, Order: n, Width: n * rapid.IntRange(1, 3).Draw(t, "bottleneck"), Rank: 1}
	}
	seed := rapid.Uint64().Draw(t, "seed")
	m, err := LoadModel(c, func(name string) ([]float32, error) { return noise(&seed, elements(c, name), 0.5), nil })
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range m.Blocks[0].Linears() {
		if l.Out > 0 && rapid.Bool().Draw(t, "side") {
			l.Sides = append(l.Sides, Side{A: noise(&seed, 2*l.In, 0.3), B: noise(&seed, 2*l.Out, 0.3), Rank: 2, Scale: 1.5})
		}
	}
	return m
}

func elements(c *arch.Config, name string) int {
	for _, x := range c.OuterTensors() {
		if x.Name == name {
			return int(x.Elements())
		}
	}
	for i := range c.Layers {
		for _, x := range c.At(i).BlockTensors() {
			if c.BlockPrefix(i)+x.Name == name {
				return int(x.Elements())
			}
		}
	}
	panic(name)
}

// noise returns n values in [−amplitude, amplitude).
func noise(seed *uint64, n int, amplitude float32) []float32 {
	out := make([]float32, n)
	for i := range out {
		*seed += 0x9e3779b97f4a7c15
		z := *seed
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		out[i] = (float32((z^z>>31)>>40)/(1<<23) - 1) * amplitude
	}
	return out
}

func sameBits[T Float](a, b []T) bool {
	return slices.EqualFunc(a, b, func(x, y T) bool { return math.Float64bits(float64(x)) == math.Float64bits(float64(y)) })
}

// A window's bits must not depend on the threads, on the windows beside it, or
// on whether a tape was kept.
func TestForwardIsDeterministic(t *testing.T) {
	pools := []*linalg.Pool{nil, linalg.NewPool(2), linalg.NewPool(3)}
	defer pools[1].Close()
	defer pools[2].Close()
	rapid.Check(t, func(t *rapid.T) {
		m := randomModel(t)
		c, b := m.Config, m.Blocks[0]
		n := rapid.SampledFrom([]int{1, 2, 17, 63, 64, 65, 130, 700}).Draw(t, "tokens")
		windows := rapid.IntRange(1, 5).Draw(t, "windows")
		seed := rapid.Uint64().Draw(t, "x seed")
		x := noise(&seed, windows*n*c.Hidden, 1)
		want := slices.Clone(x)
		serial := NewRunner(c, nil)
		var tape Tape
		for w := range windows {
			part := want[w*n*c.Hidden : (w+1)*n*c.Hidden]
			taped := slices.Clone(part)
			serial.Forward(b, part, n, nil)
			serial.ForwardTape(b, taped, n, &tape)
			if !sameBits(part, taped) {
				t.Fatal("a pass with a tape gives other bits")
			}
		}
		for i, p := range pools {
			r := NewRunner(c, p)
			got := slices.Clone(x)
			r.ForwardWindows(b, got, windows, n, nil, true)
			if !sameBits(got, x) {
				t.Fatal("a pass for statistics changed x")
			}
			r.ForwardWindows(b, got, windows, n, nil, false)
			if !sameBits(got, want) {
				t.Fatalf("pool %d, %d windows together: other bits than one by one", i, windows)
			}
		}
	})
}

// Each site is tapped once a window, in order, with the rows a window by itself
// would show.
func TestTaps(t *testing.T) {
	fx := openFixture(t, "testdata/mistral", "golden.safetensors")
	m := fx.model(t)
	r := NewRunner(fx.config, nil)
	n, d := 20, fx.config.Hidden
	x := make([]float32, 2*n*d)
	r.Embed(m.Embed, fx.ids[:2*n], x)
	type key struct {
		window int
		site   string
	}
	want := map[key][]float32{}
	for w := range 2 {
		r.Forward(m.Blocks[0], slices.Clone(x[w*n*d:(w+1)*n*d]), n, func(site string, rows []float32, width int) {
			if len(rows) != n*width || width != fx.config.SiteWidth(site) {
				t.Errorf("site %s: %d rows of %d", site, len(rows)/width, width)
			}
			want[key{w, site}] = slices.Clone(rows)
		})
	}
	if len(want) != 8 {
		t.Fatalf("%d taps; expected 4 sites in 2 windows", len(want))
	}
	var order []key
	r.ForwardWindows(m.Blocks[0], x, 2, n, func(w int, site string, rows []float32, _ int) {
		order = append(order, key{w, site})
		if !sameBits(rows, want[key{w, site}]) {
			t.Errorf("window %d, site %s: other bits than alone", w, site)
		}
	}, true)
	var expected []key
	for _, s := range arch.Sites() {
		expected = append(expected, key{0, s}, key{1, s})
	}
	if !slices.Equal(order, expected) {
		t.Errorf("taps in order %v; expected %v", order, expected)
	}
}

// The position before a sliding window's reach must have no influence.
func TestSlidingWindowForgets(t *testing.T) {
	fx := openFixture(t, "testdata/mistral", "golden.safetensors")
	m := fx.model(t)
	r := NewRunner(fx.config, nil)
	n, d := len(fx.ids), fx.config.Hidden
	x := make([]float32, n*d)
	r.Embed(m.Embed, fx.ids, x)
	y := slices.Clone(x)
	y[0]++ // position 0
	r.Forward(m.Blocks[0], x, n, nil)
	r.Forward(m.Blocks[0], y, n, nil)
	w := fx.config.SlidingWindow
	for s := range n {
		if same := sameBits(x[s*d:(s+1)*d], y[s*d:(s+1)*d]); same != (s >= w) {
			t.Errorf("position %d, window %d: unchanged is %v", s, w, same)
		}
	}
}

// NLL works piece by piece; the pieces must not show.
func TestNLLEqualsLogSoftmaxOfLogits(t *testing.T) {
	pool := linalg.NewPool(2)
	defer pool.Close()
	c := &arch.Config{Hidden: 3, Intermediate: 1, Heads: 1, KVHeads: 1, HeadDim: 2, Vocab: 2*headColumns + 77, RMSEps: 1e-5, RopeTheta: 1e4}
	seed := uint64(3)
	rows := headRows + 5
	head := Linear{Out: c.Vocab, In: c.Hidden, W: noise(&seed, c.Vocab*c.Hidden, 4)}
	norm, x := noise(&seed, c.Hidden, 3), noise(&seed, rows*c.Hidden, 1)
	targets := make([]int32, rows)
	for i := range targets {
		targets[i] = int32(i*31%c.Vocab) - int32(i%2)
	}
	targets[7] = -1
	r := NewRunner(c, pool)
	got := r.NLL(norm, &head, x, rows, targets)
	logits := r.Logits(norm, &head, x, rows)
	for i, id := range targets {
		var want float64
		if id >= 0 {
			row := logits[i*c.Vocab : (i+1)*c.Vocab]
			var s float64
			for _, v := range row {
				s += math.Exp(float64(v) - float64(row[id]))
			}
			want = math.Log(s)
		}
		if math.Abs(got[i]-want) > 1e-5*max(1, want) {
			t.Fatalf("row %d: nll %v; expected %v", i, got[i], want)
		}
	}
	serial := NewRunner(c, nil).NLL(norm, &head, x, rows, targets)
	if !sameBits(serial, got) {
		t.Error("one thread gives other bits than two")
	}
}

// A pass over many windows must not feed the garbage collector: scratch, once
// it is large enough, is used again.
func TestForwardReusesScratch(t *testing.T) {
	fx := openFixture(t, "testdata/qwen3", "golden.safetensors")
	m := fx.model(t)
	r := NewRunner(fx.config, nil)
	seed := uint64(1)
	n := 300
	x := noise(&seed, n*fx.config.Hidden, 1)
	var tape Tape
	where := func() []*float32 {
		return []*float32{&r.free.lent.S[0], &r.tiles[0][0], &r.rope.cos[0], &r.grad.mid[0], &r.grad.partK[0], &tape.act.buf[0]}
	}
	dx := slices.Clone(x)
	once := func(n int) {
		x, dx := x[:n*fx.config.Hidden], dx[:n*fx.config.Hidden]
		r.Forward(m.Blocks[0], x, n, nil)
		r.ForwardTape(m.Blocks[1], x, n, &tape)
		r.Backward(m.Blocks[1], &tape, dx, nil)
	}
	once(n)
	before := where()
	once(n - 7)
	once(n)
	if !slices.Equal(where(), before) {
		t.Error("scratch was allocated anew by a pass no longer than the first")
	}
}

// TestFrozenBits fails when any result changes, on any machine, kernel path or
// compiler setting: results are part of action keys. A change on purpose needs a
// new numerics version, and then new hashes here.
func TestFrozenBits(t *testing.T) {
	for name, want := range map[string]uint64{
		"llama":        0x3928f610221df7cf,
		"llama_linear": 0x3e05c34944fcb5ff,
		"mistral":      0xdf00fea1460c26f0,
		"qwen2":        0xcadffd8631d05ca9,
		"qwen3":        0xf98d423c42b0b397,
	} {
		fx := openFixture(t, filepath.Join("testdata", name), "golden.safetensors")
		m := fx.model(t)
		_, dx, g := differentiate(NewRunner(fx.config, nil), m, fx.ids, fx.targets(), 1)
		h := fnv.New64a()
		write := func(x []float32) {
			var b [4]byte
			for _, v := range x {
				binary.LittleEndian.PutUint32(b[:], math.Float32bits(v))
				h.Write(b[:])
			}
		}
		write(pass(NewRunner(fx.config, nil), m, fx.ids))
		write(dx)
		named := g.named(fx.config)
		for _, k := range slices.Sorted(maps.Keys(named)) {
			write(named[k])
		}
		if got := h.Sum64(); got != want {
			t.Errorf("%s: hash of results is %#x, was %#x", name, got, want)
		}
	}
}

// A runner and its tapes serve blocks of any shapes, one after another: each
// gives the bits that it gives alone.
func TestBlocksOfDifferentShapes(t *testing.T) {
	c := (&arch.Config{ModelType: "llama", Hidden: 24, Layers: 3, HeadDim: 4, RMSEps: 1e-5, RopeTheta: 10000, Vocab: 10,
		AttentionOutBias: true, MLPOutBias: true, QKNorm: true}).WithShapes([]arch.BlockShape{{Heads: 2, KVHeads: 1, Intermediate: 7}, {Heads: 6, KVHeads: 3, Intermediate: 40}, {Heads: 4, KVHeads: 2, Intermediate: 1}})
	seed := uint64(5)
	m, err := LoadModel(c, func(name string) ([]float32, error) { return noise(&seed, elements(c, name), 0.5), nil })
	if err != nil {
		t.Fatal(err)
	}
	const n = 9
	shared := NewRunner(c, nil)
	var tape Tape
	for i, b := range m.Blocks {
		x := noise(&seed, n*c.Hidden, 1)
		want, taped, dx := slices.Clone(x), slices.Clone(x), slices.Clone(x)
		NewRunner(c.At(i), nil).Forward(b, want, n, nil)
		shared.ForwardTape(b, taped, n, &tape)
		shared.Forward(b, x, n, func(site string, rows []float32, width int) {
			if width != c.At(i).SiteWidth(site) {
				t.Errorf("block %d: site %s has width %d; expected %d", i, site, width, c.At(i).SiteWidth(site))
			}
		})
		if !sameBits(x, want) || !sameBits(taped, want) {
			t.Errorf("block %d gives other bits after blocks of other shapes", i)
		}
		var own Tape
		wantDx, r := slices.Clone(dx), NewRunner(c.At(i), nil)
		r.ForwardTape(b, slices.Clone(dx), n, &own)
		r.Backward(b, &own, wantDx, nil)
		shared.Backward(b, &tape, dx, nil)
		if !sameBits(dx, wantDx) {
			t.Errorf("block %d gives other gradients after blocks of other shapes", i)
		}
	}
}
