// Package blockwise is the walk that nearly every compression method has in
// common: go through the decoder blocks in order; for each, know the statistics
// of its linear layers' inputs; replace some weights; go on with the outputs.
// The walk is written here once, as a lowering to actions; a method brings its
// needs and one function on one linear layer.
//
// A block's tree has the block's checkpoint tensors without the block's prefix
// ("self_attn.q_proj.weight"). What methods make of a linear layer NAME stands
// beside them:
//
//	NAME.mask        U8 [out, ceil(in/8)]: bit set = kept; zeros of the weights
//	NAME.codes       U8 [out, in], instead of NAME.weight, with
//	NAME.scales      F32 or F16 [out, groups]
//	NAME.zeros       U8 [out, groups] and
//	NAME.quant       JSON, the grid's specification (compressedtensors.Stored)
//	NAME.stack.signs U8 [blocks, out, ceil(in/8)], instead of NAME.weight, with
//	NAME.stack.left  F16 [blocks, rank, out],
//	NAME.stack.right F16 [blocks, rank, in] and perhaps
//	NAME.stack.scales F16 [in]: a stack of sign blocks
//	NAME.vq.quant    JSON, the shape, instead of NAME.weight, with
//	NAME.vq.codebook F16 [k, v] and its indices, packed, and perhaps
//	NAME.vq.residual and NAME.vq.outlier likewise: codebook vectors
//	NAME.side0.A     F32 [r, in] and
//	NAME.side0.BT    F32 [r, out]: a side path B·A; more are side1, side2, …
//
// Both matrices of a side path have a row for each direction, best first where
// there is an order, and may be the leading rows of tensors that are stored
// once for many ranks (artifact.Entry.Leading).
//
// A source whose layers are codes already has the leaves of package
// compressedtensors in place of NAME.weight ("NAME.weight_packed"), with
// NAME.quant beside them; functions here read both forms alike.
//
// Statistics are kept apart for each input site ("attn_in": what q, k and v
// see) and are sums over windows in order, in float64.
package blockwise
