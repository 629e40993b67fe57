package gguf

import (
	"bytes"
	"encoding/hex"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/compressc/compressc/internal/format/half"
	"github.com/compressc/compressc/internal/format/safetensors"
	"github.com/compressc/compressc/internal/tensor"
)

var decodedTypes = []string{"q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "tq2_0"}

func fixture(t testing.TB) *safetensors.File {
	t.Helper()
	f, err := safetensors.Open("testdata/blocks.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func fixtureTensor(t testing.TB, f *safetensors.File, name string) *safetensors.Tensor {
	t.Helper()
	x, ok := f.Tensor(name)
	if !ok {
		t.Fatalf("fixture has no %q", name)
	}
	return x
}

func floats(t testing.TB, f *safetensors.File, name string) []float32 {
	t.Helper()
	x := fixtureTensor(t, f, name)
	v := make([]float32, x.Meta.Elements())
	half.F32FromBytes(v, x.Bytes())
	return v
}

// Random blocks decode to the bits the gguf Python package decodes them to.
func TestDequantizeReference(t *testing.T) {
	f := fixture(t)
	for _, enc := range decodedTypes {
		want := floats(t, f, enc+".values")
		got := make([]float32, len(want))
		if err := Dequantize(enc, got, fixtureTensor(t, f, enc+".blocks").Bytes()); err != nil {
			t.Fatal(err)
		}
		for i := range want {
			if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
				t.Errorf("%s[%d]: %v (%#x), expected %v (%#x)", enc, i, got[i], math.Float32bits(got[i]), want[i], math.Float32bits(want[i]))
				break
			}
		}
	}
}

// Values with every awkward block encode to the bytes of the gguf package.
func TestQuantizeReference(t *testing.T) {
	f := fixture(t)
	source := floats(t, f, "source")
	for _, enc := range []string{"q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "f16", "bf16"} {
		want := fixtureTensor(t, f, enc+".packed").Bytes()
		got := make([]byte, len(want))
		if err := Quantize(enc, got, source); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			_, size, _ := BlockSize(enc)
			for i := 0; i < len(want); i += size {
				if !bytes.Equal(got[i:i+size], want[i:i+size]) {
					t.Errorf("%s block %d: %x, expected %x", enc, i/size, got[i:i+size], want[i:i+size])
				}
			}
		}
	}
}

func TestGoldenBytes(t *testing.T) {
	var ramp, spikes [32]float32
	for i := range ramp {
		ramp[i] = float32(7*i%16-8) * 0.125
	}
	copy(spikes[:], []float32{-8, 4, 1.4, -1.6})
	for _, c := range []struct {
		encoding, want string // want may be a prefix
		values         *[32]float32
	}{
		{"q4_0", "00300077ee55cc33aa1188ff66dd44bb2299", &ramp},
		{"q4_1", "003000bc0077ee55cc33aa1188ff66dd44bb2299", &ramp},
		{"q5_0", "002c54ab54ab00eeccaa8866442200eeccaa88664422", &ramp},
		{"q8_0", "082081f05fd040b12091006fe04fc030a11081f05fd040b12091006fe04fc030a110", &ramp},
		{"q4_0", "003c808c8986", &spikes},
		{"q8_0", "082c814016e700", &spikes},
	} {
		_, size, _ := BlockSize(c.encoding)
		got := make([]byte, size)
		if err := Quantize(c.encoding, got, c.values[:]); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(hex.EncodeToString(got), c.want) {
			t.Errorf("%s: %x, expected %s", c.encoding, got, c.want)
		}
	}
	var got [32]float32
	var b [34]byte
	for enc, want := range map[string][]float32{
		"q4_0": {-8, 4, 1, -2, 0},
		"q8_0": {-7.99951171875, 4.03125, 1.3857421875, -1.57470703125, 0},
	} {
		_, size, _ := BlockSize(enc)
		if err := Quantize(enc, b[:size], spikes[:]); err != nil {
			t.Fatal(err)
		}
		if err := Dequantize(enc, got[:], b[:size]); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got[:5], want) {
			t.Errorf("%s decodes to %v, expected %v", enc, got[:5], want)
		}
	}
}

