package safetensors

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/compressc/compressc/internal/tensor"
)

func write(t testing.TB, tensors []WriteTensor, metadata map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, tensors, metadata); err != nil {
		t.Fatal(err)
	}
	size, err := Size(tensors, metadata)
	if err != nil {
		t.Fatal(err)
	}
	if size != int64(b.Len()) {
		t.Fatalf("Size says %d, Write wrote %d", size, b.Len())
	}
	return b.Bytes()
}

func given(name string, dtype tensor.DType, shape []int, data []byte) WriteTensor {
	return WriteTensor{Name: name, Meta: tensor.Meta{DType: dtype, Shape: shape}, Data: func() ([]byte, error) { return data, nil }}
}

// The header of a published example: three dtypes, the padding to eight bytes.
func TestGoldenHeader(t *testing.T) {
	file := write(t, []WriteTensor{
		given("c", tensor.U8, []int{5}, make([]byte, 5)),
		given("b", tensor.F32, []int{3}, make([]byte, 12)),
		given("a", tensor.I64, []int{2}, make([]byte, 16)),
	}, map[string]string{"format": "pt"})
	const want = `{"__metadata__":{"format":"pt"},"a":{"dtype":"I64","shape":[2],"data_offsets":[0,16]},"b":{"dtype":"F32","shape":[3],"data_offsets":[16,28]},"c":{"dtype":"U8","shape":[5],"data_offsets":[28,33]}}     `
	if n := binary.LittleEndian.Uint64(file); n != 200 {
		t.Errorf("header length %d, expected 200", n)
	}
	if got := string(file[8:208]); got != want {
		t.Errorf("header\n%q, expected\n%q", got, want)
	}
	if len(file) != 208+33 {
		t.Errorf("file of %d bytes, expected %d", len(file), 208+33)
	}
}

