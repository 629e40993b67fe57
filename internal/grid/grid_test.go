package grid

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/compressc/compressc/internal/format/half"
	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/linalg/rng"
	"github.com/compressc/compressc/internal/mask"
)

func TestFitExamples(t *testing.T) {
	for _, c := range []struct {
		name  string
		spec  Spec
		w     []float32
		scale float32
		zero  uint8
		codes []uint8
	}{
		// Divided by 7.5, not 7 or 8: the largest value saturates at +7, the
		// smallest rounds to the even −8.
		{"symmetric 4 bit", Spec{Bits: 4, GroupSize: -1, Symmetric: true}, []float32{-7.5, 7.5, 0, 1, -1.5, 2.5}, 1, 8, []uint8{0, 15, 8, 9, 6, 10}},
		{"symmetric 3 bit", Spec{Bits: 3, GroupSize: -1, Symmetric: true}, []float32{3.5, -1, 1}, 1, 4, []uint8{7, 3, 5}},
		{"symmetric, no negative weight", Spec{Bits: 4, GroupSize: -1, Symmetric: true}, []float32{15, 3}, 2, 8, []uint8{15, 10}},
		{"asymmetric", Spec{Bits: 4, GroupSize: -1}, []float32{-5, 10, 0, 2.5, 3.5}, 1, 5, []uint8{0, 15, 5, 7, 9}},
		{"zero forced inside, above", Spec{Bits: 2, GroupSize: -1}, []float32{2, 3}, 1, 0, []uint8{2, 3}},
		{"zero forced inside, below", Spec{Bits: 2, GroupSize: -1}, []float32{-2, -3}, 1, 3, []uint8{1, 0}},
		{"zero point to even", Spec{Bits: 2, GroupSize: -1}, []float32{-1.5, 1.5}, 1, 2, []uint8{0, 3}},
		{"all zero", Spec{Bits: 4, GroupSize: -1, Symmetric: true}, []float32{0, 0}, 1, 8, []uint8{8, 8}},
		{"all zero, asymmetric", Spec{Bits: 4, GroupSize: -1}, []float32{0, float32(math.Copysign(0, -1))}, 1, 0, []uint8{0, 0}},
		{"8 bit", Spec{Bits: 8, GroupSize: -1, Symmetric: true}, []float32{-127.5, 127.5, .5, 1.5}, 1, 128, []uint8{0, 255, 128, 130}},
	} {
		q, err := Quantize(nil, c.w, 1, len(c.w), c.spec, nil)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if q.Scales[0] != c.scale || q.Zeros[0] != c.zero || !slices.Equal(q.Codes, c.codes) {
			t.Errorf("%s: scale %v zero %d codes %v, expected %v %d %v", c.name, q.Scales[0], q.Zeros[0], q.Codes, c.scale, c.zero, c.codes)
		}
	}
}

// A scale is rounded to F16 first, and codes are chosen for the rounded one.
func TestF16ScaleIsRoundedBeforeCodes(t *testing.T) {
	// 7.5·(1+2⁻¹²) over 7.5 rounds to 1: then 0.5·(1+2⁻¹²) lies above the tie.
	top := float32(7.5 * (1 + 0x1p-12))
	w := []float32{top, .5 * (1 + 0x1p-12)}
	spec := Spec{Bits: 4, GroupSize: -1, Symmetric: true, ScaleDType: F16}
	q, err := Quantize(nil, w, 1, 2, spec, nil)
	if err != nil || q.Scales[0] != 1 || q.Codes[1] != 9 {
		t.Fatalf("f16: scale %v, code %d (%v), expected 1 and 9", q.Scales[0], q.Codes[1], err)
	}
	spec.ScaleDType = F32
	q, _ = Quantize(nil, w, 1, 2, spec, nil)
	if q.Scales[0] != 1+0x1p-12 || q.Codes[1] != 8 {
		t.Fatalf("f32: scale %v, code %d, expected 1+2⁻¹² and the even 8", q.Scales[0], q.Codes[1])
	}
}

func TestScalesThatF16CannotHold(t *testing.T) {
	spec := Spec{Bits: 4, GroupSize: -1, Symmetric: true, ScaleDType: F16}
	if s, _ := spec.Fit([]float32{1e9}); s != 65504 {
		t.Errorf("large: %v", s)
	}
	if s, _ := spec.Fit([]float32{1e-12}); s != 0x1p-24 {
		t.Errorf("small: %v", s)
	}
	for _, spec := range []Spec{{Bits: 4, GroupSize: -1}, {Bits: 2, GroupSize: -1, Symmetric: true}, {Bits: 8, GroupSize: -1, MSE: true}} {
		for _, w := range [][]float32{{-math.MaxFloat32, math.MaxFloat32}, {math.SmallestNonzeroFloat32}} {
			if s, _ := spec.Fit(w); !(s > 0) || math.IsInf(float64(s), 0) {
				t.Errorf("%+v of %v: scale %v", spec, w, s)
			}
		}
	}
}