func TestGoldenKQuants(t *testing.T) {
	q4k := make([]byte, 144)
	half.F32ToF16(q4k[:4], []float32{1, 0.5})
	packScales((*[12]byte)(q4k[4:]), &[8]uint8{1, 2, 3, 4, 37, 38, 39, 40}, &[8]uint8{0, 1, 2, 3, 20, 21, 22, 63})
	if want := []byte{129, 130, 131, 132, 64, 65, 66, 195, 69, 86, 103, 248}; !bytes.Equal(q4k[4:16], want) {
		t.Errorf("scales pack to %v, expected %v", q4k[4:16], want)
	}
	for i := range 128 {
		q4k[16+i] = byte(i%16 | (i+3)%16<<4)
	}
	q6k := make([]byte, 210)
	for i := range 128 {
		q6k[i] = byte(7 * i)
	}
	for i := range 64 {
		q6k[128+i] = byte(5 * i)
	}
	for i := range 16 {
		q6k[192+i] = byte(i - 8)
	}
	half.F32ToF16(q6k[208:], []float32{0.25})
	for _, c := range []struct {
		encoding string
		block    []byte
		at       []int
		want     []float32
	}{
		{"q4_k", q4k, []int{0, 1, 31, 32, 63, 64, 128, 160, 192, 224, 255}, []float32{0, 1, 15, 5.5, 3.5, -1, -10, 103.5, -11, 88.5, 48.5}},
		{"q6_k", q6k, []int{0, 1, 16, 32, 64, 96, 127, 128, 200, 255}, []float32{64, 18, 56, 48, 32, 9, -2.75, 0, -17, -43.75}},
	} {
		got := make([]float32, 256)
		if err := Dequantize(c.encoding, got, c.block); err != nil {
			t.Fatal(err)
		}
		for i, at := range c.at {
			if got[at] != c.want[i] {
				t.Errorf("%s[%d] = %v, expected %v", c.encoding, at, got[at], c.want[i])
			}
		}
	}
}

func TestScalePacking(t *testing.T) {
	var b [12]byte
	packScales(&b, &[8]uint8{1, 2, 3, 4, 33, 34, 35, 63}, &[8]uint8{5, 6, 7, 8, 40, 41, 42, 62})
	if got := hex.EncodeToString(b[:]); got != "818283c4858687c88192a3ef" {
		t.Errorf("packed %s", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		var s, m [8]uint8
		for i := range 8 {
			s[i], m[i] = rapid.Uint8Range(0, 63).Draw(t, "s"), rapid.Uint8Range(0, 63).Draw(t, "m")
		}
		var b [12]byte
		packScales(&b, &s, &m)
		if s2, m2 := unpackScales(&b); s2 != s || m2 != m {
			t.Fatalf("%v %v come back as %v %v", s, m, s2, m2)
		}
	})
}

// The error bound of each encoder: half a step of the stored scale, and what
// rounding the scale to F16 moves the largest code by.
func TestQuantizeError(t *testing.T) {
	// Symmetric types reach one step beyond the largest code on the side that
	// has fewer of them.
	types := map[string]struct{ steps, codes float64 }{"q4_0": {1, 8}, "q4_1": {0.5, 15}, "q5_0": {1, 16}, "q5_1": {0.5, 31}, "q8_0": {0.5, 127}}
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		scale := rapid.Float32Range(1e-3, 100).Draw(t, "scale")
		r := rand.New(rand.NewPCG(seed, 1))
		src := make([]float32, 64)
		for i := range src {
			src[i] = (r.Float32()*2 - 1) * scale
		}
		for enc, bound := range types {
			_, size, _ := BlockSize(enc)
			b := make([]byte, 2*size)
			if err := Quantize(enc, b, src); err != nil {
				t.Fatal(err)
			}
			got := make([]float32, 64)
			if err := Dequantize(enc, got, b); err != nil {
				t.Fatal(err)
			}
			for i := range src {
				d := math.Abs(float64(f16at(b[i/32*size:])))
				rounding := bound.codes*max(d/2048, 1.0/(1<<25)) + float64(scale)/2048
				if e := math.Abs(float64(got[i] - src[i])); e > 1.001*(d*bound.steps+rounding) {
					t.Fatalf("%s[%d]: %v becomes %v, off by %v with d = %v", enc, i, src[i], got[i], e, d)
				}
			}
		}
	})
}

// More bits, less error.
func TestErrorOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	src := make([]float32, 1<<14)
	for i := range src { // a sum of uniforms is Gaussian enough
		src[i] = r.Float32() + r.Float32() + r.Float32() + r.Float32() - 2
	}
	last := math.Inf(1)
	for _, enc := range []string{"q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "bf16", "f16", "f32"} {
		elems, size, _ := BlockSize(enc)
		b := make([]byte, len(src)/elems*size)
		if err := Quantize(enc, b, src); err != nil {
			t.Fatal(err)
		}
		got := make([]float32, len(src))
		if err := Dequantize(enc, got, b); err != nil {
			t.Fatal(err)
		}
		sum := 0.0
		for i := range src {
			e := float64(got[i]) - float64(src[i])
			sum += e * e
		}
		if !(sum < last) {
			t.Errorf("%s has error %v, expected less than the %v before it", enc, sum, last)
		}
		last = sum
	}
	if last != 0 {
		t.Errorf("f32 has error %v", last)
	}
}

