// Package compressedtensors knows the pack-quantized format of
// compressed-tensors: the tensors that stand for a linear layer's weights and
// the quantization_config that describes them.
//
// Terms. A layer NAME has, in place of NAME.weight [out, in],
//
//	NAME.weight_packed      I32 [out, words]: the codes of each row
//	NAME.weight_scale       float [out, groups]
//	NAME.weight_shape       I64 [2]: out, in
//	NAME.weight_zero_point  I32 [words, groups], on asymmetric grids only:
//	                        the zero points of each group, packed down the rows
//
// Codes are unsigned here, as they are stored: a signed code of the reference
// implementation plus 2^(bits−1). Codes, scales and zero points are those of
// package grid; nothing is rounded on the way in or out.
//
// Invariants. Words are little-endian and 32 bits wide, a code's bits stand
// least significant first. Files since version 0.18 are one stream of codes, in
// which a code may cross words; older ones put ⌊32/bits⌋ codes into each word
// and leave the rest zero (Stored.Padded). The two differ for 3, 5, 6 and 7
// bits only. This package reads both and writes the stream.
//
// Source: compressed-tensors, compressors/pack_quantized/{base,helpers}.py and
// quantization/{quant_config,quant_args}.py, releases 0.10 to 0.20.
package compressedtensors
