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
	bt := make([]float32, len(b))
	transpose(bt, b, len(b)/rank, rank)
	out.PutFloat32(sideLeaf(linear, i, "BT"), []int{rank, len(b) / rank}, bt)
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
	return (*Scratch)(nil).sides(v, linear)
}

// transpose sets t [cols, rows] to the transpose of x [rows, cols].
func transpose(t, x []float32, rows, cols int) {
	// Of a few rows at a time, so that what is written stays in the nearest cache.
	const few = 16
	for lo := 0; lo < rows; lo += few {
		hi := min(lo+few, rows)
		for j := range cols {
			to := t[j*rows+lo : j*rows+hi]
			for i := range to {
				to[i] = x[(lo+i)*cols+j]
			}
		}
	}
}
