package nn

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/compressc/compressc/internal/linalg"
)

func randomRows(r *rand.Rand, n int) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = r.NormFloat64() + 0.3
	}
	return x
}

// Every gradient of a layer norm against differences of loss = Σ weights·y.
func TestLayerNormGradients(t *testing.T) {
	const rows, width, eps = 3, 11, 1e-5
	r := rand.New(rand.NewPCG(1, 2))
	x, gain, bias, weights := randomRows(r, rows*width), randomRows(r, width), randomRows(r, width), randomRows(r, rows*width)
	y, mean, inv := make([]float64, rows*width), make([]float64, rows), make([]float64, rows)
	loss := func() float64 {
		LayerNorm(nil, y, x, gain, bias, rows, eps, mean, inv)
		return dot(y, weights)
	}
	loss()
	for row := range rows { // the definition itself
		var m, v float64
		for _, e := range x[row*width : (row+1)*width] {
			m += e / width
		}
		for _, e := range x[row*width : (row+1)*width] {
			v += (e - m) * (e - m) / width
		}
		for j := range width {
			want := (x[row*width+j]-m)/math.Sqrt(v+eps)*gain[j] + bias[j]
			if got := y[row*width+j]; math.Abs(got-want) > 1e-12 {
				t.Fatalf("row %d, column %d is %v, want %v", row, j, got, want)
			}
		}
	}
	dx, dGain, dBias := slices.Repeat([]float64{0.5}, rows*width), make([]float64, width), slices.Repeat([]float64{2}, width)
	LayerNormBackward(nil, dx, weights, x, gain, rows, mean, inv, dGain, dBias, true)
	check := func(name string, v, grad []float64, start float64) {
		t.Helper()
		for i := range v {
			const h = 1e-6
			old := v[i]
			v[i] = old + h
			up := loss()
			v[i] = old - h
			down := loss()
			v[i] = old
			if want := (up-down)/(2*h) + start; math.Abs(grad[i]-want) > 1e-7 {
				t.Errorf("gradient of %s[%d] is %v, want %v", name, i, grad[i], want)
			}
		}
	}
	check("x", x, dx, 0.5)
	check("gain", gain, dGain, 0)
	check("bias", bias, dBias, 2)
}

// float32 agrees with float64, at any number of threads bit for bit, in place too.
func TestLayerNormFloat32(t *testing.T) {
	const rows, width, eps = 70, 768, 1e-5
	r := rand.New(rand.NewPCG(3, 2))
	x, gain, dy := randomRows(r, rows*width), randomRows(r, width), randomRows(r, rows*width)
	x32, gain32, dy32 := narrowed(x), narrowed(gain), narrowed(dy)
	y, mean, inv, dx := make([]float64, rows*width), make([]float64, rows), make([]float64, rows), make([]float64, rows*width)
	LayerNorm(nil, y, x, gain, nil, rows, eps, mean, inv)
	LayerNormBackward(nil, dx, dy, x, gain, rows, mean, inv, nil, nil, false)
	var first []float32
	for _, threads := range []int{1, 2, 3, 8} {
		p := linalg.NewPool(threads)
		y32, mean32, inv32 := slices.Clone(x32), make([]float32, rows), make([]float32, rows)
		LayerNorm(p, y32, y32, gain32, nil, rows, eps, mean32, inv32)
		dx32, dGain, dBias := make([]float32, rows*width), make([]float32, width), make([]float32, width)
		LayerNormBackward(p, dx32, dy32, x32, gain32, rows, mean32, inv32, dGain, dBias, false)
		p.Close()
		for i := range y {
			if math.Abs(float64(y32[i])-y[i]) > 2e-6*(1+math.Abs(y[i])) || math.Abs(float64(dx32[i])-dx[i]) > 2e-6*(1+math.Abs(dx[i])) {
				t.Fatalf("element %d: %v and %v, gradients %v and %v", i, y32[i], y[i], dx32[i], dx[i])
			}
		}
		all := slices.Concat(y32, dx32, dGain, dBias)
		if first == nil {
			first = all
		} else if !slices.Equal(all, first) {
			t.Errorf("other bits on %d threads", threads)
		}
	}
}

func TestGELU(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 2))
	x := narrowed(randomRows(r, 3*elementChunk+5))
	for _, c := range []struct {
		kind GELU
		f    func(float64) float64
	}{
		{GELUExact, func(x float64) float64 { return 0.5 * x * math.Erfc(-x/math.Sqrt2) }},
		{GELUTanh, func(x float64) float64 {
			return 0.5 * x * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
		}},
	} {
		p := linalg.NewPool(3)
		y, d := make([]float32, len(x)), slices.Repeat([]float32{2}, len(x))
		c.kind.Forward(p, y, x)
		c.kind.Backward(p, d, x)
		p.Close()
		for i, v := range x {
			const h = 1e-5
			slope := 2 * (c.f(float64(v)+h) - c.f(float64(v)-h)) / (2 * h)
			if math.Abs(float64(y[i])-c.f(float64(v))) > 1e-6 || math.Abs(float64(d[i])-slope) > 1e-6 {
				t.Fatalf("%d at %v: %v with slope %v, want %v with %v", c.kind, v, y[i], d[i], c.f(float64(v)), slope)
			}
		}
	}
}

func narrowed(x []float64) []float32 {
	y := make([]float32, len(x))
	for i, v := range x {
		y[i] = float32(v)
	}
	return y
}
