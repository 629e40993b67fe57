package safetensors

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// raw builds a file from a header and a buffer of n bytes.
func raw(header string, n int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	b = append(b, header...)
	for i := range n {
		b = append(b, byte(i))
	}
	return b
}

func TestParseErrors(t *testing.T) {
	lie := raw(`{}`, 0)
	lie[0] = 200
	huge := raw(`{}`, 0)
	binary.LittleEndian.PutUint64(huge, 1<<63)
	for _, c := range []struct {
		name, tensor, want string
		file               []byte
	}{
		{"empty", "", "0 bytes, expected at least the 8", nil},
		{"short", "", "7 bytes", make([]byte, 7)},
		{"lying length", "", "header length is 200, but only 2 bytes follow", lie},
		{"huge length", "", "expected at most 100000000", huge},
		{"no brace", "", "must start with '{'", raw(` {}`, 0)},
		{"no header", "", "must start with '{'", raw(``, 0)},
		{"not json", "a", "unexpected EOF", raw(`{"a":`, 0)},
		{"text behind", "", "after its closing brace", raw(`{} {}`, 0)},
		{"bad utf8", "", "UTF-8", raw("{\"\xff\":1}", 0)},
		{"duplicate", "a", "twice", raw(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}`, 2)},
		{"duplicate by escape", "a", "twice", raw(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"\u0061":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}`, 2)},
		{"duplicate field", "a", `"shape" occurs twice`, raw(`{"a":{"dtype":"U8","shape":[1],"shape":[1],"data_offsets":[0,1]}}`, 1)},
		{"duplicate metadata", "__metadata__", "twice", raw(`{"__metadata__":{},"__metadata__":{}}`, 0)},
		{"duplicate metadata key", "", "occurs twice", raw(`{"__metadata__":{"a":"","a":""}}`, 0)},
		{"metadata number", "", "expected a string", raw(`{"__metadata__":{"a":1}}`, 0)},
		{"metadata null", "", "expected '{'", raw(`{"__metadata__":null}`, 0)},
		{"entry null", "a", "expected '{'", raw(`{"a":null}`, 0)},
		{"no dtype", "a", `"dtype" is missing`, raw(`{"a":{"shape":[1],"data_offsets":[0,1]}}`, 1)},
		{"no shape", "a", `"shape" is missing`, raw(`{"a":{"dtype":"U8","data_offsets":[0,1]}}`, 1)},
		{"no offsets", "a", `"data_offsets" is missing`, raw(`{"a":{"dtype":"U8","shape":[1]}}`, 1)},
		{"case matters", "a", `"dtype" is missing`, raw(`{"a":{"Dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 1)},
		{"unknown dtype", "a", `dtype "U9" is not supported`, raw(`{"a":{"dtype":"U9","shape":[1],"data_offsets":[0,1]}}`, 1)},
		{"null dtype", "a", "expected a string", raw(`{"a":{"dtype":null,"shape":[1],"data_offsets":[0,1]}}`, 1)},
		{"negative shape", "a", "non-negative integer", raw(`{"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}}`, 1)},
		{"fraction", "a", "non-negative integer", raw(`{"a":{"dtype":"U8","shape":[1.0],"data_offsets":[0,1]}}`, 1)},
		{"null in shape", "a", "expected a number", raw(`{"a":{"dtype":"U8","shape":[null],"data_offsets":[0,1]}}`, 1)},
		{"overflow", "a", "larger than any file", raw(`{"a":{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,1]}}`, 1)},
		{"overflow to zero", "a", "larger than any file", raw(`{"a":{"dtype":"F64","shape":[2305843009213693952],"data_offsets":[0,0]}}`, 0)},
		{"dimension beyond int", "a", "out of range", raw(`{"a":{"dtype":"U8","shape":[18446744073709551615],"data_offsets":[0,1]}}`, 1)},
		{"shape mismatch", "a", "span 4 bytes, expected 8 for F32[2]", raw(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}`, 4)},
		{"three offsets", "a", "found 3 numbers", raw(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1,2]}}`, 1)},
		{"backwards", "a", "begin 1 is after end 0", raw(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[1,0]}}`, 1)},
		{"hole at start", "a", "begins at byte 1, expected 0", raw(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}`, 2)},
		{"hole", "b", "begins at byte 2, expected 1", raw(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}}`, 3)},
		{"overlap", "b", `inside tensor "a", which ends at 2`, raw(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}`, 3)},
		{"same range", "b", `inside tensor "a"`, raw(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}`, 2)},
		{"empty inside", "b", `inside tensor "a"`, raw(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[0],"data_offsets":[1,1]}}`, 2)},
		{"truncated", "b", "ends at byte 3 of a buffer of 2: the file is truncated", raw(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}`, 2)},
		{"bytes behind", "", "the buffer has 3 bytes, but the tensors end at 2", raw(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}`, 3)},
	} {
		_, err := Parse("model.safetensors", c.file)
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%s: error %v, expected an *Error", c.name, err)
			continue
		}
		if e.Path != "model.safetensors" || e.Tensor != c.tensor || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v (tensor %q), expected %q for tensor %q", c.name, err, e.Tensor, c.want, c.tensor)
		}
	}
}

