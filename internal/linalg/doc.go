// Package linalg is compressc's dense linear algebra: matrix products, Gram
// matrices and factorizations that give the same bits on every processor, for
// every kernel path and any number of threads.
//
// Terms. All matrices are row-major slices with a row stride (lda, ldb, ldc; the
// number of columns where a function takes none). A K block is a stretch of the
// inner dimension of a product; a window is the rows of activations that one
// calibration sequence contributes to a Gram matrix.
//
// The contract (NumericsVersion names it; it is part of every action's key):
//
//   - The inner dimension of a product is cut into K blocks whose edges depend on
//     K alone. In a block, each element of C is one chain of fused multiply-adds
//     in ascending k from +0; then C = fma(alpha, chain, C). beta = 0 stores
//     without reading C. No zero factor is skipped.
//   - Vectors and threads run over M and N only. Edge tiles run the same kernel
//     on a padded scratch tile.
//   - GramAdd takes one window as one K block in float32 and adds it in float64.
//   - Reductions use fixed lanes and a fixed tree.
//   - Positions of NaNs are fixed, their payloads are not.
//
// Misuse (shapes that do not fit their slices) panics; numerical trouble, such
// as a matrix that is not positive definite, is returned. Every method of Pool
// is safe for concurrent use on distinct outputs, and a nil *Pool is serial.
package linalg

import "github.com/compressc/compressc/internal/linalg/kernel"

// NumericsVersion names the numeric contract: the K rule, the reductions, the
// factorizations' algorithms. It never names an instruction set, because paths
// agree bit for bit. It changes whenever any result changes.
const NumericsVersion = "1"

// KernelPath returns the kernel path in use: "avx512", "avx2", "neon" or "go". It
// is for messages; results do not depend on it.
func KernelPath() string { return string(kernel.Active()) }

// CheckEnvironment reports a COMPRESSC_KERNEL that this machine cannot honour,
// and a floating point unit in a state in which results would not be
// reproducible. Call it once at the start of a program.
func CheckEnvironment() error { return kernel.CheckEnvironment() }
