package train

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/format/safetensors"
	"github.com/compressc/compressc/internal/mask"
	"github.com/compressc/compressc/internal/nn"
)

// tiny is one of package nn's small random decoders, with a window of tokens.
func tiny(t testing.TB, name string) (*nn.Model, []int32) {
	t.Helper()
	dir := filepath.Join("..", "nn", "testdata", name)
	raw, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := arch.ParseConfig(raw)
	if err != nil {
		t.Fatal(err)
	}
	f, err := safetensors.Open(filepath.Join(dir, "golden.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, err := nn.LoadModel(c, func(name string) ([]float32, error) {
		x, ok := f.Tensor(name)
		if !ok {
			return nil, os.ErrNotExist
		}
		out := make([]float32, x.Meta.Elements())
		for i := range out {
			out[i] = math.Float32frombits(binary.LittleEndian.Uint32(x.Bytes()[4*i:]))
		}
		return out, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	x, _ := f.Tensor("input_ids")
	var ids []int32
	for b := x.Bytes(); len(b) > 0; b = b[4:] {
		ids = append(ids, int32(binary.LittleEndian.Uint32(b)))
	}
	return m, ids
}

// halved is m with the smaller half of every row's weights dropped, in new
// memory, and the masks.
func halved(t testing.TB, m *nn.Model) (*nn.Model, func(block, linear int) *mask.Mask) {
	t.Helper()
	p := *m
	p.Blocks = nil
	var masks [][7]*mask.Mask
	for _, b := range m.Blocks {
		nb, row := *b, [7]*mask.Mask{}
		for j, l := range nb.Linears() {
			k, err := mask.Rows(mask.Magnitude(l.W), l.Out, l.In, 0.5)
			if err != nil {
				t.Fatal(err)
			}
			l.W = slices.Clone(l.W)
			k.Apply(l.W)
			row[j] = k
		}
		p.Blocks = append(p.Blocks, &nb)
		masks = append(masks, row)
	}
	return &p, func(block, linear int) *mask.Mask { return masks[block][linear] }
}

// number returns the place of a layer in checkpoint order.
func number(c *arch.Config, l arch.LinearSpec) int {
	return slices.IndexFunc(c.Linears(), func(o arch.LinearSpec) bool { return o.Name == l.Name })
}

// kindPlan trains everything there is, every linear layer as kind.
func kindPlan(c *arch.Config, kind Kind, rank int, masks func(block, linear int) *mask.Mask) Plan {
	if kind == bottlenecks {
		return Plan{Biases: true, Norms: true, Seed: 5, Adapters: arch.Adapters{Placement: arch.AdaptersBoth, Order: 2, Width: 4, Rank: 1}}
	}
	return Plan{Biases: true, Norms: true, Seed: 5, Linear: func(i int, l arch.LinearSpec) LinearPlan {
		p := LinearPlan{Kind: kind, Rank: rank, Scale: 2, Mask: masks(i, number(c, l))}
		switch kind {
		case Full:
			p.Rank, p.Scale = 0, 0
		case ScaleLoRA, BoneAdditive:
			p.Scale = 0
		case BoneAffine: // must divide both sides
			p.Rank, p.Scale = 2, 0
		case Compacter:
			p.Rank, p.Scale, p.Order = 1, 0, 2
		}
		return p
	}}
}

// bottlenecks stands for adapters behind the sublayers, the linear layers frozen.
const bottlenecks Kind = "bottlenecks"

// startsNear reports whether the kind's shared matrices start near 0, not at it, so
// that before the first step the model is not the given one to the bit.
func (k Kind) startsNear() bool { return k == Compacter || k == bottlenecks }

var kinds = []Kind{Full, LoRA, LoRAPrune, MaskLoRA, ScaleLoRA, AdaLoRA, BoneAdditive, BoneAffine, Compacter, bottlenecks}

func widen(m *nn.Model) *nn.ModelOf[float64] {
	w := &nn.ModelOf[float64]{Config: m.Config, Embed: wide(m.Embed), Norm: wide(m.Norm), Head: wideLinear(&m.Head)}
	for _, b := range m.Blocks {
		w.Blocks = append(w.Blocks, &nn.BlockOf[float64]{
			InputNorm: wide(b.InputNorm), PostNorm: wide(b.PostNorm),
			Q: wideLinear(&b.Q), K: wideLinear(&b.K), V: wideLinear(&b.V), O: wideLinear(&b.O),
			Gate: wideLinear(&b.Gate), Up: wideLinear(&b.Up), Down: wideLinear(&b.Down),
			QNorm: wide(b.QNorm), KNorm: wide(b.KNorm), Window: b.Window,
			AfterAttention: wideBottleneck(b.AfterAttention), AfterMLP: wideBottleneck(b.AfterMLP),
		})
	}
	return w
}

func wideBottleneck(b *nn.Bottleneck) *nn.BottleneckOf[float64] {
	if b == nil {
		return nil
	}
	return &nn.BottleneckOf[float64]{Down: wideLinear(&b.Down), Up: wideLinear(&b.Up)}
}

func wideLinear(l *nn.Linear) nn.LinearOf[float64] {
	w := nn.LinearOf[float64]{Out: l.Out, In: l.In, W: wide(l.W), Bias: wide(l.Bias)}
	for _, s := range l.Sides {
		w.Sides = append(w.Sides, nn.SideOf[float64]{A: wide(s.A), B: wide(s.B), Rank: s.Rank, Scale: float64(s.Scale)})
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

// noise returns n values in [−1, 1).
func noise(seed *uint64, n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		*seed += 0x9e3779b97f4a7c15
		z := *seed
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		out[i] = float64((z^z>>31)>>11)/(1<<52) - 1
	}
	return out
}

func sameBits(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) })
}
