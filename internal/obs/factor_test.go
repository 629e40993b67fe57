package obs

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// inverseTolerance bounds |uᵀu·(H+λI) − I|: about n·2⁻⁵³ times the condition
// number of the Hessians drawn here.
const inverseTolerance = 1e-9

func TestFactorInvertsTheHessian(t *testing.T) {
	p := newPool(t, 2)
	for _, n := range []int{1, 2, 5, 47, 48, 49, 96, 100, 131} {
		_, h := layer(uint64(n), 1, n, 2*n+4)
		for _, order := range [][]int{nil, DescendingDiagonal(h, n)} {
			f := mustPrepare(t, p, h, n, .01, order)
			mean := 0.0
			for i := range n {
				mean += h[i*n+i] / float64(n)
			}
			if math.Abs(f.Lambda-.01*mean) > 1e-12*mean {
				t.Fatalf("lambda %v, expected %v", f.Lambda, .01*mean)
			}
			inv := make([]float64, n*n)
			p.Dgemm(true, false, n, n, n, 1, f.u, n, f.u, n, 0, inv, n)
			for i := range n {
				for j := range i {
					if f.u[i*n+j] != 0 {
						t.Fatalf("n %d: entry [%d,%d] below the diagonal", n, i, j)
					}
				}
				for j := range n {
					sum := 0.0
					for k := range n {
						hk := h[f.Column(k)*n+f.Column(j)]
						if k == j {
							hk += f.Lambda
						}
						sum += inv[i*n+k] * hk
					}
					if i == j {
						sum--
					}
					if math.Abs(sum) > inverseTolerance {
						t.Fatalf("n %d, order %v: residual %g at [%d,%d]", n, order != nil, sum, i, j)
					}
				}
			}
		}
	}
}

func TestPrepareReadsTheUpperTriangle(t *testing.T) {
	const n = 7
	_, h := layer(3, 1, n, 20)
	want := mustPrepare(t, nil, h, n, .01, DescendingDiagonal(h, n))
	for i := range n {
		for j := range i {
			h[i*n+j] = math.NaN()
		}
	}
	got := mustPrepare(t, nil, h, n, .01, want.Order)
	if !slices.Equal(got.u, want.u) {
		t.Fatal("the lower triangle changed the factor")
	}
}

func TestDescendingDiagonalIsStable(t *testing.T) {
	h := []float64{
		1, 0, 0, 0,
		0, 3, 0, 0,
		0, 0, 1, 0,
		0, 0, 0, 3,
	}
	if got := DescendingDiagonal(h, 4); !slices.Equal(got, []int{1, 3, 0, 2}) {
		t.Fatalf("order %v", got)
	}
}

func TestDampingIsRaised(t *testing.T) {
	// Eigenvalues 2 and −0.2; mean diagonal 0.9. λ = 0.009 and 0.09 do not make
	// it positive, 0.9 does.
	h := []float64{.9, 1.1, 1.1, .9}
	f := mustPrepare(t, nil, h, 2, .01, nil)
	if math.Abs(f.Lambda-.9) > 1e-12 {
		t.Fatalf("lambda %v, expected 0.9", f.Lambda)
	}
	_, err := Prepare(nil, h, 2, 0, nil)
	if !errors.Is(err, ErrNotPositiveDefinite) || !strings.Contains(err.Error(), "above 0") {
		t.Fatalf("damping 0: %v", err)
	}
	_, err = Prepare(nil, h, 2, 1e-9, nil)
	if !errors.Is(err, ErrNotPositiveDefinite) || !strings.Contains(err.Error(), "input 0") || !strings.Contains(err.Error(), "1e-05") {
		t.Fatalf("four raises do not suffice: %v", err)
	}
}

func TestUnusableHessians(t *testing.T) {
	for name, c := range map[string]struct {
		h    []float64
		hint string
	}{
		"NaN":      {[]float64{1, math.NaN(), 0, 1}, "[0, 1]"},
		"infinite": {[]float64{1, 0, 0, math.Inf(1)}, "[1, 1]"},
		"negative": {[]float64{1, 0, 0, -1}, "diagonal entry 1"},
		"zero":     {[]float64{0, 0, 0, 0}, "all 2 inputs"},
	} {
		if _, err := Prepare(nil, c.h, 2, .01, nil); !errors.Is(err, ErrHessian) || !strings.Contains(err.Error(), c.hint) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Dead inputs change nothing for the others.
func TestDeadInputs(t *testing.T) {
	w, h := layer(5, 3, 6, 30)
	want := mustSweep(t, h, 6, .01, nil, w, 3, Options{Pattern: pattern("1:2")})
	// The same layer with a dead pair of inputs between.
	const n = 8
	at := []int{0, 1, 4, 5, 6, 7}
	wide, wideH := make([]float32, 3*n), make([]float64, n*n)
	for i := range wide {
		wide[i] = 9
	}
	for a, ca := range at {
		for r := range 3 {
			wide[r*n+ca] = w[r*6+a]
		}
		for b, cb := range at {
			wideH[ca*n+cb] = h[a*6+b]
		}
	}
	res := mustSweep(t, wideH, n, .01, nil, wide, 3, Options{Pattern: pattern("1:2")})
	for r := range 3 {
		for a, c := range at {
			if got, want := res.Weights[r*n+c], want.Weights[r*6+a]; math.Abs(float64(got-want)) > 1e-6 {
				t.Fatalf("[%d,%d]: %v, expected %v", r, c, got, want)
			}
		}
		if res.Weights[r*n+2] != 0 || res.Weights[r*n+3] != 0 {
			t.Fatalf("weights of dead inputs: %v", res.Weights[r*n:(r+1)*n])
		}
	}
	// On a grid they read back as zero and do not stretch it.
	spec := gridSpec(4, -1)
	res = mustSweep(t, wideH, n, .01, nil, wide, 3, Options{Grid: &spec})
	for r := range 3 {
		z := res.Quantized.Zeros[r]
		if res.Quantized.Codes[r*n+2] != z || res.Weights[r*n+3] != 0 {
			t.Fatalf("dead input: code %d, zero point %d", res.Quantized.Codes[r*n+2], z)
		}
		if res.Quantized.Scales[r] > 4/7.5 {
			t.Fatalf("scale %v was stretched by a dead input's 9", res.Quantized.Scales[r])
		}
	}
}

func TestScaleOfTheHessianDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 20).Draw(t, "n")
		w, h := layer(rapid.Uint64().Draw(t, "seed"), 4, n, n+10)
		spec := gridSpec(3, -1)
		a, err := Prepare(nil, h, n, .01, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range h {
			h[i] *= 0x1p-40
		}
		b, err := Prepare(nil, h, n, .01, nil)
		if err != nil {
			t.Fatal(err)
		}
		ra, _ := Sweep(nil, a, w, 4, Options{Grid: &spec})
		rb, _ := Sweep(nil, b, w, 4, Options{Grid: &spec})
		if !slices.Equal(ra.Quantized.Codes, rb.Quantized.Codes) {
			t.Fatal("codes depend on the scale of the Hessian")
		}
	})
}
