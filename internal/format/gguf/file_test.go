package gguf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/compressc/compressc/internal/tensor"
)

func writeFile(t testing.TB, w *Writer) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := w.Write(&b); err != nil {
		t.Fatal(err)
	}
	if size, err := w.Size(); err != nil || size != int64(b.Len()) {
		t.Fatalf("Size says %d (%v), Write wrote %d", size, err, b.Len())
	}
	return b.Bytes()
}

func rewrite(f *File) *Writer {
	w := &Writer{KVs: f.KVs}
	for _, x := range f.Tensors() {
		w.Tensors = append(w.Tensors, WriteTensor{Name: x.Name, Meta: x.Meta, Data: func() ([]byte, error) { return x.Bytes(), nil }})
	}
	return w
}

// A file of the gguf Python package: every value type, arrays, four tensor
// types and a three-dimensional tensor. Written again it has the same bytes.
func TestReferenceFile(t *testing.T) {
	f, err := Open("testdata/tiny.gguf")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.Version != 3 || f.Alignment != 32 {
		t.Errorf("version %d, alignment %d", f.Version, f.Alignment)
	}
	for _, want := range []KV{
		{"general.architecture", "llama"},
		{"t.u8", uint8(200)}, {"t.i8", int8(-100)}, {"t.u16", uint16(60000)}, {"t.i16", int16(-30000)},
		{"t.u32", uint32(4000000000)}, {"t.i32", int32(-2000000000)}, {"t.f32", float32(1e-5)},
		{"t.true", true}, {"t.false", false}, {"t.str", "héllo \"world\"\n"},
		{"t.u64", uint64(1 << 63)}, {"t.i64", int64(-1 << 62)}, {"t.f64", 0.1},
		{"t.strings", []string{"a", "", "ĠB"}}, {"t.ints", []int32{1, -2, 3}}, {"t.floats", []float32{0.5, -1.5}},
		{"t.bools", []bool{true, false}},
	} {
		got, ok := f.KVs.Get(want.Key)
		if !ok || !reflect.DeepEqual(got, want.Value) {
			t.Errorf("%s is %v (%T), expected %v (%T)", want.Key, got, got, want.Value, want.Value)
		}
	}
	if v, ok := f.KVs.Float("t.f32"); !ok || v != 1e-5 {
		t.Errorf("Float gives %v", v)
	}
	if _, ok := f.KVs.Int("t.u64"); ok {
		t.Error("2^63 fits an int")
	}
	if v, ok := f.KVs.Ints("t.ints"); !ok || !slices.Equal(v, []int{1, -2, 3}) {
		t.Errorf("Ints gives %v", v)
	}
	for i, want := range []struct {
		name   string
		typ    Type
		dims   []int
		meta   tensor.Meta
		length int64
	}{
		{"blk.0.attn_norm.weight", TypeF32, []int{3}, tensor.Meta{DType: tensor.F32, Shape: []int{3}}, 12},
		{"blk.0.attn_q.weight", TypeQ8_0, []int{32, 4}, tensor.Meta{DType: tensor.F32, Shape: []int{4, 32}, Encoding: "q8_0", RotaryHeadDim: 2}, 136},
		{"blk.0.attn_k.weight", TypeF16, []int{32, 2}, tensor.Meta{DType: tensor.F16, Shape: []int{2, 32}, RotaryHeadDim: 2}, 128},
		{"ids", 26, []int{1, 1, 5}, tensor.Meta{DType: tensor.I32, Shape: []int{5, 1, 1}}, 20},
	} {
		x := f.Tensors()[i]
		if x.Name != want.name || x.Type != want.typ || !slices.Equal(x.Dims, want.dims) || !reflect.DeepEqual(x.Meta, want.meta) || x.Length != want.length {
			t.Errorf("tensor %d is %+v, expected %+v", i, x, want)
		}
	}
	ids := f.Tensors()[3]
	if want := []byte{0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0}; !bytes.Equal(ids.Bytes(), want) {
		t.Errorf("ids are % x", ids.Bytes())
	}
	want, err := os.ReadFile("testdata/tiny.gguf")
	if err != nil {
		t.Fatal(err)
	}
	if got := want[ids.Offset : ids.Offset+ids.Length]; !bytes.Equal(got, ids.Bytes()) {
		t.Error("Offset and Bytes disagree")
	}
	if got := writeFile(t, rewrite(f)); !bytes.Equal(got, want) {
		t.Error("written again, the bytes differ")
	}
}

