package half

import (
	"encoding/binary"
	"math"
	"testing"

	"github.com/x448/float16"
	"pgregory.net/rapid"

	"github.com/compressc/compressc/internal/linalg/kernel"
	"github.com/compressc/compressc/internal/tensor"
)

// All 65536 bit patterns against an independent implementation.
func TestF16Exhaustive(t *testing.T) {
	src := make([]byte, 2<<16)
	for i := range 1 << 16 {
		binary.LittleEndian.PutUint16(src[2*i:], uint16(i))
	}
	got := make([]float32, 1<<16)
	F16ToF32(got, src)
	back := make([]byte, len(src))
	F32ToF16(back, got)
	for i := range 1 << 16 {
		want := float16.Frombits(uint16(i)).Float32()
		if want != want {
			if got[i] == got[i] || math.Signbit(float64(got[i])) != (i&0x8000 != 0) {
				t.Fatalf("%#04x: %v, expected a NaN of the same sign", i, got[i])
			}
			if b := binary.LittleEndian.Uint16(back[2*i:]); b != uint16(i)|0x200 {
				t.Fatalf("NaN %#04x comes back as %#04x", i, b)
			}
			continue
		}
		if math.Float32bits(got[i]) != math.Float32bits(want) {
			t.Fatalf("%#04x: %v, expected %v", i, got[i], want)
		}
		if b := binary.LittleEndian.Uint16(back[2*i:]); b != uint16(i) {
			t.Fatalf("%#04x comes back as %#04x", i, b)
		}
	}
}

// Rounding is decided between neighbours: every midpoint of two adjacent
// finite values and its two float32 neighbours, plus overflow.
func TestToF16Midpoints(t *testing.T) {
	for i := range 0x7c00 {
		lo := FromF16(uint16(i))
		hi := float32(65536) // what comes after the largest finite value
		if i < 0x7bff {
			hi = FromF16(uint16(i + 1))
		}
		mid := (lo + hi) / 2
		even := uint16(i + i&1)
		for _, c := range []struct {
			v    float32
			want uint16
		}{
			{math.Nextafter32(mid, 0), uint16(i)}, {mid, even}, {math.Nextafter32(mid, 1e9), uint16(i + 1)},
		} {
			if got := ToF16(c.v); got != c.want {
				t.Fatalf("ToF16(%v) = %#04x, expected %#04x", c.v, got, c.want)
			}
			if got := ToF16(-c.v); got != c.want|0x8000 {
				t.Fatalf("ToF16(%v) = %#04x, expected %#04x", -c.v, got, c.want|0x8000)
			}
		}
	}
}

func TestToBF16Midpoints(t *testing.T) {
	for i := 0; i < 0x7f80; i++ {
		base := uint32(i) << 16
		for _, c := range []struct {
			low  uint32
			want uint16
		}{
			{0, uint16(i)}, {0x7fff, uint16(i)}, {0x8000, uint16(i + i&1)}, {0x8001, uint16(i + 1)}, {0xffff, uint16(i + 1)},
		} {
			if got := ToBF16(math.Float32frombits(base | c.low)); got != c.want {
				t.Fatalf("ToBF16(%#08x) = %#04x, expected %#04x", base|c.low, got, c.want)
			}
		}
	}
	for _, nan := range []uint32{0x7f800001, 0xff800001, 0x7fc00000, 0x7fffffff} {
		got := FromBF16(ToBF16(math.Float32frombits(nan)))
		if got == got || math.Signbit(float64(got)) != (nan>>31 == 1) {
			t.Errorf("NaN %#08x becomes %v", nan, got)
		}
	}
}

