package blockwise

import (
	"fmt"
	"strings"

	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/nn"
)

// sideLeaf names a matrix of the i-th side path of a linear: "A" [rank, in] or
// "BT", the transpose of B, [rank, out]. A row of either belongs to one
// direction, so that a smaller rank of the same path is the leading rows of
// both, and need not be stored.
func sideLeaf(linear string, i int, which string) string {
	return fmt.Sprintf("%s.side%d.%s", linear, i, which)
}

// OfSide reports whether a leaf is part of a side path of a linear layer.
func OfSide(leaf, linear string) bool { return strings.HasPrefix(leaf, linear+".side") }

// SideCount returns the number of side paths of a linear layer.
func SideCount(v *artifact.Value, linear string) int {
	n := 0
	for v.Has(sideLeaf(linear, n, "A")) {
		n++
	}
	return n
}

// PutSide stores the i-th side path of a linear layer, y += B·(A·x) with
// a [rank, in] and b [out, rank]. It takes ownership of a.
func PutSide(out *artifact.Builder, linear string, i, rank int, a, b []float32) {
	out.PutFloat32(sideLeaf(linear, i, "A"), []int{rank, len(a) / rank}, a)
	out.PutFloat32(sideLeaf(linear, i, "BT"), []int{rank, len(b) / rank}, Transpose(b, len(b)/rank, rank))
}

// ShareSide gives a linear layer the i-th side path of the given rank whose
// matrices are the leading rows of the stored a and bt, which hold the
// directions of a larger rank. Nothing is stored.
func ShareSide(out *artifact.Builder, linear string, i, rank int, a, bt artifact.Entry) {
	out.PutEntry(a.Leading(sideLeaf(linear, i, "A"), rank))
	out.PutEntry(bt.Leading(sideLeaf(linear, i, "BT"), rank))
}

// Sides returns the side paths of a linear layer, each with scale 1. A may be a
// view of shared memory: do not write to it.
func Sides(v *artifact.Value, linear string) ([]nn.Side, error) {
	var out []nn.Side
	for i := range SideCount(v, linear) {
		e, err := v.Entry(sideLeaf(linear, i, "A"))
		if err != nil {
			return nil, err
		}
		s := nn.Side{Rank: e.Meta.Shape[0], Scale: 1}
		if s.A, err = v.Float32(sideLeaf(linear, i, "A")); err != nil {
			return nil, err
		}
		bt, err := v.Float32(sideLeaf(linear, i, "BT"))
		if err != nil {
			return nil, err
		}
		s.B = Transpose(bt, s.Rank, len(bt)/s.Rank)
		out = append(out, s)
	}
	return out, nil
}

// Transpose returns the transpose [cols, rows] of x [rows, cols].
func Transpose(x []float32, rows, cols int) []float32 {
	t := make([]float32, len(x))
	for i := range rows {
		for j, v := range x[i*cols : (i+1)*cols] {
			t[j*rows+i] = v
		}
	}
	return t
}