// build assembles a file from parts; the first section is the head.
type build struct{ b []byte }

func head(version uint32, tensors, kvs uint64) *build {
	x := &build{[]byte(magic)}
	return x.u32(version).u64(tensors).u64(kvs)
}
func (x *build) u32(v uint32) *build { x.b = binary.LittleEndian.AppendUint32(x.b, v); return x }
func (x *build) u64(v uint64) *build { x.b = binary.LittleEndian.AppendUint64(x.b, v); return x }
func (x *build) str(s string) *build { x.b = appendString(x.b, s); return x }
func (x *build) raw(b ...byte) *build {
	x.b = append(x.b, b...)
	return x
}
func (x *build) pad(n int) *build { x.b = append(x.b, make([]byte, n)...); return x }
func (x *build) info(name string, typ uint32, offset uint64, dims ...uint64) *build {
	x.str(name).u32(uint32(len(dims)))
	for _, d := range dims {
		x.u64(d)
	}
	return x.u32(typ).u64(offset)
}

func TestParseErrors(t *testing.T) {
	const big = math.MaxUint64
	for _, c := range []struct {
		name, key, tensor, want string
		file                    *build
	}{
		{"empty", "", "", "0 bytes, expected at least the 24", &build{}},
		{"magic", "", "", `starts with "GGML"`, (&build{}).raw('G', 'G', 'M', 'L').pad(20)},
		{"version 1", "", "", "version 1, expected 2 or 3", head(1, 0, 0)},
		{"version 9", "", "", "version 9", head(9, 0, 0)},
		{"big-endian", "", "", "big-endian", head(3<<24, 0, 0)},
		{"tensor count", "", "", "more than its 24 bytes can hold", head(3, big, 0)},
		{"key count", "", "", "more than its 24 bytes can hold", head(3, 0, big)},
		{"key count just", "", "", "more than its 124 bytes", head(3, 0, 8).pad(100)},
		{"key length", "", "", "string of 18446744073709551615 bytes", head(3, 0, 1).u64(big).pad(20)},
		{"value type", "k", "", "value type 13: expected a value type from 0 to 12", head(3, 0, 1).str("k").u32(13).pad(20)},
		{"bool", "k", "", "BOOL is 2", head(3, 0, 1).str("k").u32(vBool).raw(2).pad(9)},
		{"truncated value", "k", "", "truncated", head(3, 0, 1).str("k").u32(vU64).pad(4)},
		{"string value", "k", "", "string of 9 bytes, but 8 are left", head(3, 0, 1).str("k").u32(vString).u64(9).pad(8)},
		{"array count", "k", "", "array of 18446744073709551615 U8", head(3, 0, 1).str("k").u32(vArray).u32(vU8).u64(big).pad(8)},
		{"array just", "k", "", "array of 3 U32, but only 11 bytes", head(3, 0, 1).str("k").u32(vArray).u32(vU32).u64(3).pad(11)},
		{"string array", "k", "", "array of 3 STRING, but only 16 bytes", head(3, 0, 1).str("k").u32(vArray).u32(vString).u64(3).pad(16)},
		{"string in array", "k", "", "element 1 of 2", head(3, 0, 1).str("k").u32(vArray).u32(vString).u64(2).str("").u64(1)},
		{"nested array", "k", "", "array of arrays", head(3, 0, 1).str("k").u32(vArray).u32(vArray).u64(1).pad(20)},
		{"array type", "k", "", "array of value type 77", head(3, 0, 1).str("k").u32(vArray).u32(77).u64(1).pad(20)},
		{"duplicate key", "k", "", "occurs twice", head(3, 0, 2).str("k").u32(vU8).raw(1).str("k").u32(vU8).raw(1)},
		{"alignment 0", alignmentKey, "", "power of two", head(3, 0, 1).str(alignmentKey).u32(vU32).u32(0)},
		{"alignment 3", alignmentKey, "", "power of two", head(3, 0, 1).str(alignmentKey).u32(vU32).u32(3)},
		{"alignment type", alignmentKey, "", "(uint8)", head(3, 0, 1).str(alignmentKey).u32(vU8).raw(32)},
		{"tensor name", "", strings.Repeat("x", 64), "name has 64 bytes", head(3, 1, 0).info(strings.Repeat("x", 64), 0, 0, 1).pad(64)},
		{"dimensions", "", "a", "5 dimensions", head(3, 1, 0).info("a", 0, 0, 1, 1, 1, 1, 1).pad(64)},
		{"dimension count", "", "a", "4294967295 dimensions", head(3, 1, 0).str("a").u32(math.MaxUint32).pad(64)},
		{"type", "", "a", "unknown tensor type 4", head(3, 1, 0).info("a", 4, 0, 32).pad(64)},
		{"block", "", "a", "rows of 33 elements, expected a multiple of the 32 in a block of Q4_0", head(3, 1, 0).info("a", 2, 0, 33).pad(64)},
		{"scalar block", "", "a", "rows of 1 elements", head(3, 1, 0).info("a", 2, 0).pad(64)},
		{"overflow", "", "a", "larger than any file", head(3, 1, 0).info("a", 0, 0, 1<<32, 1<<32).pad(64)},
		{"overflow in one", "", "a", "larger than any file", head(3, 1, 0).info("a", 0, 0, big).pad(64)},
		{"beyond int", "", "a", "larger than any file", head(3, 1, 0).info("a", 0, 0, 1<<62).pad(64)},
		{"too long", "", "a", "needs bytes 64 to 4194368 of the file, which has 121", head(3, 1, 0).info("a", 0, 0, 1<<20).pad(64)},
		{"short by one", "", "a", "it is truncated", head(3, 1, 0).info("a", 0, 0, 8).pad(7 + 31)},
		{"offset", "", "a", "has offset 32, expected 0", head(3, 1, 0).info("a", 0, 32, 1).pad(99)},
		{"overlap", "", "b", "has offset 0, expected 32", head(3, 2, 0).info("a", 0, 0, 1).info("b", 0, 0, 1).pad(99)},
		{"duplicate tensor", "", "a", "occurs twice", head(3, 2, 0).info("a", 0, 0, 1).info("a", 0, 32, 1).pad(99)},
		{"second tensor missing", "", "#1 of 2", "truncated", head(3, 2, 0).info("a tensor of some length", 0, 0, 1)},
	} {
		_, err := Parse("model.gguf", c.file.b)
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%s: error %v, expected an *Error", c.name, err)
			continue
		}
		if e.Path != "model.gguf" || e.Key != c.key || e.Tensor != c.tensor || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v (key %q, tensor %q), expected %q for key %q, tensor %q", c.name, err, e.Key, e.Tensor, c.want, c.key, c.tensor)
		}
	}
}