func TestParseAccepts(t *testing.T) {
	for name, file := range map[string][]byte{
		"nothing":           raw(`{}`, 0),
		"padding":           raw("{} \n\t", 0),
		"no padding":        raw(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 1),
		"file order":        raw(`{"z":{"dtype":"U8","shape":[1],"data_offsets":[1,2]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 2),
		"empty tensors":     raw(`{"b":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"F32","shape":[3,0],"data_offsets":[0,0]}}`, 0),
		"unknown field":     raw(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":{"y":[1,{}]}}}`, 1),
		"unaligned":         raw(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"F32","shape":[1],"data_offsets":[1,5]}}`, 5),
		"scalar":            raw(`{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}`, 4),
		"empty beyond int":  raw(`{"a":{"dtype":"F64","shape":[9223372036854775807,0],"data_offsets":[0,0]}}`, 0),
		"metadata in place": raw(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"__metadata__":{"k":"v"}}`, 1),
	} {
		f, err := Parse("x", file)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if name == "metadata in place" && f.Metadata["k"] != "v" {
			t.Errorf("metadata is %v", f.Metadata)
		}
		if name == "file order" && (f.Tensors()[0].Name != "a" || f.Tensors()[1].Bytes()[0] != 1) {
			t.Error("tensors are not in file order")
		}
	}
}

// Every proper prefix of a file is an error, never a panic or a shorter model.
func TestTruncation(t *testing.T) {
	file, err := os.ReadFile("testdata/reference.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	for n := range file {
		if _, err := Parse("x", file[:n]); err == nil {
			t.Fatalf("the first %d of %d bytes are accepted", n, len(file))
		}
	}
}