func specGen() *rapid.Generator[Spec] {
	return rapid.Custom(func(t *rapid.T) Spec {
		return Spec{
			Bits:         rapid.IntRange(2, 8).Draw(t, "bits"),
			GroupSize:    rapid.SampledFrom([]int{-1, 1, 3, 4, 16, 100}).Draw(t, "group"),
			Symmetric:    rapid.Bool().Draw(t, "symmetric"),
			ScaleDType:   rapid.SampledFrom([]ScaleDType{"", F32, F16}).Draw(t, "scale type"),
			MSE:          rapid.IntRange(0, 4).Draw(t, "mse") == 0,
			PartialGroup: true,
		}
	})
}

// What round-to-nearest promises, against float64 arithmetic.
func TestQuantizeProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := specGen().Draw(t, "spec")
		out, in := rapid.IntRange(1, 4).Draw(t, "out"), rapid.IntRange(1, 40).Draw(t, "in")
		magnitude := rapid.SampledFrom([]float32{1, 1e-3, 1e3}).Draw(t, "magnitude")
		w := rapid.SliceOfN(rapid.Map(rapid.Float32Range(-1, 1), func(v float32) float32 { return v * magnitude }), out*in, out*in).Draw(t, "w")
		var keep *mask.Mask
		if rapid.Bool().Draw(t, "masked") {
			keep, _ = mask.Rows(mask.Magnitude(w), out, in, .5)
		}
		q, err := Quantize(nil, w, out, in, spec, keep)
		if err != nil {
			t.Fatal(err)
		}
		values := make([]float32, len(w))
		q.Dequantize(values)
		for r := range out {
			for c := range in {
				i, g := r*in+c, r*spec.Groups(in)+spec.Group(c)
				s, z := q.Scales[g], int(q.Zeros[g])
				u := int(q.Codes[i])
				if u > spec.MaxCode() || z > spec.MaxCode() || !(s > 0) {
					t.Fatalf("code %d, zero point %d, scale %v", u, z, s)
				}
				if spec.Symmetric && z != 1<<(spec.Bits-1) {
					t.Fatalf("zero point %d of a symmetric grid", z)
				}
				if spec.ScaleDType == F16 && half.FromF16(half.ToF16(s)) != s {
					t.Fatalf("scale %v is no F16", s)
				}
				if values[i] != s*float32(u-z) {
					t.Fatalf("value %v of code %d", values[i], u)
				}
				if keep != nil && !keep.Keep(r, c) {
					if math.Float32bits(values[i]) != 0 || u != z {
						t.Fatalf("dropped weight has code %d (zero point %d)", u, z)
					}
					continue
				}
				n := math.RoundToEven(float64(w[i] / s))
				if want := int(min(max(n+float64(z), 0), float64(spec.MaxCode()))); u != want {
					t.Fatalf("[%d,%d]: %v/%v has code %d, expected %d", r, c, w[i], s, u, want)
				}
				// Symmetric grids saturate by half a step at the top, zero
				// points round by half a step, F16 moves scales by 2⁻¹¹, and scales
				// below the normal ones lie up to half of themselves apart.
				if !spec.MSE && spec.ScaleDType != F16 && s >= 0x1p-126 && math.Abs(float64(values[i])-float64(w[i])) > 1.001*float64(s) {
					t.Fatalf("[%d,%d]: error of more than a step: %v became %v, scale %v", r, c, w[i], values[i], s)
				}
			}
		}
	})
}

// Values on a grid come back as they were, and so do their codes.
func TestQuantizeIsIdempotentOnItsGrid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bits := rapid.IntRange(2, 8).Draw(t, "bits")
		spec := Spec{Bits: bits, GroupSize: -1}
		top := spec.MaxCode()
		scale := rapid.SampledFrom([]float32{1, .25, 3, 1. / 512}).Draw(t, "scale")
		zero := rapid.IntRange(0, top).Draw(t, "zero")
		codes := rapid.SliceOfN(rapid.IntRange(0, top), 2, 30).Draw(t, "codes")
		codes[0], codes[1] = 0, top // the whole range is used
		w := make([]float32, len(codes))
		for i, u := range codes {
			w[i] = scale * float32(u-zero)
		}
		q, err := Quantize(nil, w, 1, len(w), spec, nil)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]float32, len(w))
		q.Dequantize(got)
		if !slices.Equal(got, w) {
			t.Fatalf("%v became %v", w, got)
		}
	})
}