func TestParseAccepts(t *testing.T) {
	for _, c := range []struct {
		name string
		file *build
		n    int // tensors
	}{
		{"version 2", head(2, 1, 0).info("a", 0, 0, 1).pad(31 + 4), 1},
		{"nothing", head(3, 0, 0), 0},
		{"scalar", head(3, 1, 0).info("a", 0, 0).pad(64), 1},
		{"empty tensors share an offset", head(3, 2, 0).info("a", 0, 0, 0, 1<<40).info("b", 0, 0, 0).pad(30), 2},
		{"no padding at the end", head(3, 1, 0).info("a", 0, 0, 1).pad(64 - 24 - 33 + 4), 1},
		{"alignment 1", head(3, 2, 1).str(alignmentKey).u32(vU32).u32(1).info("a", 24, 0, 3).info("b", 24, 3, 1).pad(4), 2},
		{"type without decoder", head(3, 1, 0).info("a", 23, 0, 256).pad(200), 1},
	} {
		f, err := Parse("x", c.file.b)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if len(f.Tensors()) != c.n {
			t.Errorf("%s: %d tensors", c.name, len(f.Tensors()))
		}
		for _, x := range f.Tensors() {
			if int64(len(x.Bytes())) != x.Length {
				t.Errorf("%s: %d bytes of %d", c.name, len(x.Bytes()), x.Length)
			}
		}
	}
}

