// Package vmath is elementary functions and reductions with the same bits on
// every machine. Package math does not promise that: its functions choose
// instructions, or whole algorithms, by architecture.
//
// Every float32 function computes in float64 by fixed sequences of operations
// (fused multiply-adds where written) and rounds once at the end, so its error
// stays within the stated fraction of a unit in the last place (ulp) of float32.
// The float64 functions follow FreeBSD's msun with every rounding explicit; each
// states its error.
//
// Reductions run in eight float64 lanes: lane l takes the elements i ≡ l (mod 8)
// in ascending order, and the lanes are added as
// ((l0+l4)+(l2+l6)) + ((l1+l5)+(l3+l7)).
//
// NaNs propagate; their payloads are not fixed. Slices of one call have the same
// length, and dst may be x itself. Everything is safe for concurrent use.
package vmath
