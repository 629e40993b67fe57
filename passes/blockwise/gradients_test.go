package blockwise

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/linalg/rng"
	"github.com/compressc/compressc/internal/nn"
)

// TestGradientNorms: gradients of .03 and .04, taken a hundredfold, are 5 and 7.
func TestGradientNorms(t *testing.T) {
	s := newGradientNorms(nil, 1, true, true)
	s.add([]float32{3e-2})
	s.add([]float32{float32(math.Inf(-1))})
	s.add([]float32{-4e-2})
	want := map[string]float64{"l1": 7, "l2": 5}
	for _, n := range s.norms() {
		if got := 100 * float64(n.values[0]); math.Abs(got-want[n.name]) > 1e-6 {
			t.Errorf("%s is %v, expected %v", n.name, got, want[n.name])
		}
	}
	if s.skipped != 1 {
		t.Errorf("%d windows skipped, expected 1", s.skipped)
	}
}

func TestGradientNormsOfTinyGradients(t *testing.T) {
	s := newGradientNorms(nil, 1, false, true)
	s.add([]float32{3e-30})
	s.add([]float32{4e-30})
	if got := s.norms()[0].values[0]; math.Abs(float64(got)/5e-30-1) > 1e-6 {
		t.Errorf("l2 is %v, expected 5e-30", got)
	}
}

// tinyModel has two blocks and a tied head, all of random numbers.
type tinyModel struct {
	cfg    *arch.Config
	embed  []float32
	norm   []float32
	blocks []*artifact.Value
	ids    []int32
	tokens int
}

func newTinyModel(t *testing.T) *tinyModel {
	t.Helper()
	cfg := &arch.Config{ModelType: "llama", Layers: 2, Hidden: 8, Intermediate: 12, Heads: 2, KVHeads: 1, HeadDim: 4,
		RMSEps: 1e-5, RopeTheta: 10000, Vocab: 11, Tied: true}
	draw := func(name string, n int, scale, about float64) []float32 {
		s := rng.New(3, name)
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(about + scale*s.NormAt(uint64(i)))
		}
		return x
	}
	m := &tinyModel{cfg: cfg, embed: draw("embed", cfg.Vocab*cfg.Hidden, 1, 0), norm: draw("norm", cfg.Hidden, .1, 1), tokens: 5,
		ids: []int32{1, 4, 0, 10, 7, 3, 3, 9, 2, 5}}
	for b := range cfg.Layers {
		out := artifact.NewBuilder()
		for _, s := range cfg.BlockTensors() {
			scale, about := .3, 0.0
			if len(s.Shape) == 1 {
				scale, about = .1, 1
			}
			out.PutFloat32(s.Name, s.Shape, draw(cfg.BlockPrefix(b)+s.Name, int(s.Elements()), scale, about))
		}
		m.blocks = append(m.blocks, built(out))
	}
	return m
}

// run runs a kernel of the graph.
func run(t *testing.T, kernel *action.Kernel, params any, in map[string]*artifact.Value, outputs ...string) (map[string]*artifact.Value, error) {
	t.Helper()
	raw, err := json.Marshal(params)
	if err != nil {
		t.Fatal(err)
	}
	c := &action.Context{Params: raw, In: in, Out: map[string]*artifact.Builder{}}
	for _, o := range outputs {
		c.Out[o] = artifact.NewBuilder()
	}
	err = kernel.Run(c)
	vs := map[string]*artifact.Value{}
	if err == nil {
		for o, b := range c.Out {
			vs[o] = built(b)
		}
	}
	return vs, err
}

