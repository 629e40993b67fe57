package gguf

// fileTypes are the values of general.file_type that say "mostly this type"
// (enum llama_ftype). The k-quants' S, M and L variants name recipes of
// llama.cpp; a file that is wholly of one type is an S.
var fileTypes = map[Type]uint32{
	TypeF32: 0, TypeF16: 1, TypeQ4_0: 2, TypeQ4_1: 3, TypeQ8_0: 7, TypeQ5_0: 8, TypeQ5_1: 9,
	TypeQ2_K: 10, TypeQ3_K: 11, TypeQ4_K: 14, TypeQ5_K: 16, TypeQ6_K: 18, TypeBF16: 32,
}

// FileType returns the value of general.file_type for a file with these
// tensors: that of the type most weights of the blocks have. quantized says
// that the file also needs general.quantization_version, which is 2.
func FileType(tensors []WriteTensor) (fileType uint32, quantized bool) {
	elements := make([]int, len(types))
	for _, t := range tensors {
		id, ok := MetaType(t.Meta)
		if !ok {
			continue
		}
		for i, info := range types {
			if info.id == id {
				quantized = quantized || info.elems > 1
				if _, _, block := splitBlock(t.Name); block && len(t.Meta.Shape) > 1 {
					elements[i] += t.Meta.Elements()
				}
			}
		}
	}
	most := 0
	for i := range types {
		if _, known := fileTypes[types[i].id]; known && elements[i] > elements[most] {
			most = i
		}
	}
	return fileTypes[types[most].id], quantized
}