// Reading the reference implementation's file and writing it again must give
// its bytes, whatever order the tensors are handed over in: every dtype, an
// empty tensor, a scalar, and a name with characters that JSON writers differ on.
func TestReferenceBytes(t *testing.T) {
	want, err := os.ReadFile("testdata/reference.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	f, err := Open("testdata/reference.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if len(f.Tensors()) != 33 {
		t.Fatalf("%d tensors, expected 33", len(f.Tensors()))
	}
	var tensors []WriteTensor
	for _, x := range f.Tensors() {
		tensors = append(tensors, given(x.Name, x.Meta.DType, x.Meta.Shape, x.Bytes()))
		if got := want[x.Offset : x.Offset+x.Length]; !bytes.Equal(got, x.Bytes()) {
			t.Errorf("tensor %q: Offset and Bytes disagree", x.Name)
		}
	}
	for seed := range uint64(20) {
		rand.New(rand.NewPCG(seed, 0)).Shuffle(len(tensors), func(i, j int) { tensors[i], tensors[j] = tensors[j], tensors[i] })
		if got := write(t, tensors, f.Metadata); !bytes.Equal(got, want) {
			t.Fatalf("seed %d: bytes differ from the reference implementation's", seed)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		names := rapid.SliceOfNDistinct(rapid.String().Filter(func(s string) bool { return s != metadataKey }), 0, 8, rapid.ID[string]).Draw(rt, "names")
		var tensors []WriteTensor
		data := map[string][]byte{}
		metas := map[string]tensor.Meta{}
		for _, name := range names {
			dtype := rapid.SampledFrom(dtypeOrder).Draw(rt, "dtype")
			shape := rapid.SliceOfN(rapid.IntRange(0, 4), 0, 4).Draw(rt, "shape")
			meta := tensor.Meta{DType: dtype, Shape: shape}
			b := make([]byte, meta.Elements()*dtype.Size())
			for i := range b {
				b[i] = byte(len(data)*7 + i)
			}
			data[name], metas[name] = b, meta
			tensors = append(tensors, given(name, dtype, shape, b))
		}
		metadata := rapid.MapOf(rapid.String(), rapid.String()).Draw(rt, "metadata")
		file := write(t, tensors, metadata)
		f, err := Parse("x", file)
		if err != nil {
			rt.Fatal(err)
		}
		if f.HeaderLength%8 != 0 {
			rt.Errorf("buffer starts at %d, expected a multiple of 8", f.HeaderLength)
		}
		if len(f.Tensors()) != len(names) || len(f.Metadata) != len(metadata) {
			rt.Fatalf("%d tensors and %d metadata come back, expected %d and %d", len(f.Tensors()), len(f.Metadata), len(names), len(metadata))
		}
		for k, v := range metadata {
			if f.Metadata[k] != v {
				rt.Errorf("metadata %q is %q, expected %q", k, f.Metadata[k], v)
			}
		}
		for _, name := range names {
			x, ok := f.Tensor(name)
			if !ok {
				rt.Fatalf("tensor %q is lost", name)
			}
			if x.Meta.String() != metas[name].String() || !bytes.Equal(x.Bytes(), data[name]) {
				rt.Errorf("tensor %q comes back as %s", name, x.Meta)
			}
			if x.Offset%int64(x.Meta.DType.Size()) != 0 {
				rt.Errorf("tensor %q: offset %d is not aligned for %s", name, x.Offset, x.Meta.DType)
			}
		}
	})
}

func TestWriteErrors(t *testing.T) {
	ok := given("a", tensor.F32, []int{1}, make([]byte, 4))
	broken := errors.New("disk on fire")
	for _, c := range []struct {
		name    string
		tensors []WriteTensor
		want    string
	}{
		{"duplicate", []WriteTensor{ok, ok}, "given twice"},
		{"short data", []WriteTensor{given("a", tensor.F32, []int{2}, make([]byte, 4))}, "data has 4 bytes, expected 8"},
		{"encoded", []WriteTensor{{Name: "a", Meta: tensor.Meta{DType: tensor.F32, Shape: []int{32}, Encoding: "q4_0"}}}, "q4_0 blocks"},
		{"rotary", []WriteTensor{{Name: "a", Meta: tensor.Meta{DType: tensor.F32, Shape: []int{32}, RotaryHeadDim: 8}}}, "rotary"},
		{"dtype", []WriteTensor{given("a", "F4", []int{2}, nil)}, `dtype "F4"`},
		{"negative", []WriteTensor{given("a", tensor.F32, []int{-1}, nil)}, "negative"},
		{"huge", []WriteTensor{given("a", tensor.F32, []int{1 << 20, 1 << 20, 1 << 30}, nil)}, "larger than any file"},
		{"utf8", []WriteTensor{given("\xff", tensor.F32, []int{1}, nil)}, "UTF-8"},
		{"metadata name", []WriteTensor{given(metadataKey, tensor.F32, []int{1}, nil)}, "cannot be the name"},
		{"data error", []WriteTensor{{Name: "a", Meta: ok.Meta, Data: func() ([]byte, error) { return nil, broken }}}, "disk on fire"},
	} {
		err := Write(&bytes.Buffer{}, c.tensors, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, expected %q", c.name, err, c.want)
		}
		if c.name == "data error" && !errors.Is(err, broken) {
			t.Errorf("the cause is not wrapped: %v", err)
		}
	}
	for n := range 5 { // a failing writer, at the header and at each tensor
		err := Write(&failAfter{n}, []WriteTensor{ok, given("b", tensor.F32, []int{1}, make([]byte, 4))}, nil)
		if (err == nil) != (n >= 3) {
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

// What is to be made ready is, before a tensor is read and once, of all but the
// first and those behind one that fails.
func TestAhead(t *testing.T) {
	for _, fails := range []bool{false, true} {
		ready := map[string]int{}
		var tensors []WriteTensor
		for _, name := range []string{"a", "b", "c"} {
			tensors = append(tensors, WriteTensor{Name: name, Meta: tensor.Meta{DType: tensor.U8, Shape: []int{1}}, Data: func() ([]byte, error) {
				if name == "c" && ready["c"] != 1 {
					t.Errorf("c was made ready %d times before it was read", ready["c"])
				}
				if fails && name == "b" {
					return nil, errors.New("gone")
				}
				return []byte{1}, nil
			}})
			if name != "b" {
				tensors[len(tensors)-1].Ahead = func() { ready[name]++ }
			}
		}
		if err := Write(new(bytes.Buffer), tensors, nil); (err != nil) != fails {
			t.Errorf("writing: %v", err)
		}
		want := 1
		if fails {
			want = 0
		}
		if ready["a"] != 0 || ready["c"] != want {
			t.Errorf("made ready: %v", ready)
		}
	}
}
