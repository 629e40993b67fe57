// Package kernel holds the innermost arithmetic: GEMM tiles, packing and
// float64 matrix-vector products, each as AVX-512, AVX2 and NEON assembler and
// plain Go.
//
// Terms. A path is one of the implementations. A tile is the MR×NR block
// of C that one call of a GEMM kernel computes; a panel is MR rows of op(A), or
// NR columns of op(B), packed so that the k-th column (row) of the panel lies at
// k·MR (k·NR).
//
// Invariants. Every path gives the same bits for every input, denormals,
// infinities and NaN positions included (NaN payloads are free): in a GEMM tile
// each element is one chain of fused multiply-adds in ascending k from +0, then
// one more with alpha; in a reduction the lanes and the tree over them are fixed
// by the doc comment of the function. Vectors never run along k, and no term is
// skipped because a factor is zero.
//
// The package knows no threads, no blocking and no matrices larger than a
// panel; package linalg does.
package kernel

//go:generate go run gen/main.go gen/neon.go
