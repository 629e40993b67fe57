// Package quantize replaces weights by forms that take fewer bits: integer codes
// with a scale a group, indices into codebooks, stacks of sign blocks.
package quantize

import (
	"fmt"
	"slices"
	"strings"

	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/grid"
	"github.com/compressc/compressc/internal/model"
	"github.com/compressc/compressc/passes"
	"github.com/compressc/compressc/passes/blockwise"
)

// All lists the methods of the verb.
func All() []*passes.Pass { return []*passes.Pass{RTN, Imatrix, GPTQ, AWQ, VPTQ, BitStack} }

// Codes are the arguments that say what codes a layer gets, whatever the method.
type Codes struct {
	Bits         int    `arg:"bits" default:"4" enum:"2|3|4|8" per_module:"true" doc:"bits of a code"`
	GroupSize    int    `arg:"group_size" default:"128" min:"-1" per_module:"true" doc:"inputs that share a scale; -1 is the whole row"`
	ScaleDType   string `arg:"scale_dtype" default:"f16" enum:"f16|f32" doc:"how scales are stored; codes are chosen with the rounded scale"`
	PartialGroup bool   `arg:"partial_group" default:"false" doc:"allow a shorter last group where group_size does not divide the inputs"`
	blockwise.Allocated
}

// Grid are the codes of methods that fit the grids to the weights.
type Grid struct {
	Codes
	Symmetric bool `arg:"symmetric" default:"true" per_module:"true" doc:"zero point in the middle of the codes; otherwise an integer zero point a group"`
	MSE       bool `arg:"mse" default:"false" doc:"search each group's range for the smallest error instead of covering all weights"`
}

// spec is the grid in a kernel's parameters: without bits where an allocation
// gives them, so that results do not depend on what is not used.
func (g Grid) spec() grid.Spec {
	if g.Allocation != nil {
		g.Bits = 0
	}
	return grid.Spec{Bits: g.Bits, GroupSize: g.GroupSize, Symmetric: g.Symmetric, ScaleDType: grid.ScaleDType(g.ScaleDType), MSE: g.MSE, PartialGroup: g.PartialGroup}
}

// bitsPerWeight is what a weight of layer l takes with scales and zero points;
// of an allocation only the mean over all layers is known.
func (g Grid) bitsPerWeight(l *model.Linear) float64 {
	if g.Allocation != nil {
		return g.Allocation.Total
	}
	return g.spec().BitsPerWeight(l.Out, l.In)
}

// mostBits is the most that a layer may have.
func (g Grid) mostBits() int {
	if g.Allocation != nil {
		return 8
	}
	return g.Bits
}

// layerGrid is the grid of one layer.
type layerGrid struct{ grid.Spec }

// Allocate sets the bits of a code.
func (l *layerGrid) Allocate(bits float64) { l.Bits = int(bits) }

// begin is what the type rules of all quantisers share: it returns a copy of the
// model's type, nil where that is not known, and the layers to quantise in it,
// which the caller gives their format. Layers that cannot be quantised are
// reported and left out.
func begin(node string, m *passes.Model, t blockwise.Target) (ty *model.Type, chosen []*model.Linear, ds diag.List) {
	if m.Type == nil {
		return nil, nil, nil
	}
	ds = t.Check(m.Type)
	ty = m.Type.Clone()
	var again, sided []*model.Linear
	for _, l := range ty.Linears {
		switch {
		case !t.Selects(l):
			continue
		case l.Format.Quantized():
			again = append(again, l)
			continue
		case len(l.Sides) > 0:
			sided = append(sided, l)
		}
		chosen = append(chosen, l)
	}
	if len(again) > 0 {
		ds.Errorf("model", "Quantised already", "%s: the weights are %s since %s. Quantise the model from before that block, or leave these layers out with targets.",
			blockwise.Paths(again), again[0].Format, again[0].QuantizedBy)
		ds.Since(again[0].QuantizedBy)
	}
	if len(sided) > 0 {
		ds.Warnf("model", "Quantising beside side paths", "%s carry side paths since %s, which stay as they are: they make up for the weights from before. Quantise before the compensation.",
			blockwise.Paths(sided), sided[0].SidedBy)
		ds.Since(sided[0].SidedBy)
	}
	return ty, chosen, ds
}