// gradients runs the actions of Gradients on the first windows of m's tokens.
// change sees the last block's output.
func (m *tinyModel) gradients(t *testing.T, windows int, change func([]float32)) ([]map[string]*artifact.Value, error) {
	t.Helper()
	must := func(v map[string]*artifact.Value, err error) map[string]*artifact.Value {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	outer := artifact.NewBuilder()
	outer.PutFloat32(m.cfg.EmbedName(), []int{m.cfg.Vocab, m.cfg.Hidden}, m.embed)
	outer.PutFloat32(m.cfg.FinalNormName(), []int{m.cfg.Hidden}, m.norm)
	tokens := artifact.NewBuilder()
	tokens.PutInt32("tokens", []int{windows, m.tokens}, m.ids[:windows*m.tokens])
	ends, ids := built(outer), built(tokens)
	g := ModelGeometry(m.cfg)
	enter := []*artifact.Value{must(run(t, embedKernel, g, map[string]*artifact.Value{"embed": ends, "tokens": ids}, "hidden"))["hidden"]}
	for b, v := range m.blocks {
		enter = append(enter, must(run(t, walkKernel, BlockGeometry(m.cfg, b), map[string]*artifact.Value{"block": v, "hidden": enter[b]}, "hidden"))["hidden"])
	}
	last := enter[len(m.blocks)]
	if change != nil {
		x, err := last.Float32("hidden")
		if err != nil {
			t.Fatal(err)
		}
		x = slices.Clone(x)
		change(x)
		b := artifact.NewBuilder()
		b.PutFloat32("hidden", []int{windows, m.tokens, m.cfg.Hidden}, x)
		last = built(b)
	}
	grad := must(run(t, headGradientKernel, g, map[string]*artifact.Value{"hidden": last, "tokens": ids, "final": ends, "embed": ends}, "gradient"))["gradient"]
	out := make([]map[string]*artifact.Value, len(m.blocks))
	for b := len(m.blocks) - 1; b >= 0; b-- {
		v, err := run(t, blockGradientKernel, BlockGeometry(m.cfg, b), map[string]*artifact.Value{"block": m.blocks[b], "hidden": enter[b], "gradient": grad}, "gradient", "l1", "l2")
		if err != nil {
			return nil, err
		}
		out[b], grad = v, v["gradient"]
	}
	return out, nil
}

// loss is a window's mean loss in float64, with one weight moved.
func (m *tinyModel) loss(t *testing.T, window, block, linear, weight int, by float64) float64 {
	t.Helper()
	wide := func(x []float32) []float64 {
		y := make([]float64, len(x))
		for i, v := range x {
			y[i] = float64(v)
		}
		return y
	}
	ids := m.ids[window*m.tokens : (window+1)*m.tokens]
	r := nn.NewRunnerOf[float64](m.cfg, nil)
	x := make([]float64, len(ids)*m.cfg.Hidden)
	r.Embed(wide(m.embed), ids, x)
	for b, v := range m.blocks {
		narrow, err := Load(m.cfg, v)
		if err != nil {
			t.Fatal(err)
		}
		blk := &nn.BlockOf[float64]{InputNorm: wide(narrow.InputNorm), PostNorm: wide(narrow.PostNorm)}
		for i, l := range narrow.Linears() {
			*blk.Linears()[i] = nn.LinearOf[float64]{Out: l.Out, In: l.In, W: wide(l.W)}
		}
		if b == block {
			blk.Linears()[linear].W[weight] += by
		}
		r.Forward(blk, x, len(ids), nil)
	}
	head := &nn.LinearOf[float64]{Out: m.cfg.Vocab, In: m.cfg.Hidden, W: wide(m.embed)}
	sum := 0.0
	for _, l := range r.NLL(wide(m.norm), head, x, len(ids), append(slices.Clone(ids[1:]), -1)) {
		sum += l
	}
	return sum / float64(len(ids)-1)
}

// TestGradientsAreSlopes compares the norms with central differences of the loss of
// each window alone.
func TestGradientsAreSlopes(t *testing.T) {
	m := newTinyModel(t)
	got, err := m.gradients(t, 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	const step = 1e-5
	for b := range m.blocks {
		for _, l := range m.cfg.Linears() {
			l1, err := got[b]["l1"].Float32(l.Name)
			if err != nil {
				t.Fatal(err)
			}
			l2, err := got[b]["l2"].Float32(l.Name)
			if err != nil {
				t.Fatal(err)
			}
			for w := 0; w < len(l1); w += 7 {
				sum, sq := 0.0, 0.0
				for s := range 2 {
					at := func(by float64) float64 { return m.loss(t, s, b, nn.LinearIndex(l.Name), w, by) }
					slope := (at(step) - at(-step)) / (2 * step)
					sum += math.Abs(slope)
					sq += slope * slope
				}
				// Gradients are float32, of a loss near 1.
				if math.Abs(sum-float64(l1[w])) > 2e-6+1e-4*sum || math.Abs(math.Sqrt(sq)-float64(l2[w])) > 2e-6+1e-4*math.Sqrt(sq) {
					t.Errorf("block %d, %s[%d]: l1 %v, l2 %v; expected %v, %v", b, l.Name, w, l1[w], l2[w], sum, math.Sqrt(sq))
				}
			}
		}
	}
}

// TestGradientsSkipWindowsThatDiverge: a window that is not finite counts for
// nothing, and a model of which there is no other is refused.
func TestGradientsSkipWindowsThatDiverge(t *testing.T) {
	m := newTinyModel(t)
	alone, err := m.gradients(t, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	spoiled := func(x []float32) { x[len(x)-1-m.cfg.Hidden] = float32(math.Inf(1)) }
	both, err := m.gradients(t, 2, spoiled)
	if err != nil {
		t.Fatal(err)
	}
	for b := range m.blocks {
		for _, l := range m.cfg.Linears() {
			x, err := alone[b]["l2"].Float32(l.Name)
			if err != nil {
				t.Fatal(err)
			}
			y, err := both[b]["l2"].Float32(l.Name)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(x, y) {
				t.Errorf("block %d, %s: the other window's gradients changed", b, l.Name)
			}
			w := &Work{Name: l.Name, gradient: both[b]["l2"], numbers: map[string]float64{}}
			if _, n, err := w.Gradient(); err != nil || n != 2 || w.numbers["skipped_windows"] != 1 {
				t.Errorf("block %d, %s: %d windows, %v, %v", b, l.Name, n, w.numbers, err)
			}
		}
	}
	if _, err := m.gradients(t, 1, spoiled); err == nil || !strings.Contains(err.Error(), "diverged") {
		t.Errorf("a model without finite gradients: %v", err)
	}
}
