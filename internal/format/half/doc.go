// Package half converts between float32 and the narrow float formats that
// checkpoints store: IEEE binary16 (F16), bfloat16 (BF16) and the two 8-bit
// formats of the OCP OFP8 specification (F8_E4M3, F8_E5M2).
//
// Widening is exact. Narrowing rounds to nearest, ties to even. Infinities,
// signed zeros and subnormals are kept in both directions; a NaN stays a NaN
// with its sign, made quiet when narrowed, and a binary16 one when widened too.
// All conversions are integer arithmetic on the bit patterns, or vector
// instructions that give the same: results are the same bits on any CPU.
//
// Slice functions read and write little-endian bytes and panic when the byte
// slice is not exactly as long as the float slice needs. They are safe for
// concurrent use on disjoint memory.
package half
