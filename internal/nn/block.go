package nn

import (
	"fmt"

	"github.com/compressc/compressc/internal/arch"
)

// BlockOf is one decoder block's weights. Its slices are read, never written.
type BlockOf[T Float] struct {
	InputNorm, PostNorm []T // gains [hidden]
	Q, K, V, O          LinearOf[T]
	Gate, Up, Down      LinearOf[T]
	QNorm, KNorm        []T // gains [head dim] over each head, or nil
	Window              int // positions attended to, own included; 0: all before
}

// Block is the float32 form.
type Block = BlockOf[float32]

// heads returns the numbers of query heads and of key and value heads of width
// dim. A block's own layers say its shape: blocks of one model may differ.
func (b *BlockOf[T]) heads(dim int) (query, kv int) { return b.Q.Out / dim, b.K.Out / dim }

// Linears returns the block's layers in the order of arch.Config.Linears.
func (b *BlockOf[T]) Linears() [7]*LinearOf[T] {
	return [7]*LinearOf[T]{&b.Q, &b.K, &b.V, &b.O, &b.Gate, &b.Up, &b.Down}
}

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
	for j, s := range c.Linears() {
		l := linears[j]
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
	if b.InputNorm, err = tensor(arch.InputNormName, c.Hidden); err != nil {
		return nil, err
	}
	if b.PostNorm, err = tensor(arch.PostNormName, c.Hidden); err != nil {
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
	return b, nil
}

// ModelOf is a whole decoder's weights.
type ModelOf[T Float] struct {
	Config *arch.Config
	Embed  []T // [vocab, hidden]
	Blocks []*BlockOf[T]
	Norm   []T // gain before the head, [hidden]
	// Head is [vocab, hidden]. Where it is tied, Head.W is Embed's slice.
	Head LinearOf[T]
}

// Model is the float32 form.
type Model = ModelOf[float32]

// LoadModel assembles a model. get returns a tensor by its full checkpoint
// name; the model keeps the slice.
func LoadModel(c *arch.Config, get func(name string) ([]float32, error)) (*Model, error) {
	m := &Model{Config: c, Head: Linear{Out: c.Vocab, In: c.Hidden}}
	tensor := func(name string, n int) ([]float32, error) {
		t, err := get(name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if len(t) != n {
			return nil, fmt.Errorf("%s has %d elements; expected %d", name, len(t), n)
		}
		return t, nil
	}
	var err error
	if m.Embed, err = tensor(c.EmbedName(), c.Vocab*c.Hidden); err != nil {
		return nil, err
	}
	if m.Norm, err = tensor(c.FinalNormName(), c.Hidden); err != nil {
		return nil, err
	}
	m.Head.W = m.Embed
	if !c.Tied {
		if m.Head.W, err = tensor(c.HeadName(), c.Vocab*c.Hidden); err != nil {
			return nil, err
		}
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
