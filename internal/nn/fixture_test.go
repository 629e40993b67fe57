package nn

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/format/safetensors"
	"github.com/compressc/compressc/internal/tensor"
)

// fixtures are small decoders with what torch computes for one window of
// tokens; testdata/make_fixtures.py makes them.
var fixtures = []string{"llama", "llama_linear", "mistral", "qwen2", "qwen3"}

// fixture is an opened model folder.
type fixture struct {
	config *arch.Config
	f32    map[string][]float32
	ids    []int32
}

// openFixture reads config.json and the given safetensors files of a folder.
func openFixture(t testing.TB, dir string, files ...string) *fixture {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	fx := &fixture{f32: map[string][]float32{}}
	if fx.config, err = arch.ParseConfig(raw); err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		f, err := safetensors.Open(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range f.Tensors() {
			switch x.Meta.DType {
			case tensor.F32:
				fx.f32[x.Name] = floats(x.Bytes())
			case tensor.I32:
				fx.ids = ints(x.Bytes())
			}
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return fx
}

func floats(b []byte) []float32 {
	out := make([]float32, len(b)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return out
}

func ints(b []byte) []int32 {
	out := make([]int32, len(b)/4)
	for i := range out {
		out[i] = int32(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return out
}

// model assembles the fixture's model.
func (fx *fixture) model(t testing.TB) *Model {
	t.Helper()
	m, err := LoadModel(fx.config, func(name string) ([]float32, error) {
		at := fx.config.Source(name)
		v, ok := fx.f32[at.Name]
		if !ok {
			return nil, os.ErrNotExist
		}
		if at.Parts == 1 && !at.Transposed {
			return v, nil
		}
		rows, cols := shapeOf(fx.config, name)
		return at.Take(v, rows, cols)
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// targets are the next tokens, −1 after the last.
func (fx *fixture) targets() []int32 { return append(append([]int32{}, fx.ids[1:]...), -1) }

// referenceDir is the folder of the reference model and its golden values. The
// test is skipped where it is not there.
func referenceDir(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("COMPRESSC_REFERENCE")
	if dir == "" {
		dir = "../../../shared/reference"
	}
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("reference material is not at %s (set COMPRESSC_REFERENCE)", dir)
	}
	return dir
}

// widen returns a float64 copy of a model.
func widen(m *Model) *ModelOf[float64] {
	w := &ModelOf[float64]{
		Config: m.Config, Embed: wide(m.Embed), Positions: wide(m.Positions), Norm: wide(m.Norm),
		Head: wideLinear(&m.Head),
	}
	for _, b := range m.Blocks {
		w.Blocks = append(w.Blocks, &BlockOf[float64]{
			InputNorm: wide(b.InputNorm), PostNorm: wide(b.PostNorm),
			Q: wideLinear(&b.Q), K: wideLinear(&b.K), V: wideLinear(&b.V), O: wideLinear(&b.O),
			Gate: wideLinear(&b.Gate), Up: wideLinear(&b.Up), Down: wideLinear(&b.Down),
			QNorm: wide(b.QNorm), KNorm: wide(b.KNorm), Window: b.Window,
			AfterAttention: wideBottleneck(b.AfterAttention), AfterMLP: wideBottleneck(b.AfterMLP),
		})
	}
	return w
}

func wideBottleneck(b *Bottleneck) *BottleneckOf[float64] {
	if b == nil {
		return nil
	}
	return &BottleneckOf[float64]{Down: wideLinear(&b.Down), Up: wideLinear(&b.Up)}
}

func wideLinear(l *Linear) LinearOf[float64] {
	w := LinearOf[float64]{Out: l.Out, In: l.In, W: wide(l.W), Bias: wide(l.Bias)}
	for _, s := range l.Sides {
		w.Sides = append(w.Sides, SideOf[float64]{A: wide(s.A), B: wide(s.B), Rank: s.Rank, Scale: float64(s.Scale)})
	}
	return w
}

func wide(x []float32) []float64 {
	if x == nil {
		return nil
	}
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v)
	}
	return out
}

// pass runs a window through all blocks and returns what leaves the last.
func pass[T Float](r *RunnerOf[T], m *ModelOf[T], ids []int32) []T {
	x := make([]T, len(ids)*m.Config.Hidden)
	r.Embed(m.Embed, ids, x)
	if m.Positions != nil {
		r.AddPositions(m.Positions, x, len(ids))
	}
	for _, b := range m.Blocks {
		r.Forward(b, x, len(ids), nil)
	}
	return x
}

// worst returns the largest |got − want|, over the largest |want|.
func worst[T, U Float](got []T, want []U) float64 {
	var diff, size float64
	for i, w := range want {
		diff = max(diff, math.Abs(float64(got[i])-float64(w)))
		size = max(size, math.Abs(float64(w)))
	}
	if size == 0 {
		return diff
	}
	return diff / size
}

// shapeOf returns the shape of a block's tensor; a vector has one column.
func shapeOf(c *arch.Config, name string) (rows, cols int) {
	for i := range c.Layers {
		for _, x := range c.At(i).BlockTensors() {
			if c.BlockPrefix(i)+x.Name == name {
				return x.Shape[0], int(x.Elements()) / x.Shape[0]
			}
		}
	}
	panic(name)
}
