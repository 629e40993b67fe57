// Package model says what is known of a model before any weight is read: its
// architecture, its shapes and, tensor by tensor, what has been done to it. A
// pass states what it needs of such a type and what it yields, so most mistakes
// are found before anything runs.
package model

import (
	"fmt"
	"slices"
	"sort"

	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/mask"
)

// Form is how weights that are neither floating point numbers nor codes of a
// grid are represented; the zero Form is these two.
type Form string

// The forms that weights have beside floating point numbers and grids.
const (
	// Stack: a sum of blocks of signs times low-rank magnitudes.
	Stack Form = "stack"
	// Vectors: indices into a codebook of vectors.
	Vectors Form = "vectors"
)

// Format is a number format of a linear layer's weights.
type Format struct {
	// Form is "" for floating point weights and for codes of a grid, which the
	// other fields describe.
	Form Form
	// Allocated says that layers have different bits, which are decided while
	// running; Bits is then the most that any has.
	Allocated bool
	// Bits is 0 for weights that are no codes of a grid, else the bits of one.
	Bits         int
	GroupSize    int // inputs a scale is shared by; -1 is the whole row
	Symmetric    bool
	PartialGroup bool // the last group of a row is shorter
	ScaleBits    int  // 16 or 32
}

// Quantized reports whether the weights are something else than floating point
// numbers, so that whatever changes them must decode them first.
func (f Format) Quantized() bool { return f.OnGrid() || f.Form != "" }

// OnGrid reports whether the weights are integer codes with scales, which is
// what other programs' formats of quantised weights hold.
func (f Format) OnGrid() bool { return f.Bits > 0 }

// String names what the weights are, for messages: "4-bit codes".
func (f Format) String() string {
	switch {
	case f.OnGrid():
		return fmt.Sprintf("%d-bit codes", f.Bits)
	case f.Form == Stack:
		return "stacked sign blocks"
	case f.Form == Vectors:
		return "indices into codebooks"
	}
	return "floating point numbers"
}

// Linear is one compressible linear layer, by its canonical path.
type Linear struct {
	Path    string // model.layers.3.mlp.down_proj
	Name    string // mlp.down_proj
	Role    string // mlp.down
	Site    string // where its input is seen: attn_in, attn_out, mlp_in, mlp_mid
	Block   int
	Out, In int
	HasBias bool
	Format  Format
	Mask    mask.Pattern // the zero Pattern is dense
	// MaskAbout says that Mask holds of all layers together: how much of each is
	// pruned is decided while running.
	MaskAbout bool
	Sides     []int // ranks of the side paths beside the weights
	SideBits  int
	// StoredBits is what a weight costs where it is stored now, scales and
	// zero points counted.
	StoredBits float64
	// MaskedBy, QuantizedBy and SidedBy are the addresses of the blocks that the
	// mask, the format and the newest side path are from.
	MaskedBy, QuantizedBy, SidedBy string
	// ScaledBy are the addresses of the blocks that scaled or recentred rows or
	// columns of the weights without changing what the model computes, oldest
	// first. Weights of the same layer of which that differs cannot be compared.
	ScaledBy []string
}

// Masked reports whether some weights are fixed zeros.
func (l *Linear) Masked() bool { return !l.Mask.IsZero() }

// Type is a model's type. It is immutable: passes change a Clone.
type Type struct {
	Config *arch.Config
	// Tokenizer is the digest of the tokenizer, "" when it is not known.
	Tokenizer string
	// Source says where the model came from, for messages.
	Source string
	// Linears in checkpoint order, block by block.
	Linears []*Linear
	// OtherBytes is what embedding, head, norms and biases take in the source.
	OtherBytes int64

	// AdaptedBy is the address of the block that the adapters of Config are from, ""
	// where there are none.
	AdaptedBy string

	// Undecided is the address of the node whose run decides the shapes; until
	// then those of the type are like what will come, and not it. "" for shapes
	// that are known.
	Undecided string

	// counted is the configuration whose parameters are known.
	counted    *arch.Config
	parameters int64
}

// New returns the type of a dense model whose linears store bits a weight.
func New(c *arch.Config, source string, bits func(path string) float64) *Type {
	t := &Type{Config: c, Source: source, counted: c, parameters: c.Parameters()}
	for b := 0; b < c.Layers; b++ {
		for _, s := range c.At(b).Linears() {
			l := &Linear{Path: c.BlockPrefix(b) + s.Name, Name: s.Name, Role: s.Role, Site: s.Site, Block: b,
				Out: s.Out, In: s.In, HasBias: s.Bias}
			l.StoredBits = bits(l.Path)
			t.Linears = append(t.Linears, l)
		}
	}
	return t
}

