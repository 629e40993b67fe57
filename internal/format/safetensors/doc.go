// Package safetensors reads and writes the safetensors container and the
// sharded checkpoint folders built from it.
//
// A file is a little-endian u64 N, N bytes of JSON (the header) and a buffer.
// The header maps each tensor name to a dtype, a shape and a byte range of the
// buffer; the ranges tile the buffer without hole or overlap. A checkpoint is
// one file model.safetensors, or several files with an index that says which
// tensor is in which.
//
// Reading maps the file and touches only the header, so opening a checkpoint
// of any size costs its header. Every rule of the format is checked on
// opening; nothing is allocated in proportion to a number found in the file
// before that number has been checked against the file's length.
//
// Writing gives the same bytes for the same tensors: order, header padding
// and string escapes are those of the reference implementation
// (https://github.com/huggingface/safetensors, safetensors/src/tensor.rs).
//
// The package knows nothing of models: names are opaque, and so is what a
// tensor's numbers mean.
package safetensors
