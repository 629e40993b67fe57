// Package prune sets weights to zero and remembers which.
package prune

import (
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/model"
	"github.com/compressc/compressc/internal/schema"
	"github.com/compressc/compressc/passes"
	"github.com/compressc/compressc/passes/blockwise"
	"github.com/compressc/compressc/passes/pattern"
)

// All lists the methods of the verb.
func All() []*passes.Pass { return []*passes.Pass{Magnitude, Wanda, SparseGPT, FLAP} }

// DenseBits is what a weight costs where it is stored as a 16-bit float, which
// is how changed weights are exported unless asked otherwise.
const DenseBits = 16

// typeOf is the type rule that pruners share: masked float weights come out,
// whatever form the weights had; side paths stay. sparsity gives the pattern for
// a layer.
func typeOf(node string, m *passes.Model, t blockwise.Target, sparsity func(*model.Linear) pattern.Sparsity) (passes.Result, diag.List) {
	out := &passes.Model{From: node}
	if m.Type == nil {
		return passes.Result{Model: out}, nil
	}
	ds := t.Check(m.Type)
	ty := m.Type.Clone()
	var packed, sided, ragged, looser []*model.Linear
	for i, l := range ty.Linears {
		s := sparsity(l)
		if !t.Selects(l) || s.IsZero() {
			continue
		}
		if l.Format.Quantized() {
			packed = append(packed, m.Type.Linears[i])
			l.Format, l.QuantizedBy = model.Format{}, ""
		}
		if len(l.Sides) > 0 {
			sided = append(sided, l)
		}
		if !s.Divides(l.In) {
			ragged = append(ragged, l)
		}
		if l.Masked() && s.Sparsity() < l.Mask.Sparsity() {
			looser = append(looser, m.Type.Linears[i])
		}
		l.Mask = s.Pattern
		l.StoredBits = DenseBits
		l.MaskedBy = node
	}
	if len(packed) > 0 {
		ds.Warnf("model", "Pruning gives up codes", "%s: the weights are %d-bit codes since %s; what is pruned becomes floating point numbers again. Prune first, then quantise, to have both; the quantiser keeps the mask.",
			blockwise.Paths(packed), packed[0].Format.Bits, packed[0].QuantizedBy)
		ds.Since(packed[0].QuantizedBy)
	}
	if len(sided) > 0 {
		ds.Warnf("model", "Pruning beside side paths", "%s carry side paths since %s, which stay as they are: they make up for the weights from before. Prune before the compensation.",
			blockwise.Paths(sided), sided[0].SidedBy)
		ds.Since(sided[0].SidedBy)
	}
	if len(ragged) > 0 {
		ds.Warnf("sparsity", "Pattern does not divide the inputs", "%d inputs of %s are not a multiple of the group of %s; the last group of each row keeps its share, rounded up.",
			ragged[0].In, blockwise.Paths(ragged), sparsity(ragged[0]))
	}
	if len(looser) > 0 {
		ds.Warnf("sparsity", "Model is sparser already", "%s were pruned to %s by %s; zeros stay zero.", blockwise.Paths(looser), looser[0].Mask, looser[0].MaskedBy)
		ds.Since(looser[0].MaskedBy)
	}
	out.Type = ty
	return passes.Result{Model: out}, ds
}

// layer returns the arguments that hold for one layer, and whether it is
// pruned at all.
func layer[T any](args T, t blockwise.Target, l *model.Linear, sparsity func(T) pattern.Sparsity) (T, bool) {
	a := schema.Resolve(args, blockwise.ModuleOf(l))
	return a, t.Selects(l) && !sparsity(a).IsZero()
}