// Clone returns a copy whose linears can be changed.
func (t *Type) Clone() *Type {
	c := *t
	c.Linears = make([]*Linear, len(t.Linears))
	slab := make([]Linear, len(t.Linears))
	for i, l := range t.Linears {
		slab[i] = *l
		slab[i].Sides = append([]int(nil), l.Sides...)
		c.Linears[i] = &slab[i]
	}
	return &c
}

// Paths returns the canonical paths of the linears.
func (t *Type) Paths() []string {
	p := make([]string, len(t.Linears))
	for i, l := range t.Linears {
		p[i] = l.Path
	}
	return p
}

// Block returns the linears of block b.
func (t *Type) Block(b int) []*Linear {
	per := len(t.Linears) / t.Config.Layers
	return t.Linears[b*per : (b+1)*per]
}

// SameShape reports whether u has the same linears as t.
func (t *Type) SameShape(u *Type) bool {
	if len(t.Linears) != len(u.Linears) {
		return false
	}
	for i, l := range t.Linears {
		if m := u.Linears[i]; l.Path != m.Path || l.Out != m.Out || l.In != m.In {
			return false
		}
	}
	return t.Config.Vocab == u.Config.Vocab && t.Config.Hidden == u.Config.Hidden
}

// ScaledApart returns a layer, as t and as u have it, whose weights the two
// scaled differently, or nil, nil. The types have the same shape.
func (t *Type) ScaledApart(u *Type) (l, m *Linear) {
	for i, l := range t.Linears {
		if m := u.Linears[i]; !slices.Equal(l.ScaledBy, m.ScaledBy) {
			return l, m
		}
	}
	return nil, nil
}

// ScaledOnFrom returns a layer, as t and as u have it, that no further scaling of u
// makes like t's, or nil, nil. The types have the same shape.
func (t *Type) ScaledOnFrom(u *Type) (l, m *Linear) {
	for i, l := range t.Linears {
		m := u.Linears[i]
		if n := len(m.ScaledBy); n > len(l.ScaledBy) || !slices.Equal(l.ScaledBy[:n], m.ScaledBy) || n < len(l.ScaledBy) && m.Format.Quantized() {
			return l, m
		}
	}
	return nil, nil
}

// Parameters counts weights and side paths.
func (t *Type) Parameters() int64 {
	n := t.parameters
	if t.counted != t.Config {
		n = t.Config.Parameters()
	}
	for _, l := range t.Linears {
		for _, r := range l.Sides {
			n += int64(r) * int64(l.Out+l.In)
		}
	}
	return n
}

// Size estimates the bytes of the model as it is stored, side paths included.
func (t *Type) Size() int64 {
	bits := 0.0
	for _, l := range t.Linears {
		bits += float64(l.StoredBits * float64(l.Out) * float64(l.In))
		for _, r := range l.Sides {
			bits += float64(float64(l.SideBits) * float64(r) * float64(l.Out+l.In))
		}
	}
	return int64(bits/8) + t.OtherBytes
}

// BitsPerWeight is the mean over the linears, side paths counted.
func (t *Type) BitsPerWeight() float64 {
	bits, n := 0.0, 0.0
	for _, l := range t.Linears {
		w := float64(float64(l.Out) * float64(l.In))
		n += w
		bits += float64(l.StoredBits * w)
		for _, r := range l.Sides {
			bits += float64(float64(l.SideBits) * float64(r) * float64(l.Out+l.In))
		}
	}
	if n == 0 {
		return 0
	}
	return bits / n
}

// Sparsity is the share of fixed zeros among the linears' weights.
func (t *Type) Sparsity() float64 {
	z, n := 0.0, 0.0
	for _, l := range t.Linears {
		w := float64(float64(l.Out) * float64(l.In))
		n += w
		z += float64(w * l.Mask.Sparsity())
	}
	if n == 0 {
		return 0
	}
	return z / n
}

// Divisors returns the usable group sizes of n inputs, largest last.
func Divisors(n int) []int {
	var d []int
	for _, g := range []int{8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 576, 768, 1024} {
		if g < n && n%g == 0 {
			d = append(d, g)
		}
	}
	sort.Ints(d)
	return d
}
