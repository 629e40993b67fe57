package blockwise

import (
	"fmt"
	"slices"
	"strings"

	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/format/compressedtensors"
	"github.com/compressc/compressc/internal/grid"
)

// Coded is a linear layer's weights in a form that is not floating point
// numbers. A value is one layer; it is read-only once a Work has it.
type Coded interface {
	// Decode sets dst [out, in] to the weights that the form stands for: the
	// very numbers that Dense reads back from what put stores.
	Decode(dst []float32)
	put(b *artifact.Builder, linear string) error
}

// form is one way in which the weights of a linear layer lie in a block's tree.
type form struct {
	// marker is the suffix of a leaf that layers of this form have and no other.
	marker string
	// leaves are the suffixes of all leaves that the form may have, marker
	// included.
	leaves []string
	shape  func(v *artifact.Value, linear string) (out, in int, err error)
	// open reads the layer; nil for floating point weights, which are read as
	// they are.
	open func(v *artifact.Value, linear string) (Coded, error)
}

// forms is every form. A new one is a line here, its Coded, and its name in
// model.Format; what reads weights through Dense then reads it too.
var forms = []form{
	{marker: weightLeaf, leaves: []string{weightLeaf}, shape: rowsAndColumns(weightLeaf)},
	{marker: codesLeaf, leaves: []string{codesLeaf, scalesLeaf, zerosLeaf, quantLeaf}, shape: rowsAndColumns(codesLeaf), open: openGrid},
	{marker: compressedtensors.PackedSuffix, leaves: append(compressedtensors.Suffixes(), quantLeaf), shape: packedShape, open: openGrid},
	{marker: signsLeaf, leaves: []string{signsLeaf, leftLeaf, rightLeaf, inputScalesLeaf}, shape: stackShape, open: openStack},
	{marker: vectorsLeaf, leaves: vectorLeaves, shape: vectorsShape, open: openVectors},
}

const weightLeaf = ".weight"

func rowsAndColumns(suffix string) func(*artifact.Value, string) (int, int, error) {
	return func(v *artifact.Value, linear string) (out, in int, err error) {
		e, err := v.Entry(linear + suffix)
		if err != nil {
			return 0, 0, err
		}
		if len(e.Meta.Shape) != 2 {
			return 0, 0, fmt.Errorf("blockwise: %s is %v; expected a matrix", e.Name, e.Meta)
		}
		return e.Meta.Shape[0], e.Meta.Shape[1], nil
	}
}

func openGrid(v *artifact.Value, linear string) (Coded, error) {
	q, err := Quantized(v, linear)
	if err != nil {
		return nil, err
	}
	return OnGrid(q), nil
}

// OnGrid returns integer codes as a Coded.
func OnGrid(q *grid.Quantized) Coded { return onGrid{q} }

type onGrid struct{ *grid.Quantized }

func (g onGrid) Decode(dst []float32) { g.Dequantize(dst) }

func (g onGrid) put(b *artifact.Builder, linear string) error {
	return putCodes(b, linear, g.Quantized)
}

// formOf finds the form that a linear layer has in v.
func formOf(v *artifact.Value, linear string) (*form, error) {
	for i := range forms {
		if v.Has(linear + forms[i].marker) {
			return &forms[i], nil
		}
	}
	return nil, fmt.Errorf("blockwise: no weights of %s in any form that is known", linear)
}

// Dense returns the weights [out, in] of a linear layer as float32, decoded
// from whatever they are stored as; side paths are not in them. The slice may
// be a view of shared memory: do not write to it.
func Dense(v *artifact.Value, linear string) ([]float32, error) {
	return (*Scratch)(nil).Dense(v, linear)
}

// shapeOf returns the shape of a linear layer's weights in whatever form they
// are stored.
func shapeOf(v *artifact.Value, linear string) (out, in int, err error) {
	f, err := formOf(v, linear)
	if err != nil {
		return 0, 0, err
	}
	return f.shape(v, linear)
}

// OfLinear reports whether a leaf holds the weights of a linear layer in any
// form, or their mask; biases and side paths are not among them.
func OfLinear(leaf, linear string) bool {
	suffix, ok := strings.CutPrefix(leaf, linear)
	return ok && slices.Contains(linearSuffixes, suffix)
}

// OfLinears reports whether a leaf holds the weights of one of the layers.
func OfLinears(linears []string) func(leaf string) bool {
	return func(leaf string) bool {
		return slices.ContainsFunc(linears, func(l string) bool { return OfLinear(leaf, l) })
	}
}

// LinearLeaves lists the leaves that OfLinear is true of, in order.
func LinearLeaves(linear string) []string {
	names := make([]string, len(linearSuffixes))
	for i, s := range linearSuffixes {
		names[i] = linear + s
	}
	return names
}

// linearSuffixes are what a leaf may be called beside a linear layer's path to
// be a form of its weights, in order.
var linearSuffixes = func() []string {
	all := []string{maskLeaf}
	for _, f := range forms {
		all = append(all, f.leaves...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}()
