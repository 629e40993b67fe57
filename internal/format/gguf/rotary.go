package gguf

import (
	"fmt"
	"strings"

	"github.com/compressc/compressc/internal/tensor"
)

// RotaryHeadDim returns the head size by which the rows of a tensor are
// interleaved in a file with this metadata, and 0 for a tensor in the usual
// order. Only architectures "llama" and "deci" interleave, and only attn_q and
// attn_k:
// its converter applies the permutation for ggml's "normal" rotary kernel,
// while qwen2 and qwen3 use the "neox" kernel, which pairs the halves as
// Hugging Face models do. rows is the tensor's first Hugging Face dimension.
func RotaryHeadDim(kvs KVs, name string, rows int) int {
	arch, _ := kvs.String("general.architecture")
	if arch != "llama" && arch != deci {
		return 0
	}
	_, part, ok := splitBlock(name)
	if !ok {
		return 0
	}
	heads, _ := kvs.Int(arch + ".attention.head_count")
	// Where blocks differ there is no one number of heads, but their size.
	dim, _ := kvs.Int(arch + ".attention.key_length")
	switch strings.TrimSuffix(strings.TrimSuffix(part, ".weight"), ".bias") {
	case "attn_q":
	case "attn_k":
		if n, ok := kvs.Int(arch + ".attention.head_count_kv"); ok {
			heads = n
		}
	default:
		return 0
	}
	if heads <= 0 && dim > 0 && dim%2 == 0 && rows%dim == 0 {
		return dim
	}
	if heads <= 0 || rows%(2*heads) != 0 {
		return 0
	}
	return rows / heads
}

func (f *File) markRotary() {
	for _, t := range f.tensors {
		if len(t.Meta.Shape) > 0 {
			t.Meta.RotaryHeadDim = RotaryHeadDim(f.KVs, t.Name, t.Meta.Shape[0])
		}
	}
}

// RotarySource returns the Hugging Face row that is stored as row i when heads
// of headDim rows are interleaved: within a head, stored 2k is k and stored
// 2k+1 is k+headDim/2.
func RotarySource(i, headDim int) int {
	h, r := i/headDim, i%headDim
	return h*headDim + r/2 + r%2*(headDim/2)
}

// RotaryPermute returns for each stored row the Hugging Face row it holds, for
// rows rows in heads of headDim. It panics unless headDim is even and divides
// rows.
func RotaryPermute(rows, headDim int) []int {
	checkHeads(rows, headDim)
	order := make([]int, rows)
	for i := range order {
		order[i] = RotarySource(i, headDim)
	}
	return order
}

// ToRotary copies len(src)/rowBytes rows from Hugging Face order into stored
// order, FromRotary back. Rows may be anything of equal length: blocks, codes,
// scales, masks, float bytes. dst and src must not overlap.
func ToRotary(dst, src []byte, rowBytes, headDim int) {
	n := countRows(dst, src, rowBytes, headDim)
	for i := range n {
		j := RotarySource(i, headDim)
		copy(dst[i*rowBytes:(i+1)*rowBytes], src[j*rowBytes:(j+1)*rowBytes])
	}
}

// FromRotary undoes ToRotary.
func FromRotary(dst, src []byte, rowBytes, headDim int) {
	n := countRows(dst, src, rowBytes, headDim)
	for i := range n {
		j := RotarySource(i, headDim)
		copy(dst[j*rowBytes:(j+1)*rowBytes], src[i*rowBytes:(i+1)*rowBytes])
	}
}

func countRows(dst, src []byte, rowBytes, headDim int) int {
	if rowBytes <= 0 || len(src)%rowBytes != 0 || len(dst) != len(src) {
		panic(fmt.Sprintf("gguf: rows of %d bytes do not fit %d source and %d destination bytes", rowBytes, len(src), len(dst)))
	}
	n := len(src) / rowBytes
	checkHeads(n, headDim)
	return n
}

func checkHeads(rows, headDim int) {
	if headDim <= 0 || headDim%2 != 0 || rows%headDim != 0 {
		panic(fmt.Sprintf("gguf: %d rows are not whole heads of %d rows", rows, headDim))
	}
}

// DequantizeRows decodes a whole tensor to float32 in Hugging Face row order:
// dst has meta.Elements() elements, src the tensor's stored bytes. It undoes
// meta.RotaryHeadDim and accepts plain float tensors too.
func DequantizeRows(meta tensor.Meta, dst []float32, src []byte) error {
	if meta.RotaryHeadDim == 0 {
		return decode(meta, dst, src)
	}
	rowBytes, ok := RowBytes(meta)
	if !ok {
		return fmt.Errorf("%s: rows are not whole blocks", meta)
	}
	rows := meta.Shape[0]
	if len(meta.Shape) == 1 { // a bias: its elements move like rows
		rowBytes /= max(rows, 1)
	} else {
		for _, n := range meta.Shape[1 : len(meta.Shape)-1] {
			rowBytes *= n
		}
	}
	if meta.RotaryHeadDim%2 != 0 || meta.RotaryHeadDim < 0 || rows%meta.RotaryHeadDim != 0 {
		return fmt.Errorf("%s: %d rows are not whole heads of %d rows", meta, rows, meta.RotaryHeadDim)
	}
	if len(src) != rows*rowBytes || len(dst) != meta.Elements() {
		return fmt.Errorf("%s: %d bytes and %d elements given, expected %d and %d", meta, len(src), len(dst), rows*rowBytes, meta.Elements())
	}
	cols := len(dst) / max(rows, 1)
	for i := range rows {
		j := RotarySource(i, meta.RotaryHeadDim)
		if err := decode(meta, dst[j*cols:(j+1)*cols], src[i*rowBytes:(i+1)*rowBytes]); err != nil {
			return err
		}
	}
	return nil
}
