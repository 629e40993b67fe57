package vq

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/linalg/rng"
	"github.com/compressc/compressc/internal/obs"
)

func decode(m *Matrix) []float32 {
	w := make([]float32, m.Out*m.In)
	m.Decode(w)
	return w
}

// Two centroids and correlated inputs: passing errors on chooses another
// centroid for the second column.
func TestSweepExact(t *testing.T) {
	h := []float64{2, 1, 1, 2}
	w := []float32{.6, .55, .3, .5}
	for _, c := range []struct {
		compensate bool
		want       []float32
		proxy      float64
	}{
		{true, []float32{1, 0, 0, 1}, .865},
		{false, []float32{1, 1, 0, 0}, 2.065},
	} {
		book, err := NewCodebook(2, []float32{1, 0, 0, 1})
		if err != nil {
			t.Fatal(err)
		}
		m := &Matrix{Out: 2, In: 2, Main: Part{book, make([]int32, 2)}}
		var o Options
		if c.compensate {
			if o.Factor, err = obs.Prepare(nil, h, 2, 0, nil); err != nil {
				t.Fatal(err)
			}
		}
		m.sweep(nil, w, o)
		got := decode(m)
		if !slices.Equal(got, c.want) {
			t.Errorf("compensate = %v: %v, want %v", c.compensate, got, c.want)
		}
		if e := obs.OutputEnergy(nil, w, got, 2, 2, h); math.Abs(e-c.proxy) > 1e-6 {
			t.Errorf("compensate = %v: error %v, want %v", c.compensate, e, c.proxy)
		}
	}
}

// A codebook as large as there are different vectors gives them back.
func TestEnoughCentroids(t *testing.T) {
	distinct := []float32{1, -1, .5, 2, -.25, 0, 3, 3}
	const out, in = 6, 8
	w := make([]float32, out*in)
	r := rng.New(1, "pick")
	for c := range in {
		for g := range out / 2 {
			k := r.IntNAt(uint64(c*out+g), 4)
			w[2*g*in+c], w[(2*g+1)*in+c] = distinct[2*k], distinct[2*k+1]
		}
	}
	diagonal := []float64{1, 2, 3, 4, 5, 6, 7, 8}
	for _, k := range []int{4, 8} {
		m, err := Quantize(nil, w, out, in, diagonal, Options{Spec: Spec{Vector: 2, Centroids: k}, Iterations: 20})
		if err != nil {
			t.Fatal(err)
		}
		if got := decode(m); !slices.Equal(got, w) {
			t.Errorf("%d centroids: %v, want %v", k, got, w)
		}
	}
}

// layer is normal weights and the second moments of correlated inputs.
func layer(out, in int) (w []float32, h []float64) {
	r := rng.New(5, "layer")
	w = make([]float32, out*in)
	for i := range w {
		w[i] = float32(r.NormAt(uint64(i)))
	}
	const tokens = 200
	x := make([]float64, tokens*in)
	for i := range x {
		x[i] = r.NormAt(uint64(len(w)+i)) + r.NormAt(uint64(1<<40+i/in))
	}
	h = make([]float64, in*in)
	(*linalg.Pool)(nil).Dgemm(true, false, in, in, tokens, 1, x, in, x, in, 0, h, in)
	return w, h
}

func diagonalOf(h []float64, n int) []float64 {
	d := make([]float64, n)
	for i := range d {
		d[i] = h[i*n+i]
	}
	return d
}

