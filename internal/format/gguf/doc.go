// Package gguf reads and writes GGUF files (versions 2 and 3) and the block
// encodings their tensors use.
//
// A GGUF file is a list of typed key-value pairs, a list of tensor
// descriptions and an aligned data section
// (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md). A block
// encoding stores a row of a matrix as blocks of 32 or 256 elements, each with
// its own scale; the layouts are those of ggml-quants.c and ggml-common.h.
//
// Terms. Dims are ggml's ne: innermost first. tensor.Meta.Shape is the same
// outermost first. An encoding is a block type's name in lower case ("q4_1");
// plain element types have no encoding, only a dtype. Stored order is the
// order of a tensor's rows in the file: for architecture "llama" the rows of
// attn_q and attn_k are interleaved for ggml's rotary kernel, and
// tensor.Meta.RotaryHeadDim says so.
//
// Invariants. Opening maps the file and reads only what comes before the data
// section; no count, length or offset is believed before it has been checked
// against the bytes at hand. Decoding is exact float32 arithmetic in the order
// of the reference decoders. Encoding rounds as the gguf Python package does.
// Writing gives the same bytes for the same input.
//
// The package knows tensor names and metadata keys of the llama, qwen2 and
// qwen3 architectures, and nothing of how such models compute.
package gguf