// Every prefix that cuts into the content is an error, never a panic.
func TestTruncation(t *testing.T) {
	file, err := os.ReadFile("testdata/tiny.gguf")
	if err != nil {
		t.Fatal(err)
	}
	f, err := Parse("x", file)
	if err != nil {
		t.Fatal(err)
	}
	last := f.Tensors()[len(f.Tensors())-1]
	for n := range int(last.Offset + last.Length) {
		if _, err := Parse("x", file[:n]); err == nil {
			t.Fatalf("the first %d of %d bytes are accepted", n, len(file))
		}
	}
}

func TestRoundTrip(t *testing.T) {
	values := []any{
		uint8(1), int8(-1), uint16(2), int16(-2), uint32(3), int32(-3), float32(0.5), true, "s", uint64(4), int64(-4), 0.25,
		[]uint8{1, 2}, []int8{-1}, []uint16{}, []int16{-5}, []uint32{7}, []int32{-7}, []float32{1.5}, []bool{true}, []string{"a", ""}, []uint64{9}, []int64{-9}, []float64{2.5},
	}
	rapid.Check(t, func(rt *rapid.T) {
		w := &Writer{}
		for i, key := range rapid.SliceOfNDistinct(rapid.StringN(0, 20, -1), 0, 6, rapid.ID[string]).Draw(rt, "keys") {
			if key == alignmentKey {
				continue
			}
			w.KVs = append(w.KVs, KV{key, values[(rapid.IntRange(0, len(values)-1).Draw(rt, "value")+i)%len(values)]})
		}
		alignment := 32
		if rapid.Bool().Draw(rt, "own alignment") {
			alignment = 1 << rapid.IntRange(0, 8).Draw(rt, "alignment")
			w.KVs = append(w.KVs, KV{alignmentKey, uint32(alignment)})
		}
		data := map[string][]byte{}
		for i, name := range rapid.SliceOfNDistinct(rapid.StringN(0, 12, 63), 0, 5, rapid.ID[string]).Draw(rt, "names") {
			info := types[rapid.IntRange(0, len(types)-1).Draw(rt, "type")]
			meta := tensor.Meta{DType: info.dtype, Shape: []int{}}
			if info.dtype == "" {
				meta.DType, meta.Encoding = tensor.F32, info.name
			}
			meta.Shape = append(rapid.SliceOfN(rapid.IntRange(0, 3), 0, 3).Draw(rt, "shape"), info.elems*rapid.IntRange(0, 2).Draw(rt, "blocks"))
			row, _ := RowBytes(meta)
			n := row
			for _, d := range meta.Shape[:len(meta.Shape)-1] {
				n *= d
			}
			data[name] = bytes.Repeat([]byte{byte(i + 1)}, n)
			w.Tensors = append(w.Tensors, WriteTensor{name, meta, func() ([]byte, error) { return data[name], nil }})
		}
		file := writeFile(t, w)
		f, err := Parse("x", file)
		if err != nil {
			rt.Fatal(err)
		}
		if len(f.KVs) != len(w.KVs) || len(f.Tensors()) != len(w.Tensors) || f.Alignment != alignment {
			rt.Fatalf("%d keys, %d tensors, alignment %d", len(f.KVs), len(f.Tensors()), f.Alignment)
		}
		for i, kv := range w.KVs {
			if !reflect.DeepEqual(f.KVs[i], kv) {
				rt.Errorf("%v comes back as %v", kv, f.KVs[i])
			}
		}
		for i, x := range w.Tensors {
			got := f.Tensors()[i]
			if got.Name != x.Name || got.Meta.String() != x.Meta.String() || !bytes.Equal(got.Bytes(), data[x.Name]) {
				rt.Errorf("%s %s comes back as %s %s", x.Name, x.Meta, got.Name, got.Meta)
			}
			if got.Offset%int64(alignment) != 0 {
				rt.Errorf("%s lies at %d, not aligned to %d", x.Name, got.Offset, alignment)
			}
		}
		if again := writeFile(t, rewrite(f)); !bytes.Equal(again, file) {
			rt.Error("written again, the bytes differ")
		}
	})
}