func TestQuantize(t *testing.T) {
	const out, in = 70, 48 // 4 does not divide 70
	w, h := layer(out, in)
	d := diagonalOf(h, in)
	f, err := obs.Prepare(nil, h, in, .01, obs.DescendingDiagonal(h, in))
	if err != nil {
		t.Fatal(err)
	}
	run := func(threads int, o Options) []float32 {
		p := linalg.NewPool(threads)
		defer p.Close()
		o.Iterations, o.Seed = 30, 9
		m, err := Quantize(p, w, out, in, d, o)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Check(); err != nil {
			t.Fatal(err)
		}
		return decode(m)
	}
	proxy := func(x []float32) float64 { return obs.RelativeOutputError(nil, w, x, out, in, h) }
	plain := Options{Spec: Spec{Vector: 4, Centroids: 32}}
	passed := plain
	passed.Factor = f
	residual := passed
	residual.Residual = 16
	outliers := passed
	outliers.OutlierFraction, outliers.OutlierVector, outliers.OutlierCentroids = .1, 3, 16
	a, b, c := proxy(run(1, plain)), proxy(run(1, passed)), proxy(run(1, residual))
	if !(c < b && b < a) {
		t.Errorf("errors: nearest %.4f, passed on %.4f, with a second codebook %.4f; expected them to fall", a, b, c)
	}
	for _, o := range []Options{plain, passed, residual, outliers} {
		one := run(1, o)
		for _, threads := range []int{2, 3} {
			if !slices.Equal(one, run(threads, o)) {
				t.Errorf("%+v: other bits with %d threads", o.Spec, threads)
			}
		}
	}
}

func TestDeadInputs(t *testing.T) {
	w := []float32{1, 2, 3, 4, 5, 6, 7, 8}
	m, err := Quantize(nil, w, 4, 2, []float64{0, 0}, Options{Spec: Spec{Vector: 2, Centroids: 4}, Iterations: 5})
	if err != nil {
		t.Fatal(err)
	}
	if got := decode(m); !slices.Equal(got, w) {
		t.Errorf("%v, want %v", got, w)
	}
}

func TestRefuses(t *testing.T) {
	for name, w := range map[string][]float32{"NaN": {1, float32(math.NaN())}, "beyond float16": {1e30, -1e30}} {
		if _, err := Quantize(nil, w, 2, 1, []float64{1}, Options{Spec: Spec{Vector: 2, Centroids: 2}, Iterations: 1}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for _, k := range []int{0, 1, 3} {
		if _, err := NewCodebook(1, make([]float32, k)); err == nil {
			t.Errorf("a codebook of %d", k)
		}
	}
	book, err := NewCodebook(2, make([]float32, 4))
	if err != nil {
		t.Fatal(err)
	}
	for name, m := range map[string]*Matrix{
		"too few indices":        {Out: 2, In: 2, Main: Part{book, []int32{0}}},
		"index beyond the book":  {Out: 2, In: 2, Main: Part{book, []int32{0, 2}}},
		"marks without codebook": {Out: 2, In: 2, Main: Part{book, []int32{0}}, Marks: []bool{true, false}},
	} {
		if m.Check() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestStorageBits(t *testing.T) {
	// 144 vectors of 4 in each of 576 columns, a byte each, and 256 vectors.
	if got, want := (Spec{Vector: 4, Centroids: 256}).StorageBits(576, 576), int64(8*144*576+16*4*256); got != want {
		t.Errorf("%d bits, want %d", got, want)
	}
}

func TestPack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bits := rapid.IntRange(1, 16).Draw(t, "bits")
		index := rapid.SliceOf(rapid.Int32Range(0, 1<<bits-1)).Draw(t, "index")
		got, err := Unpack(Pack(index, bits), len(index), bits)
		if err != nil || !slices.Equal(got, index) && len(index) > 0 {
			t.Fatalf("%v of %d bits come back as %v, %v", index, bits, got, err)
		}
	})
}

func FuzzUnpack(f *testing.F) {
	f.Add([]byte{1, 2, 3}, 8, 3)
	f.Add([]byte{255}, 2, 4)
	f.Fuzz(func(t *testing.T, b []byte, n, bits int) {
		if bits < 1 || bits > 16 || n < 0 || n > 1<<20 {
			bits, n = 0, 0
		}
		index, err := Unpack(b, n, bits)
		if err != nil {
			return
		}
		for _, i := range index {
			if i < 0 || i >= 1<<bits {
				t.Fatalf("index %d of %d bits", i, bits)
			}
		}
	})
}