func TestMSESearchIsNoWorse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := Spec{Bits: rapid.IntRange(2, 4).Draw(t, "bits"), GroupSize: -1, Symmetric: rapid.Bool().Draw(t, "symmetric")}
		w := rapid.SliceOfN(rapid.Float32Range(-1, 1), 1, 64).Draw(t, "w")
		norm := func(s float32, z uint8) float64 {
			sum := 0.0
			for _, v := range w {
				_, q := spec.rounder(s, z).Round(v)
				sum += math.Pow(math.Abs(float64(q)-float64(v)), 2.4)
			}
			return sum
		}
		plain := norm(spec.Fit(w))
		spec.MSE = true
		if searched := norm(spec.Fit(w)); searched > plain*(1+1e-4) {
			t.Fatalf("error %v with the search, %v without", searched, plain)
		}
	})
	// An outlier among small weights: clipping it must pay off.
	w := slices.Repeat([]float32{.3, -.3, .1, -.2}, 16)
	w[0] = 1
	spec := Spec{Bits: 3, GroupSize: -1, Symmetric: true}
	full, _ := spec.Fit(w)
	spec.MSE = true
	if clipped, _ := spec.Fit(w); clipped >= full {
		t.Fatalf("scale %v with the search, %v without", clipped, full)
	}
}

func TestPow24(t *testing.T) {
	for _, d := range []float64{1, .5, .1, 3, 1e-5, 1e-20, 1e10, .999999, 1.000001, 7.3} {
		if got, want := pow24(d*d), math.Pow(d, 2.4); math.Abs(got-want) > 1e-4*want {
			t.Errorf("%v^2.4 = %v, expected %v", d, got, want)
		}
	}
	if pow24(0) != 0 {
		t.Error("0^2.4")
	}
}

func TestStorageIsCounted(t *testing.T) {
	for _, c := range []struct {
		spec Spec
		in   int
		want float64
	}{
		{Spec{Bits: 4, GroupSize: 64, Symmetric: true}, 576, 4 + 32./64},
		{Spec{Bits: 4, GroupSize: 64, Symmetric: true, ScaleDType: F16}, 576, 4.25},
		{Spec{Bits: 4, GroupSize: 64, ScaleDType: F16}, 576, 4 + 20./64},
		{Spec{Bits: 3, GroupSize: -1, Symmetric: true}, 576, 3 + 32./576},
		{Spec{Bits: 4, GroupSize: 128, Symmetric: true, PartialGroup: true}, 576, 4 + 5*32./576},
	} {
		if got := c.spec.BitsPerWeight(10, c.in); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%+v: %v bits a weight, expected %v", c.spec, got, c.want)
		}
	}
	q, err := New(Spec{Bits: 4, GroupSize: 64}, 3, 576)
	if err != nil || len(q.Codes) != 3*576 || len(q.Scales) != 27 || len(q.Zeros) != 27 || q.BitsPerWeight() != 4+36./64 {
		t.Fatalf("%v: %d codes, %d scales, %v bits", err, len(q.Codes), len(q.Scales), q.BitsPerWeight())
	}
}

func TestPartialGroup(t *testing.T) {
	spec := Spec{Bits: 4, GroupSize: 128, Symmetric: true}
	err := spec.Validate(576)
	if !errors.Is(err, ErrSpec) || !strings.Contains(err.Error(), "16, 32, 48, 64, 96, 192, -1") {
		t.Fatalf("group 128 of 576: %v", err)
	}
	spec.PartialGroup = true
	if err := spec.Validate(576); err != nil {
		t.Fatal(err)
	}
	if n := spec.Groups(576); n != 5 {
		t.Fatalf("%d groups", n)
	}
	if lo, hi := spec.Columns(4, 576); lo != 512 || hi != 576 || spec.Group(575) != 4 {
		t.Fatalf("last group [%d, %d)", lo, hi)
	}
}

func TestValidate(t *testing.T) {
	ok := Spec{Bits: 4, GroupSize: 32}
	if err := ok.Validate(64); err != nil {
		t.Fatal(err)
	}
	for hint, s := range map[string]Spec{
		"2 to 8":     {Bits: 1, GroupSize: 32},
		"9 bits":     {Bits: 9, GroupSize: 32},
		"group size": {Bits: 4},
		"-2":         {Bits: 4, GroupSize: -2},
		`"bf16"`:     {Bits: 4, GroupSize: 32, ScaleDType: "bf16"},
	} {
		if err := s.Validate(64); !errors.Is(err, ErrSpec) || !strings.Contains(err.Error(), hint) {
			t.Errorf("%+v: %v", s, err)
		}
	}
	if _, err := Quantize(nil, nil, 0, 64, ok, nil); !errors.Is(err, ErrSpec) {
		t.Errorf("no rows: %v", err)
	}
}

