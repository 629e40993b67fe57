// Package prune sets weights to zero and remembers which.
package prune

import (
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/mask"
	"github.com/compressc/compressc/internal/model"
	"github.com/compressc/compressc/internal/schema"
	"github.com/compressc/compressc/passes"
	"github.com/compressc/compressc/passes/blockwise"
	"github.com/compressc/compressc/passes/pattern"
)

// All lists the methods of the verb.
func All() []*passes.Pass { return []*passes.Pass{Magnitude, Wanda, SparseGPT, GBLM, FLAP} }

// DenseBits is what a weight costs where it is stored as a 16-bit float, which
// is how changed weights are exported unless asked otherwise.
const DenseBits = 16

// Amount are the arguments that say how much of a layer is pruned.
type Amount struct {
	Sparsity pattern.Sparsity `arg:"sparsity" default:"0.5" per_module:"true" doc:"fraction to remove, or \"N:M\" to keep N of M; the allocation's where there is one"`
	blockwise.Allocated
}

// of is what is known of one layer's sparsity before running; its arguments are
// resolved.
func (a Amount) of() pattern.Sparsity {
	if a.Allocation != nil {
		return pattern.Sparsity{Pattern: mask.Pattern{Fraction: a.Allocation.Total}}
	}
	return a.Sparsity
}

// param is the sparsity in a kernel's parameters: none where an allocation gives
// it, so that results do not depend on what is not used.
func (a Amount) param() pattern.Sparsity {
	if a.Allocation != nil {
		return pattern.Sparsity{}
	}
	return a.Sparsity
}

// typeOf is the type rule that pruners share: masked float weights come out,
// whatever form the weights had; side paths stay. amount gives that of a layer.
func typeOf(node string, m *passes.Model, t blockwise.Target, amount func(*model.Linear) Amount) (passes.Result, diag.List) {
	out := &passes.Model{From: node}
	if m.Type == nil {
		return passes.Result{Model: out}, nil
	}
	ds := t.Check(m.Type)
	checked := false
	ty := m.Type.Clone()
	var packed, sided, ragged, looser []*model.Linear
	for i, l := range ty.Linears {
		am := amount(l)
		s := am.of()
		if !checked {
			ds = append(ds, am.Check("sparsity", m.Type, t)...)
			checked = true
		}
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
		l.Mask, l.MaskAbout = s.Pattern, am.Allocation != nil
		l.StoredBits = DenseBits
		l.MaskedBy = node
	}
	if len(packed) > 0 {
		ds.Warnf("model", "Pruning gives up codes", "%s: the weights are %s since %s; what is pruned becomes floating point numbers again. Prune first, then quantise, to have both; the quantiser keeps the mask.",
			blockwise.Paths(packed), packed[0].Format, packed[0].QuantizedBy)
		ds.Since(packed[0].QuantizedBy)
	}
	if len(sided) > 0 {
		ds.Warnf("model", "Pruning beside side paths", "%s carry side paths since %s, which stay as they are: they make up for the weights from before. Prune before the compensation.",
			blockwise.Paths(sided), sided[0].SidedBy)
		ds.Since(sided[0].SidedBy)
	}
	if len(ragged) > 0 {
		ds.Warnf("sparsity", "Pattern does not divide the inputs", "%d inputs of %s are not a multiple of the group of %s; the last group of each row keeps its share, rounded up.",
			ragged[0].In, blockwise.Paths(ragged), amount(ragged[0]).of())
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
func layer[T any](args T, t blockwise.Target, l *model.Linear, amount func(T) Amount) (T, bool) {
	a := schema.Resolve(args, blockwise.ModuleOf(l))
	return a, t.Selects(l) && !amount(a).of().IsZero()
}

// Probe returns the method of that name as trials use it, at a fraction removed:
// "magnitude" within a layer or "wanda" within a row.
func Probe(method string) *blockwise.Probe {
	at := func(scope string) func(float64) selection[struct{}] {
		return func(x float64) selection[struct{}] {
			s := selection[struct{}]{Scope: scope}
			s.Allocate(x)
			return s
		}
	}
	if method == "wanda" {
		return wanda.Probe(at("row"))
	}
	return magnitude.Probe(at("layer"))
}
