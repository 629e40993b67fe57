package nn

import (
	"fmt"
	"slices"

	"github.com/compressc/compressc/internal/arch"
)

// BlockOf is one decoder block's weights. Its slices are read, never written.
type BlockOf[T Float] struct {
	// InputNorm and PostNorm are gains [hidden]; of norms with biases gain and
	// bias, [2, hidden].
	InputNorm, PostNorm []T
	Q, K, V, O          LinearOf[T]
	Gate, Up, Down      LinearOf[T] // a plain MLP's Gate is empty
	QNorm, KNorm        []T         // gains [head dim] over each head, or nil
	Window              int         // positions attended to, own included; 0: all before
	// AfterAttention and AfterMLP are adapters, or nil.
	AfterAttention, AfterMLP *BottleneckOf[T]
}

// Block is the float32 form.
type Block = BlockOf[float32]

// heads returns the numbers of query heads and of key and value heads of width
// dim. A block's own layers say its shape: blocks of one model may differ.
func (b *BlockOf[T]) heads(dim int) (query, kv int) { return b.Q.Out / dim, b.K.Out / dim }

// Linears returns the block's layers in the order q, k, v, o, gate, up, down.
func (b *BlockOf[T]) Linears() [7]*LinearOf[T] {
	return [7]*LinearOf[T]{&b.Q, &b.K, &b.V, &b.O, &b.Gate, &b.Up, &b.Down}
}

// LinearIndex returns where Linears has the layer of that path inside a block;
// models without a gate leave a place empty. It panics for another name.
func LinearIndex(name string) int {
	i := slices.Index(linearNames[:], name)
	if i < 0 {
		panic("nn: no linear layer " + name)
	}
	return i
}

var linearNames = [7]string{"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"}

// LoadBlock assembles block i of a model. get returns a tensor by its name
// inside the block ("self_attn.q_proj.weight"), row-major; the block keeps the
// slice. Which tensors are asked for follows from c; an error names the tensor.
// For the weights of a linear layer get may return nil: the caller then sets the
// layer's Rows.
func LoadBlock(c *arch.Config, i int, get func(name string) ([]float32, error)) (*Block, error) {
	b := &Block{Window: c.LayerWindow(i)}
	c = c.At(i)
	sized := func(name string, n int, orNil bool) ([]float32, error) {
		t, err := get(name)
		if err != nil {
			return nil, fmt.Errorf("block %d: %s: %w", i, name, err)
		}
		if len(t) != n && !(orNil && t == nil) {
			return nil, fmt.Errorf("block %d: %s has %d elements; expected %d", i, name, len(t), n)
		}
		return t, nil
	}
	tensor := func(name string, n int) ([]float32, error) { return sized(name, n, false) }
	var err error
	linears := b.Linears()
	for _, s := range c.Linears() {
		l := linears[LinearIndex(s.Name)]
		l.Out, l.In = s.Out, s.In
		if l.W, err = sized(s.Weight(), s.Out*s.In, true); err != nil {
			return nil, err
		}
		if s.Bias {
			if l.Bias, err = tensor(s.BiasName(), s.Out); err != nil {
				return nil, err
			}
		}
	}
	if b.InputNorm, err = loadNorm(c, arch.InputNormName, arch.InputNormBiasName, tensor); err != nil {
		return nil, err
	}
	if b.PostNorm, err = loadNorm(c, arch.PostNormName, arch.PostNormBiasName, tensor); err != nil {
		return nil, err
	}
	if c.QKNorm {
		if b.QNorm, err = tensor(arch.QNormName, c.HeadDim); err != nil {
			return nil, err
		}
		if b.KNorm, err = tensor(arch.KNormName, c.HeadDim); err != nil {
			return nil, err
		}
	}
	for _, module := range c.Adapters.Modules() {
		if *b.Adapter(module), err = loadBottleneck(c, module, tensor); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// LoadFinalNorm returns what ModelOf.Norm is; get is as in LoadModel.
func LoadFinalNorm(c *arch.Config, get func(name string) ([]float32, error)) ([]float32, error) {
	return loadNorm(c, c.FinalNormName(), c.FinalNormBiasName(), checked(get))
}

// checked makes get check how many elements a tensor has.
func checked(get func(name string) ([]float32, error)) func(name string, n int) ([]float32, error) {
	return func(name string, n int) ([]float32, error) {
		t, err := get(name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if len(t) != n {
			return nil, fmt.Errorf("%s has %d elements; expected %d", name, len(t), n)
		}
		return t, nil
	}
}

// loadNorm returns a norm's tensors in one slice.
func loadNorm(c *arch.Config, gain, bias string, tensor func(string, int) ([]float32, error)) ([]float32, error) {
	g, err := tensor(gain, c.Hidden)
	if err != nil || !c.NormBias {
		return g, err
	}
	b, err := tensor(bias, c.Hidden)
	if err != nil {
		return nil, err
	}
	return append(append(make([]float32, 0, 2*c.Hidden), g...), b...), nil
}

// ModelOf is a whole decoder's weights.
type ModelOf[T Float] struct {
	Config *arch.Config
	Embed  []T // [vocab, hidden]
	// Positions is [arch.Config.PositionRows, hidden] where they are learned.
	Positions []T
	Blocks    []*BlockOf[T]
	Norm      []T // before the head: gain [hidden]; of a norm with a bias gain and bias, [2, hidden]
	// Head is [vocab, hidden]. Where it is tied, Head.W is Embed's slice.
	Head LinearOf[T]
}

// Model is the float32 form.
type Model = ModelOf[float32]

// LoadHead returns the head, which keeps the slices; get is as in LoadModel, and
// embed the embedding table, read where the two are tied.
func LoadHead(c *arch.Config, get func(name string) ([]float32, error), embed []float32) (Linear, error) {
	tensor, h := checked(get), Linear{Out: c.Vocab, In: c.Hidden, W: embed}
	var err error
	if !c.Tied {
		if h.W, err = tensor(c.HeadName(), c.Vocab*c.Hidden); err != nil {
			return h, err
		}
	}
	if c.HeadBias {
		h.Bias, err = tensor(arch.HeadBiasName, c.Vocab)
	}
	return h, err
}

// LoadModel assembles a model. get returns a tensor by its full checkpoint
// name; the model keeps the slice.
func LoadModel(c *arch.Config, get func(name string) ([]float32, error)) (*Model, error) {
	m := &Model{Config: c}
	tensor := checked(get)
	var err error
	if m.Embed, err = tensor(c.EmbedName(), c.Vocab*c.Hidden); err != nil {
		return nil, err
	}
	if m.Norm, err = LoadFinalNorm(c, get); err != nil {
		return nil, err
	}
	if c.Learned {
		if m.Positions, err = tensor(c.PositionName(), c.PositionRows()*c.Hidden); err != nil {
			return nil, err
		}
	}
	if m.Head, err = LoadHead(c, get, m.Embed); err != nil {
		return nil, err
	}
	for i := range c.Layers {
		prefix := c.BlockPrefix(i)
		b, err := LoadBlock(c, i, func(name string) ([]float32, error) { return get(prefix + name) })
		if err != nil {
			return nil, err
		}
		m.Blocks = append(m.Blocks, b)
	}
	return m, nil
}