func TestF8Values(t *testing.T) {
	e4m3 := map[uint8]float32{
		0x00: 0, 0x01: 1.0 / 512, 0x07: 7.0 / 512, 0x08: 1.0 / 64, 0x38: 1, 0x39: 1.125, 0x7e: 448, 0xfe: -448, 0xb8: -1, 0x30: 0.5,
	}
	for b, want := range e4m3 {
		if got := FromF8E4M3(b); got != want {
			t.Errorf("E4M3 %#02x = %v, expected %v", b, got, want)
		}
	}
	e5m2 := map[uint8]float32{0x3c: 1, 0x3d: 1.25, 0x7b: 57344, 0x01: 1.0 / 65536, 0xbc: -1, 0x7c: float32(math.Inf(1)), 0xfc: float32(math.Inf(-1))}
	for b, want := range e5m2 {
		if got := FromF8E5M2(b); got != want {
			t.Errorf("E5M2 %#02x = %v, expected %v", b, got, want)
		}
	}
	for _, b := range []uint8{0x7f, 0xff} {
		if v := FromF8E4M3(b); v == v {
			t.Errorf("E4M3 %#02x = %v, expected NaN", b, v)
		}
	}
	// Round trip and every midpoint.
	for i := range 0x7e {
		lo, hi := FromF8E4M3(uint8(i)), FromF8E4M3(uint8(i+1))
		mid := (lo + hi) / 2
		even := uint8(i + i&1)
		for _, c := range []struct {
			v    float32
			want uint8
		}{
			{lo, uint8(i)}, {math.Nextafter32(mid, 0), uint8(i)}, {mid, even}, {math.Nextafter32(mid, 1e9), uint8(i + 1)}, {hi, uint8(i + 1)},
		} {
			if got := ToF8E4M3(c.v); got != c.want {
				t.Errorf("ToF8E4M3(%v) = %#02x, expected %#02x", c.v, got, c.want)
			}
			if got := ToF8E4M3(-c.v); got != c.want|0x80 {
				t.Errorf("ToF8E4M3(%v) = %#02x, expected %#02x", -c.v, got, c.want|0x80)
			}
		}
	}
	for _, v := range []float32{449, 464, 480, 1e9, float32(math.Inf(1))} {
		if got := ToF8E4M3(v); got != 0x7e {
			t.Errorf("ToF8E4M3(%v) = %#02x, expected 0x7e", v, got)
		}
	}
	if got := ToF8E4M3(float32(math.NaN())); got&0x7f != 0x7f {
		t.Errorf("ToF8E4M3(NaN) = %#02x", got)
	}
}

// Slices of every length agree with the scalar forms, so that the unrolled
// bodies and their tails are both exercised.
func TestSlicesAgreeWithScalars(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bits := rapid.SliceOfN(rapid.Uint32(), 0, 19).Draw(t, "bits")
		src := make([]float32, len(bits))
		for i, b := range bits {
			src[i] = math.Float32frombits(b)
		}
		for _, c := range []struct {
			dtype tensor.DType
			to    func(float32) uint16
			from  func(uint16) float32
		}{
			{tensor.F16, ToF16, FromF16},
			{tensor.BF16, ToBF16, FromBF16},
			{tensor.F8E4, func(v float32) uint16 { return uint16(ToF8E4M3(v)) }, func(b uint16) float32 { return FromF8E4M3(uint8(b)) }},
		} {
			size := c.dtype.Size()
			enc := make([]byte, size*len(src))
			if err := Encode(c.dtype, enc, src); err != nil {
				t.Fatal(err)
			}
			dec := make([]float32, len(src))
			if err := Decode(c.dtype, dec, enc); err != nil {
				t.Fatal(err)
			}
			for i, v := range src {
				code := uint16(enc[size*i])
				if size == 2 {
					code = binary.LittleEndian.Uint16(enc[2*i:])
				}
				if want := c.to(v); code != want {
					t.Fatalf("%s[%d]: %#x, expected %#x", c.dtype, i, code, want)
				}
				if want := c.from(code); math.Float32bits(dec[i]) != math.Float32bits(want) {
					t.Fatalf("%s[%d]: decoded %v, expected %v", c.dtype, i, dec[i], want)
				}
			}
		}
		enc := make([]byte, 4*len(src))
		F32ToBytes(enc, src)
		dec := make([]float32, len(src))
		F32FromBytes(dec, enc)
		for i := range src {
			if math.Float32bits(dec[i]) != bits[i] {
				t.Fatalf("F32[%d]: %#x, expected %#x", i, math.Float32bits(dec[i]), bits[i])
			}
		}
	})
}

func TestDecodeRefusesIntegers(t *testing.T) {
	if err := Decode(tensor.I32, make([]float32, 1), make([]byte, 4)); err == nil {
		t.Error("I32 was decoded")
	}
	if err := Encode(tensor.I8, make([]byte, 1), make([]float32, 1)); err == nil {
		t.Error("I8 was encoded")
	}
	var f64 [16]byte
	binary.LittleEndian.PutUint64(f64[8:], math.Float64bits(1.5))
	got := make([]float32, 2)
	if err := Decode(tensor.F64, got, f64[:]); err != nil || got[1] != 1.5 {
		t.Errorf("F64: %v, %v", got, err)
	}
}

func TestLengthMismatchPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	F16ToF32(make([]float32, 3), make([]byte, 8))
}

func BenchmarkF16ToF32(b *testing.B) {
	src := make([]byte, 2<<20)
	for i := range src {
		src[i] = byte(i * 7)
	}
	dst := make([]float32, 1<<20)
	b.SetBytes(2 << 20)
	for b.Loop() {
		F16ToF32(dst, src)
	}
}

func BenchmarkF32ToF16(b *testing.B) {
	src := make([]float32, 1<<20)
	for i := range src {
		src[i] = float32(i%4096)*0.001 - 2
	}
	dst := make([]byte, 2<<20)
	b.SetBytes(4 << 20)
	for b.Loop() {
		F32ToF16(dst, src)
	}
}