func TestOpenModel(t *testing.T) {
	one := raw(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"x":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}`, 2)
	two := raw(`{"b":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}`, 2)
	const good = `{"metadata":{"total_size":3},"weight_map":{"b":"2.safetensors","a":"1.safetensors"}}`
	for _, c := range []struct {
		name  string
		files map[string]string
		want  string // in the error; empty: opens
	}{
		{"single", map[string]string{SingleName: string(one)}, ""},
		{"single wins", map[string]string{SingleName: string(one), IndexName: `broken`}, ""},
		{"sharded", map[string]string{"1.safetensors": string(one), "2.safetensors": string(two), IndexName: good}, ""},
		{"nothing", nil, "holds neither model.safetensors nor model.safetensors.index.json"},
		{"gguf", map[string]string{"m.gguf": ""}, "m.gguf, which can be opened by naming the file"},
		{"pickle", map[string]string{"pytorch_model.bin": ""}, "save the model as safetensors"},
		{"other name", map[string]string{"weights.safetensors": ""}, "must be renamed"},
		{"missing shard", map[string]string{"1.safetensors": string(one), IndexName: good}, `tensor "b": is placed in 2.safetensors, which is not in the folder`},
		{"missing tensor", map[string]string{"1.safetensors": string(one), "2.safetensors": string(one), IndexName: good}, `tensor "b": is placed in 2.safetensors, which has no such tensor`},
		{"broken shard", map[string]string{"1.safetensors": string(one), "2.safetensors": string(two[:len(two)-1]), IndexName: good}, "2.safetensors: tensor \"b\": ends at byte 2 of a buffer of 1"},
		{"escape", map[string]string{IndexName: `{"weight_map":{"a":"../1.safetensors"}}`}, "expected the name of a file in the same folder"},
		{"escape down", map[string]string{IndexName: `{"weight_map":{"a":"d/1.safetensors"}}`}, "expected the name of a file in the same folder"},
		{"escape up", map[string]string{IndexName: `{"weight_map":{"a":".."}}`}, "expected the name of a file in the same folder"},
		{"backslash", map[string]string{IndexName: `{"weight_map":{"a":"..\\1.safetensors"}}`}, "expected the name of a file in the same folder"},
		{"duplicate", map[string]string{IndexName: `{"weight_map":{"a":"1","a":"2"}}`}, `tensor "a" occurs twice`},
		{"two maps", map[string]string{IndexName: `{"weight_map":{"a":"1"},"weight_map":{"a":"1"}}`}, "weight_map occurs twice"},
		{"no map", map[string]string{IndexName: `{}`}, "missing or empty"},
		{"number", map[string]string{IndexName: `{"weight_map":{"a":1}}`}, "expected a string"},
		{"not json", map[string]string{IndexName: `{`}, "index"},
	} {
		dir := t.TempDir()
		for name, content := range c.files {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		m, err := OpenModel(dir)
		if c.want != "" {
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), dir) {
				t.Errorf("%s: %v, expected %q and the folder", c.name, err, c.want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		a, ok := m.Tensor("a")
		if !ok || !bytes.Equal(a.Bytes(), []byte{0}) || m.Tensors()[0] != a {
			t.Errorf("%s: tensor a is %+v", c.name, a)
		}
		if c.name == "sharded" {
			b, ok := m.Tensor("b")
			if !ok || filepath.Base(b.Path) != "2.safetensors" || len(m.Tensors()) != 2 {
				t.Errorf("%s: tensor b is %+v", c.name, b)
			}
			if len(m.Unlisted) != 1 || m.Unlisted[0] != "1.safetensors: x" {
				t.Errorf("%s: unlisted %q", c.name, m.Unlisted)
			}
			on, err := os.ReadFile(b.Path)
			if err != nil || !bytes.Equal(on[b.Offset:b.Offset+b.Length], b.Bytes()) {
				t.Errorf("%s: Offset does not lead to the tensor's bytes", c.name)
			}
		}
		if err := m.Close(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// The tiny reference models, as Transformers saves them.
func TestReferenceModels(t *testing.T) {
	root := os.Getenv("COMPRESSC_REFERENCE")
	if root == "" {
		root = filepath.Join("..", "..", "..", "..", "shared", "reference")
	}
	dirs, _ := filepath.Glob(filepath.Join(root, "tiny", "*"))
	if len(dirs) == 0 {
		t.Skipf("no reference models in %s", root)
	}
	for _, dir := range dirs {
		m, err := OpenModel(dir)
		if err != nil {
			t.Error(err)
			continue
		}
		var tensors []WriteTensor
		for _, x := range m.Tensors() {
			tensors = append(tensors, given(x.Name, x.Meta.DType, x.Meta.Shape, x.Bytes()))
		}
		want, err := os.ReadFile(filepath.Join(dir, SingleName))
		if err != nil {
			t.Fatal(err)
		}
		if got := write(t, tensors, m.Files[0].Metadata); !bytes.Equal(got, want) {
			t.Errorf("%s: written again, the bytes differ", dir)
		}
		m.Close()
	}
}

func FuzzOpen(f *testing.F) {
	reference, err := os.ReadFile("testdata/reference.safetensors")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(reference)
	f.Add(raw(`{"a":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[],"data_offsets":[8,9]}}`, 9))
	f.Add(raw(`{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}  `, 0))
	f.Add(raw(`{"a":{"dtype":"U8","shape":[18446744073709551615,2],"data_offsets":[0,1]}}`, 1))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse("x", data)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("error of type %T", err)
			}
			return
		}
		// What is accepted tiles the buffer and survives being written.
		at := file.HeaderLength
		var tensors []WriteTensor
		for _, x := range file.Tensors() {
			if x.Offset != at || int64(len(x.Bytes())) != x.Length {
				t.Fatalf("tensor %q at %d of length %d, expected %d", x.Name, x.Offset, x.Length, at)
			}
			at += x.Length
			tensors = append(tensors, given(x.Name, x.Meta.DType, x.Meta.Shape, x.Bytes()))
		}
		if at != int64(len(data)) {
			t.Fatalf("tensors end at %d of %d", at, len(data))
		}
		again, err := Parse("y", write(t, tensors, file.Metadata))
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range file.Tensors() {
			y, ok := again.Tensor(x.Name)
			if !ok || !bytes.Equal(x.Bytes(), y.Bytes()) || x.Meta.String() != y.Meta.String() {
				t.Fatalf("tensor %q does not survive", x.Name)
			}
		}
	})
}