func TestWriteErrors(t *testing.T) {
	f32 := tensor.Meta{DType: tensor.F32, Shape: []int{2}}
	give := func(name string, meta tensor.Meta, n int) WriteTensor {
		return WriteTensor{name, meta, func() ([]byte, error) { return make([]byte, n), nil }}
	}
	broken := errors.New("disk on fire")
	llama := KVs{{"general.architecture", "llama"}, {"llama.attention.head_count", uint32(1)}}
	for _, c := range []struct {
		name string
		w    Writer
		want string
	}{
		{"key twice", Writer{KVs: KVs{{"a", true}, {"a", true}}}, `key "a": given twice`},
		{"value type", Writer{KVs: KVs{{"a", 1}}}, "a int cannot be written"},
		{"alignment", Writer{KVs: KVs{{alignmentKey, uint32(24)}}}, "power of two"},
		{"tensor twice", Writer{Tensors: []WriteTensor{give("a", f32, 8), give("a", f32, 8)}}, `tensor "a": given twice`},
		{"length", Writer{Tensors: []WriteTensor{give("a", f32, 7)}}, "data has 7 bytes, expected 8"},
		{"name", Writer{Tensors: []WriteTensor{give(strings.Repeat("n", 64), f32, 8)}}, "name has 64 bytes"},
		{"rank", Writer{Tensors: []WriteTensor{give("a", tensor.Meta{DType: tensor.F32, Shape: make([]int, 5)}, 0)}}, "5 dimensions"},
		{"dtype", Writer{Tensors: []WriteTensor{give("a", tensor.Meta{DType: tensor.U32, Shape: []int{1}}, 4)}}, "no GGUF tensor type"},
		{"blocks", Writer{Tensors: []WriteTensor{give("a", tensor.Meta{DType: tensor.F32, Encoding: "q6_k", Shape: []int{2, 576}}, 0)}}, "not whole blocks of 256"},
		{"huge", Writer{Tensors: []WriteTensor{give("a", tensor.Meta{DType: tensor.F32, Shape: []int{1 << 20, 1 << 20, 1 << 30}}, 0)}}, "larger than any file"},
		{"negative", Writer{Tensors: []WriteTensor{give("a", tensor.Meta{DType: tensor.F32, Shape: []int{-1, 2}}, 0)}}, "negative"},
		{"data", Writer{Tensors: []WriteTensor{{"a", f32, func() ([]byte, error) { return nil, broken }}}}, "disk on fire"},
		{"usual order", Writer{KVs: llama, Tensors: []WriteTensor{give("blk.0.attn_q.weight", tensor.Meta{DType: tensor.F32, Shape: []int{4, 2}}, 32)}}, "heads of 0, expected 4"},
		{"rotary order", Writer{Tensors: []WriteTensor{give("blk.0.attn_q.weight", tensor.Meta{DType: tensor.F32, Shape: []int{4, 2}, RotaryHeadDim: 4}, 32)}}, "heads of 4, expected 0"},
	} {
		err := c.w.Write(&bytes.Buffer{})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, expected %q", c.name, err, c.want)
		}
		if c.name == "data" && !errors.Is(err, broken) {
			t.Errorf("the cause is not wrapped: %v", err)
		}
	}
	w := Writer{Tensors: []WriteTensor{give("a", f32, 8), give("b", f32, 8)}}
	for n := range 7 {
		err := w.Write(&failAfter{n})
		if (err == nil) != (n >= 5) {
			t.Errorf("writer failing after %d writes: %v", n, err)
		}
	}
}