func TestNotFinite(t *testing.T) {
	w := []float32{1, 2, 3, float32(math.Inf(-1))}
	_, err := Quantize(nil, w, 2, 2, Spec{Bits: 4, GroupSize: 2}, nil)
	if !errors.Is(err, ErrNotFinite) || !strings.Contains(err.Error(), "[1, 1]") {
		t.Fatalf("got %v", err)
	}
}

func TestThreadsDoNotMatter(t *testing.T) {
	const out, in = 67, 96
	w := make([]float32, out*in)
	x := uint32(7)
	for i := range w {
		x = x*1664525 + 1013904223
		w[i] = float32(int32(x)) / (1 << 31)
	}
	spec := Spec{Bits: 3, GroupSize: 32}
	keep, _ := mask.NM(mask.Magnitude(w), out, in, 2, 4)
	want, _ := Quantize(nil, w, out, in, spec, keep)
	for threads := 1; threads <= 3; threads++ {
		p := linalg.NewPool(threads)
		got, err := Quantize(p, w, out, in, spec, keep)
		fitted, _ := New(spec, out, in)
		fitted.FitAll(p, w, keep)
		p.Close()
		if err != nil || !slices.Equal(got.Codes, want.Codes) || !slices.Equal(got.Scales, want.Scales) || !slices.Equal(got.Zeros, want.Zeros) {
			t.Fatalf("%d threads: another result (%v)", threads, err)
		}
		if !slices.Equal(fitted.Scales, want.Scales) || !slices.Equal(fitted.Zeros, want.Zeros) {
			t.Fatalf("%d threads: FitAll gives other grids than Quantize", threads)
		}
	}
}

func BenchmarkQuantize(b *testing.B) {
	const out, in = 1536, 576
	w := make([]float32, out*in)
	x := uint32(7)
	for i := range w {
		x = x*1664525 + 1013904223
		w[i] = float32(int32(x)) / (1 << 31)
	}
	p := linalg.NewPool(2)
	defer p.Close()
	for name, spec := range map[string]Spec{
		"rtn": {Bits: 4, GroupSize: 64, Symmetric: true},
		"mse": {Bits: 4, GroupSize: 64, Symmetric: true, MSE: true},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := Quantize(p, w, out, in, spec, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A product with codes has the bits of the product with their values.
func TestProductsWithCodes(t *testing.T) {
	p := linalg.NewPool(3)
	defer p.Close()
	rapid.Check(t, func(t *rapid.T) {
		out, in := rapid.IntRange(1, 130).Draw(t, "out"), rapid.IntRange(1, 400).Draw(t, "in")
		rows := rapid.IntRange(1, 70).Draw(t, "rows")
		spec := Spec{Bits: rapid.SampledFrom([]int{2, 3, 4, 8}).Draw(t, "bits"), GroupSize: rapid.SampledFrom([]int{RowGroup, 16, 32}).Draw(t, "group"), PartialGroup: true,
			Symmetric: rapid.Bool().Draw(t, "symmetric"), ScaleDType: F16}
		r := rng.New(uint64(rapid.Uint32().Draw(t, "seed")), "weights")
		normal := func(n int) []float32 {
			x := make([]float32, n)
			for i := range x {
				x[i] = float32(r.Float64At(uint64(i))) - 0.5
			}
			return x
		}
		w, x := normal(out*in), normal(rows*in)
		q, err := Quantize(p, w, out, in, spec, nil)
		if err != nil {
			t.Fatal(err)
		}
		q.Dequantize(w)
		want, got := make([]float32, rows*out), make([]float32, rows*out)
		p.Sgemm(false, true, rows, out, in, 1, x, in, w, in, 0, want, out)
		p.SgemmRows(rows, out, in, 1, x, in, q.Row, 0, got, out)
		for i := range want {
			if math.Float32bits(want[i]) != math.Float32bits(got[i]) {
				t.Fatalf("[%d, %d]: %v; with the values %v", i/out, i%out, got[i], want[i])
			}
		}
	})
}

// Products of 2,048 rows with codes and with their values.
func BenchmarkProductWithCodes(b *testing.B) {
	p := linalg.NewPool(1)
	defer p.Close()
	const rows, out, in = 2048, 1536, 576
	w, x, y := make([]float32, out*in), make([]float32, rows*in), make([]float32, rows*out)
	for i := range w {
		w[i] = float32(i%31) - 15
	}
	q, err := Quantize(p, w, out, in, Spec{Bits: 4, GroupSize: 64, Symmetric: true, ScaleDType: F16}, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("codes", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			p.SgemmRows(rows, out, in, 1, x, in, q.Row, 0, y, out)
		}
	})
	b.Run("values", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			p.Sgemm(false, true, rows, out, in, 1, x, in, w, in, 0, y, out)
		}
	})
}