// unmasked refuses layers with a mask for forms that have no exact zero.
func unmasked(ls []*model.Linear, form model.Format) (ds diag.List) {
	var masked []*model.Linear
	for _, l := range ls {
		if l.Masked() {
			masked = append(masked, l)
		}
	}
	if len(masked) > 0 {
		ds.Errorf("model", "Quantising would fill zeros", "%s are pruned to %s since %s, and %s have no exact zeros. Use quantize \"gptq\" or \"rtn\", which keep the mask, or leave these layers out with targets.",
			blockwise.Paths(masked), masked[0].Mask, masked[0].MaskedBy, form)
		ds.Since(masked[0].MaskedBy)
	}
	return ds
}

// typeOf is the type rule of quantisers to a grid. of gives the grid of a layer.
func typeOf(node string, m *passes.Model, t blockwise.Target, of func(*model.Linear) Grid) (passes.Result, diag.List) {
	out := &passes.Model{From: node}
	ty, chosen, ds := begin(node, m, t)
	var ragged []*model.Linear
	for i, l := range chosen {
		g := of(l)
		if i == 0 {
			ds = append(ds, g.Check("bits", m.Type, t)...)
		}
		switch {
		case g.GroupSize == 0:
			ds.Errorf("group_size", "Group size of zero", "A group holds at least one input; -1 makes the whole row one group.")
			return passes.Result{Model: out}, ds
		case g.GroupSize > 0 && l.In%g.GroupSize != 0 && !g.PartialGroup:
			ragged = append(ragged, l)
			continue
		}
		l.Format = model.Format{Allocated: g.Allocation != nil, Bits: g.mostBits(), GroupSize: g.GroupSize, Symmetric: g.Symmetric, PartialGroup: g.GroupSize > 0 && l.In%g.GroupSize != 0, ScaleBits: g.spec().ScaleBits()}
		l.StoredBits = g.bitsPerWeight(l)
		l.QuantizedBy = node
	}
	if len(ragged) > 0 {
		for _, at := range placesOf(ragged, t) {
			ds.Errorf(at.arg, "Group size does not divide", "%s", raggedDetail(at.layers, of))
			ds.Since(m.Type.Source)
		}
	}
	out.Type = ty
	return passes.Result{Model: out}, ds
}

// setAt are layers whose group_size is set in one place.
type setAt struct {
	arg    string
	layers []*model.Linear
}

// placesOf parts layers by where their group_size is set.
func placesOf(ls []*model.Linear, t blockwise.Target) []*setAt {
	var list []*setAt
	for _, l := range ls {
		arg := t.Overrides.Where("group_size", blockwise.ModuleOf(l))
		i := slices.IndexFunc(list, func(s *setAt) bool { return s.arg == arg })
		if i < 0 {
			i = len(list)
			list = append(list, &setAt{arg: arg})
		}
		list[i].layers = append(list[i].layers, l)
	}
	return list
}

func raggedDetail(ragged []*model.Linear, of func(*model.Linear) Grid) string {
	byIn := map[int][]*model.Linear{}
	var ins []int
	for _, l := range ragged {
		if byIn[l.In] == nil {
			ins = append(ins, l.In)
		}
		byIn[l.In] = append(byIn[l.In], l)
	}
	var b strings.Builder
	for i, in := range ins {
		if i > 0 {
			b.WriteString(" ")
		}
		fmt.Fprintf(&b, "group_size = %d does not divide the %d inputs of %s.", of(byIn[in][0]).GroupSize, in, blockwise.Paths(byIn[in]))
	}
	fmt.Fprintf(&b, " Sizes that do: %s; -1 is the whole row. partial_group = true allows a shorter last group, which few formats can hold.", sizes(ragged))
	return b.String()
}

// sizes lists group sizes that divide the inputs of all layers.
func sizes(ls []*model.Linear) string {
	var out []string
next:
	for _, d := range model.Divisors(ls[0].In) {
		for _, l := range ls {
			if l.In%d != 0 {
				continue next
			}
		}
		if d >= 16 {
			out = append(out, fmt.Sprint(d))
		}
	}
	return strings.Join(out, ", ")
}