// Pruned weights stay exactly zero in the symmetric types.
func TestZerosSurvive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 3))
		src := make([]float32, 32)
		for i := range src {
			if i%4 < 2 {
				src[i] = r.Float32() - 0.5
			}
		}
		for _, enc := range []string{"q4_0", "q5_0", "q8_0"} {
			_, size, _ := BlockSize(enc)
			b := make([]byte, size)
			if err := Quantize(enc, b, src); err != nil {
				t.Fatal(err)
			}
			got := make([]float32, 32)
			if err := Dequantize(enc, got, b); err != nil {
				t.Fatal(err)
			}
			for i := range src {
				if src[i] == 0 && got[i] != 0 {
					t.Fatalf("%s[%d]: a zero becomes %v", enc, i, got[i])
				}
			}
		}
	})
}

func TestBlockErrors(t *testing.T) {
	v := make([]float32, 32)
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{"unknown decoder", Dequantize("iq4_xs", make([]float32, 256), make([]byte, 136)), `"iq4_xs" cannot be decoded`},
		{"part of a block", Dequantize("q4_0", make([]float32, 16), make([]byte, 9)), "expected blocks of 32 elements in 18 bytes"},
		{"lengths", Dequantize("q4_0", make([]float32, 64), make([]byte, 18)), "64 elements and 18 bytes"},
		{"unknown encoder", Quantize("q4_k", make([]byte, 144), make([]float32, 256)), `"q4_k" cannot be encoded`},
		{"not a type", Quantize("q9", nil, nil), `"q9" cannot be encoded`},
		{"encode lengths", Quantize("q4_0", make([]byte, 18), make([]float32, 31)), "31 elements"},
		{"NaN", Quantize("q4_0", make([]byte, 18), slices.Replace(slices.Clone(v), 5, 6, float32(math.NaN()))), "element 5 is NaN"},
		{"infinity", Quantize("q4_1", make([]byte, 20), slices.Replace(slices.Clone(v), 31, 32, float32(math.Inf(-1)))), "element 31 is -Inf"},
		{"beyond F16", Quantize("q4_1", make([]byte, 20), slices.Replace(slices.Clone(v), 3, 4, -70000)), "more than an F16 scale can express"},
		{"span beyond float32", Quantize("q4_1", make([]byte, 20), slices.Replace(slices.Clone(v), 3, 5, -3e38, 3e38)), "more than an F16 scale can express"},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("%s: %v, expected %q", c.name, c.err, c.want)
		}
	}
	// The reference divides by a subnormal here; codes must come out of defined
	// arithmetic on every CPU.
	tiny := slices.Replace(slices.Clone(v), 0, 1, 1e-44)
	for _, enc := range []string{"q4_0", "q4_1", "q5_0", "q5_1", "q8_0"} {
		_, size, _ := BlockSize(enc)
		b := make([]byte, size)
		if err := Quantize(enc, b, tiny); err != nil {
			t.Errorf("%s: %v", enc, err)
		}
		got := make([]float32, 32)
		if err := Dequantize(enc, got, b); err != nil || got[0] != 0 {
			t.Errorf("%s: 1e-44 becomes %v, %v", enc, got[0], err)
		}
	}
}

func TestTypeTables(t *testing.T) {
	for _, info := range types {
		if id, ok := typeByName(info.name); !ok || id.id != info.id {
			t.Errorf("%s is there twice", info.name)
		}
		meta := tensor.Meta{DType: info.dtype, Shape: []int{3, 2 * info.elems}}
		if info.dtype == "" {
			meta.DType, meta.Encoding = tensor.F32, info.name
		}
		if id, ok := MetaType(meta); !ok || id != info.id {
			t.Errorf("%s: MetaType gives %v", info.name, id)
		}
		if n, ok := RowBytes(meta); !ok || n != 2*info.bytes {
			t.Errorf("%s: RowBytes gives %d, expected %d", info.name, n, 2*info.bytes)
		}
		if info.dtype != "" && info.bytes != info.dtype.Size() {
			t.Errorf("%s: %d bytes, dtype %s has %d", info.name, info.bytes, info.dtype, info.dtype.Size())
		}
	}
	for enc := range decoders {
		if !strings.Contains(", "+decodable+",", ", "+enc+",") || !CanDequantize(enc) {
			t.Errorf("%s is missing in the list of decoders", enc)
		}
	}
	if got := TypeQ4_K.String() + " " + Type(99).String(); got != "Q4_K type 99" {
		t.Errorf("names %q", got)
	}
	if _, ok := RowBytes(tensor.Meta{DType: tensor.F32, Encoding: "q4_0", Shape: []int{2, 33}}); ok {
		t.Error("rows of 33 elements pass as whole blocks")
	}
}

func BenchmarkDequantize(b *testing.B) {
	const n = 3_538_944 // the weights of one decoder block of a 135 M model
	for _, enc := range decodedTypes {
		b.Run(enc, func(b *testing.B) {
			elems, size, _ := BlockSize(enc)
			src := make([]byte, n/elems*size)
			for i := range src {
				src[i] = byte(i*7) & 0x3f
			}
			dst := make([]float32, n)
			b.SetBytes(int64(len(src)))
			for b.Loop() {
				if err := Dequantize(enc, dst, src); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