type failAfter struct{ n int }

func (f *failAfter) Write(p []byte) (int, error) {
	if f.n--; f.n < 0 {
		return 0, errors.New("full")
	}
	return len(p), nil
}

func TestKVs(t *testing.T) {
	kvs := KVs{{"a", uint32(1)}, {"b", "x"}}
	kvs = kvs.Set("a", uint32(2)).Set("c", true)
	if fmt.Sprint(kvs) != "[{a 2} {b x} {c true}]" {
		t.Errorf("Set gives %v", kvs)
	}
	if n, ok := kvs.Int("a"); !ok || n != 2 {
		t.Errorf("a is %d", n)
	}
	if _, ok := kvs.Int("b"); ok {
		t.Error("a string passes as an integer")
	}
	if b, ok := kvs.Bool("c"); !ok || !b {
		t.Error("c is not true")
	}
	if _, ok := (KVs{{"a", []uint64{1 << 63}}}).Ints("a"); ok {
		t.Error("2^63 fits an int")
	}
}

func referencePath(t testing.TB, elem ...string) string {
	t.Helper()
	root := os.Getenv("COMPRESSC_REFERENCE")
	if root == "" {
		root = filepath.Join("..", "..", "..", "..", "shared", "reference")
	}
	path := filepath.Join(append([]string{root}, elem...)...)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("no reference model: %v", err)
	}
	return path
}