// narrowed are float32s to be narrowed: every upper half with lower halves around the
// ties of both formats, NaNs of all kinds among them; the midpoints of neighbouring
// binary16, which lie elsewhere among subnormals, and what is next to them; and
// patterns with nothing special about them.
func narrowed() []float32 {
	var x []float32
	for u := range uint32(1 << 16) {
		for _, low := range []uint32{0, 1, 0xfff, 0x1000, 0x1001, 0x1fff, 0x2000, 0x2fff, 0x3000, 0x3001, 0x7fff, 0x8000, 0x8001, 0xefff, 0xf000, 0xf001, 0xffff} {
			x = append(x, math.Float32frombits(u<<16|low))
		}
	}
	for i := range uint16(0x7bff) {
		mid := (FromF16(i) + FromF16(i+1)) / 2
		x = append(x, math.Nextafter32(mid, 0), mid, math.Nextafter32(mid, 1e9), -math.Nextafter32(mid, 0), -mid, -math.Nextafter32(mid, 1e9))
	}
	for u := uint64(0); u < 1<<32; u += 32749 {
		x = append(x, math.Float32frombits(uint32(u)))
	}
	return x
}

// The vector loops of every path give the bits of the scalar conversions: every 16-bit
// pattern, float32s of every exponent with ties and NaNs, every length around the
// step, in memory that is not aligned, and nothing written beside it.
func TestVectorsAgree(t *testing.T) {
	f32 := narrowed()
	h16 := make([]byte, 2<<16)
	for i := range 1 << 16 {
		binary.LittleEndian.PutUint16(h16[2*i:], uint16(i))
	}
	for _, c := range []struct {
		name  string
		wide  func(dst []float32, src []byte)
		thin  func(dst []byte, src []float32)
		wide1 func(uint16) float32
		thin1 func(float32) uint16
	}{{"F16", F16ToF32, F32ToF16, FromF16, ToF16}, {"BF16", BF16ToF32, F32ToBF16, FromBF16, ToBF16}} {
		wide, thin := make([]uint32, 1<<16), make([]uint16, len(f32))
		for i := range wide {
			wide[i] = math.Float32bits(c.wide1(uint16(i)))
		}
		for i, v := range f32 {
			thin[i] = c.thin1(v)
		}
		for _, path := range kernel.Paths() {
			t.Run(c.name+"/"+string(path), func(t *testing.T) {
				defer kernel.Use(path)()
				got := make([]float32, len(wide))
				c.wide(got, h16)
				for i, v := range got {
					if math.Float32bits(v) != wide[i] {
						t.Fatalf("%#04x is widened to %#08x, want %#08x", i, math.Float32bits(v), wide[i])
					}
				}
				out := make([]byte, 2*len(f32))
				c.thin(out, f32)
				for i, v := range f32 {
					if b := binary.LittleEndian.Uint16(out[2*i:]); b != thin[i] {
						t.Fatalf("%#08x is narrowed to %#04x, want %#04x", math.Float32bits(v), b, thin[i])
					}
				}
				const h0, f0 = 0x7be1, 4321 // up to infinity and NaNs of binary16
				for n := range 70 {
					w, b := make([]float32, n+2), make([]byte, 2*n+2)
					w[0], w[n+1], b[0], b[2*n+1] = 7, 8, 7, 8
					c.wide(w[1:n+1], h16[2*h0:][:2*n])
					c.thin(b[1:2*n+1], f32[f0:][:n])
					if w[0] != 7 || w[n+1] != 8 || b[0] != 7 || b[2*n+1] != 8 {
						t.Fatalf("of %d elements, something beside them is written", n)
					}
					for i := range n {
						if math.Float32bits(w[1+i]) != wide[h0+i] || binary.LittleEndian.Uint16(b[1+2*i:]) != thin[f0+i] {
							t.Fatalf("element %d of %d is wrong", i, n)
						}
					}
					odd := append([]byte{0}, h16[2*h0:][:2*n]...)
					clear(w)
					c.wide(w[1:n+1], odd[1:])
					for i := range n {
						if math.Float32bits(w[1+i]) != wide[h0+i] {
							t.Fatalf("element %d of %d from an odd address is wrong", i, n)
						}
					}
				}
			})
		}
	}
}

func BenchmarkConvert(b *testing.B) {
	narrow, wide := make([]byte, 2<<22), make([]float32, 1<<22)
	for name, f := range map[string]func(){
		"BF16ToF32": func() { BF16ToF32(wide, narrow) }, "F32ToBF16": func() { F32ToBF16(narrow, wide) },
		"F16ToF32": func() { F16ToF32(wide, narrow) }, "F32ToF16": func() { F32ToF16(narrow, wide) },
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(6 << 22) // read and written
			for b.Loop() {
				f()
			}
		})
	}
}
