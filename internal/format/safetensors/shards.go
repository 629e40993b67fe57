package safetensors

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// ModelFile is one file of a checkpoint to be written.
type ModelFile struct {
	Name    string
	Tensors []WriteTensor
}

// SplitModel distributes tensors, in the order given, over files of at most
// maxBytes of tensor data each; a tensor larger than that gets a file of its
// own. It returns the files under their usual names and the content of
// IndexName; index is nil when one file, SingleName, is enough.
func SplitModel(tensors []WriteTensor, maxBytes int64) (files []ModelFile, index []byte, err error) {
	var total, size int64
	seen := map[string]bool{}
	for _, t := range tensors {
		if err := checkWritable(t, seen); err != nil {
			return nil, nil, err
		}
		b, ok := byteLength(t.Meta)
		if !ok {
			return nil, nil, fmt.Errorf("tensor %q: shape %v of %s is larger than any file", t.Name, t.Meta.Shape, t.Meta.DType)
		}
		n := int64(b)
		if len(files) == 0 || size > 0 && size+n > maxBytes {
			files = append(files, ModelFile{})
			size = 0
		}
		last := &files[len(files)-1]
		last.Tensors = append(last.Tensors, t)
		size += n
		total += n
	}
	if len(files) <= 1 {
		return []ModelFile{{Name: SingleName, Tensors: tensors}}, nil, nil
	}
	placed := make([][2]string, 0, len(tensors))
	for i := range files {
		files[i].Name = fmt.Sprintf("model-%05d-of-%05d.safetensors", i+1, len(files))
		for _, t := range files[i].Tensors {
			placed = append(placed, [2]string{t.Name, files[i].Name})
		}
	}
	slices.SortFunc(placed, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
	var b bytes.Buffer
	fmt.Fprintf(&b, "{\n  \"metadata\": {\n    \"total_size\": %d\n  },\n  \"weight_map\": {", total)
	for i, p := range placed {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString("\n    ")
		writeString(&b, p[0])
		b.WriteString(": ")
		writeString(&b, p[1])
	}
	b.WriteString("\n  }\n}\n")
	return files, b.Bytes(), nil
}