// The reference model as a whole: what it holds, what its metadata says, and
// that head and padding are written byte for byte.
func TestReferenceModel(t *testing.T) {
	f, err := Open(referencePath(t, "smollm2-135m-instruct-q4_1.gguf"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if len(f.Tensors()) != 272 || len(f.KVs) != 33 {
		t.Errorf("%d tensors and %d keys, expected 272 and 33", len(f.Tensors()), len(f.KVs))
	}
	types, params, linear := map[Type]int{}, 0, 0
	for _, x := range f.Tensors() {
		types[x.Type]++
		params += x.Meta.Elements()
		if x.Type == TypeQ4_1 {
			linear += x.Meta.Elements()
		}
		hf, ok := HFName(x.Name)
		if !ok {
			t.Errorf("%s has no Hugging Face name", x.Name)
		}
		if back, _ := GGUFName(hf); back != x.Name {
			t.Errorf("%s becomes %s and then %s", x.Name, hf, back)
		}
		want := 0
		if strings.HasSuffix(x.Name, "attn_q.weight") || strings.HasSuffix(x.Name, "attn_k.weight") {
			want = 64
		}
		if x.Meta.RotaryHeadDim != want {
			t.Errorf("%s: rotary head %d, expected %d", x.Name, x.Meta.RotaryHeadDim, want)
		}
	}
	if types[TypeQ4_1] != 210 || types[TypeF32] != 61 || types[TypeQ8_0] != 1 || params != 134_515_008 || linear != 106_168_320 {
		t.Errorf("types %v, %d parameters, %d in Q4_1", types, params, linear)
	}
	if fileType, quantized := FileType(rewrite(f).Tensors); fileType != 3 || !quantized {
		t.Errorf("file type %d, quantized %v, expected 3, true", fileType, quantized)
	}
	config, err := ConfigFromGGUF(f)
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{
		"model_type": "llama", "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
		"num_attention_heads": 9, "num_key_value_heads": 3, "head_dim": 64, "rms_norm_eps": 1e-5, "rope_theta": 100000.0,
		"vocab_size": 49152, "max_position_embeddings": 8192, "tie_word_embeddings": true, "attention_bias": false, "mlp_bias": false,
		"bos_token_id": 1, "eos_token_id": 2,
	} {
		if config[key] != want {
			t.Errorf("config %s is %v, expected %v", key, config[key], want)
		}
	}
	want, err := os.ReadFile(f.Path)
	if err != nil {
		t.Fatal(err)
	}
	if got := writeFile(t, rewrite(f)); !bytes.Equal(got, want) {
		t.Error("written again, the bytes differ")
	}
	// Requantising what Q4_1 decodes to is the identity for most blocks: the
	// weights lie on that grid.
	x, _ := f.Tensor("blk.0.attn_v.weight")
	values := make([]float32, x.Meta.Elements())
	if err := DequantizeRows(x.Meta, values, x.Bytes()); err != nil {
		t.Fatal(err)
	}
	again := make([]byte, x.Length)
	if err := Quantize("q4_1", again, values); err != nil {
		t.Fatal(err)
	}
	back := make([]float32, len(values))
	if err := Dequantize("q4_1", back, again); err != nil {
		t.Fatal(err)
	}
	var e, n float64
	for i := range values {
		d := float64(back[i] - values[i])
		e += d * d
		n += float64(values[i]) * float64(values[i])
	}
	if rel := math.Sqrt(e / n); rel > 1e-3 {
		t.Errorf("quantising the model's own grid again moves it by %v", rel)
	}
}

func FuzzOpen(f *testing.F) {
	tiny, err := os.ReadFile("testdata/tiny.gguf")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(tiny)
	f.Add(head(3, 1, 0).info("a", 2, 0, 32, 2).pad(64).b)
	f.Add(head(2, 2, 1).str(alignmentKey).u32(vU32).u32(1).info("a", 24, 0, 3).info("b", 24, 3, 1).pad(4).b)
	f.Add(head(3, 0, 1).str("k").u32(vArray).u32(vString).u64(2).str("a").str("b").b)
	f.Add(head(3, 1, 0).info("a", 0, 0, 1<<62, 1<<62).pad(64).b)
	f.Add(writeFile(f, rewrite(model(f, parseConfig(f, llama3Config)))))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse("x", data)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("error of type %T", err)
			}
			return
		}
		for _, x := range file.Tensors() {
			if int64(len(x.Bytes())) != x.Length || x.Offset+x.Length > int64(len(data)) {
				t.Fatalf("tensor %q: %d bytes at %d of %d", x.Name, x.Length, x.Offset, len(data))
			}
			n := 1
			for _, d := range x.Dims {
				n *= d
			}
			if x.Meta.Encoding != "" && CanDequantize(x.Meta.Encoding) && n < 1<<16 {
				if err := DequantizeRows(x.Meta, make([]float32, n), x.Bytes()); err != nil {
					t.Fatal(err)
				}
			}
		}
		if _, err := ConfigFromGGUF(file); err != nil {
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("config error of type %T", err)
			}
		}
		if file.Alignment > 1<<16 {
			return // writing pads to it
		}
		again, err := Parse("y", writeFile(t, rewrite(file)))
		if err != nil {
			t.Fatal(err)
		}
		if len(again.KVs) != len(file.KVs) || len(again.Tensors()) != len(file.Tensors()) {
			t.Fatal("keys or tensors do not survive")
		}
		for i, x := range file.Tensors() {
			if !bytes.Equal(x.Bytes(), again.Tensors()[i].Bytes()) {
				t.Fatalf("tensor %q does not survive", x.Name)
			}
		}
	})
}
