package lowrank

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"
	"pgregory.net/rapid"

	"github.com/compressc/compressc/internal/grid"
	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/mask"
	"github.com/compressc/compressc/internal/obs"
)

func near(t *testing.T, what string, got, want []float64, tol float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %v, expected %v", what, got, want)
	}
	for i := range got {
		if math.Abs(got[i]-want[i]) > tol {
			t.Fatalf("%s: %v, expected %v", what, got, want)
		}
	}
}

func TestWeightedEnergyDecides(t *testing.T) {
	// Energies 4·1 and 1·9: the smaller error on the stronger input counts more.
	dw := []float64{2, 0, 0, 1}
	f := mustDecompose(t, nil, dw, 2, 2, []float64{1, 0, 0, 9}, 1)
	b, a := truncate(f, 1)
	near(t, "with moments", product(b, a, 2, 1, 2), []float64{0, 0, 0, 1}, 1e-12)
	near(t, "energies", f.Sigma2, []float64{9, 4}, 1e-12)
	b, a = truncate(mustDecompose(t, nil, dw, 2, 2, nil, 1), 1)
	near(t, "without", product(b, a, 2, 1, 2), []float64{2, 0, 0, 0}, 1e-12)
}

// Numbers from NumPy, for the definition by eigenvectors of C and an SVD.
func TestTwoByTwo(t *testing.T) {
	dw, c := []float64{3, 1, 1, .5}, []float64{4, 0, 0, 100}
	f := mustDecompose(t, nil, dw, 2, 2, c, 2)
	b, a := truncate(f, 1)
	ba := product(b, a, 2, 1, 2)
	near(t, "BA", ba, []float64{2.858502, 1.015925, 1.308995, 0.465223}, 5e-7)
	near(t, "residual", []float64{outputError(dw, ba, 2, 2, c), f.Residual(1)}, []float64{0.608303, 0.608303}, 5e-7)
	near(t, "error without", []float64{f.Residual(0)}, []float64{165}, 1e-9)
	b, a = truncate(mustDecompose(t, nil, dw, 2, 2, nil, 1), 1)
	near(t, "plain SVD", []float64{outputError(dw, product(b, a, 2, 1, 2), 2, 2, c)}, []float64{1.992426}, 5e-7)
	// The same with a third output that is always right: more outputs than
	// inputs, so by the other route.
	tall := mustDecompose(t, nil, append(slices.Clone(dw), 0, 0), 3, 2, c, 2)
	b, a = truncate(tall, 1)
	near(t, "tall BA", product(b, a, 3, 1, 2)[:4], ba, 1e-12)
}

func TestBalance(t *testing.T) {
	dw := []float64{3, 0, 0, 0, 2, 0, 0, 0, 1}
	b, a := truncate(mustDecompose(t, nil, dw, 3, 3, nil, 1), 1)
	r3 := math.Sqrt(3)
	near(t, "b", b, []float64{r3, 0, 0}, 1e-12)
	near(t, "a", a, []float64{r3, 0, 0}, 1e-12)
	near(t, "residual", []float64{outputError(dw, product(b, a, 3, 1, 3), 3, 3, nil)}, []float64{5}, 1e-12)
}

func TestZeroError(t *testing.T) {
	for _, shape := range [][2]int{{2, 3}, {3, 2}} {
		out, in := shape[0], shape[1]
		for _, c := range [][]float64{nil, moments(1, in, 9)} {
			f := mustDecompose(t, nil, make([]float64, 6), out, in, c, 2)
			if b, a := truncate(f, 2); f.Rank != 0 || len(b) != 0 || len(a) != 0 || f.Residual(0) != 0 {
				t.Fatalf("rank %d of no error", f.Rank)
			}
		}
		// Inputs that were always zero: nothing to gain either.
		if f := mustDecompose(t, nil, normal(3, 6), out, in, make([]float64, in*in), 2); f.Rank != 0 {
			t.Fatalf("rank %d of no inputs", f.Rank)
		}
	}
}

// optimumTolerance bounds how far the error of a truncation is from the sum of
// the energies left out, relative to the error without a side path.
// or, where the errors all but cancel on the inputs, to the largest products
// that were added up.
const optimumTolerance = 1e-11

func TestDecomposeProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		out, in := rapid.IntRange(1, 40).Draw(t, "out"), rapid.IntRange(1, 40).Draw(t, "in")
		seed := rapid.Uint64().Draw(t, "seed")
		dw := normal(seed, out*in)
		if rapid.Bool().Draw(t, "sparse") {
			for i := range dw {
				if (i*i+i/7)%3 != 0 || i%in%5 == 1 { // with whole columns of zeros
					dw[i] = 0
				}
			}
		}
		if r := rapid.IntRange(0, 6).Draw(t, "rank"); r > 0 {
			l := normal(seed+1, (out+in)*r)
			dw = product(l[:out*r], l[out*r:], out, r, in)
		}
		var c []float64
		if rapid.Bool().Draw(t, "moments") {
			// Often fewer tokens than inputs: singular.
			c = moments(seed+2, in, rapid.IntRange(1, 60).Draw(t, "tokens"))
			if dead := rapid.IntRange(-1, in-1).Draw(t, "dead"); dead >= 0 {
				for i := range in {
					c[i*in+dead], c[dead*in+i] = 0, 0
				}
			}
		}
		full := mustDecompose(t, nil, dw, out, in, c, min(out, in))
		energy := outputError(dw, make([]float64, len(dw)), out, in, c)
		slack := optimumTolerance*energy + 1e-13*largestTerm(dw, in, c)
		if math.Abs(full.Residual(0)-energy) > slack {
			t.Fatalf("energies sum to %v, error is %v", full.Residual(0), energy)
		}
		if !slices.IsSortedFunc(full.Sigma2, func(a, b float64) int { return int(math.Copysign(1, b-a)) }) {
			t.Fatalf("energies not descending: %v", full.Sigma2)
		}
		orthonormal(t, full)
		for k := 0; k <= full.Rank; k++ {
			b, a := truncate(full, k)
			if got := outputError(dw, product(b, a, out, k, in), out, in, c); math.Abs(got-full.Residual(k)) > slack {
				t.Fatalf("rank %d: error %v, energies left %v, of %v", k, got, full.Residual(k), energy)
			}
		}
		// A smaller decomposition is a prefix of a larger one, a truncation of a
		// longer truncation; threads do not matter.
		keep := rapid.IntRange(1, min(out, in)).Draw(t, "keep")
		p := linalg.NewPool(rapid.IntRange(1, 3).Draw(t, "threads"))
		small := mustDecompose(t, p, dw, out, in, c, keep)
		p.Close()
		if small.Rank != min(keep, full.Rank) {
			t.Fatalf("rank %d of %d, asked for %d", small.Rank, full.Rank, keep)
		}
		sb, sa := truncate(small, keep)
		lb, la := truncate(full, keep)
		if !slices.Equal(sb, lb) || !slices.Equal(sa, la) || !slices.Equal(small.Sigma2, full.Sigma2) {
			t.Fatal("another result with a smaller keep")
		}
		if k := small.Rank; k > 1 {
			b, a := truncate(full, k-1)
			if !slices.Equal(a, la[:(k-1)*in]) {
				t.Fatal("truncation is not a prefix")
			}
			for i := range out {
				if !slices.Equal(b[i*(k-1):(i+1)*(k-1)], lb[i*k:i*k+k-1]) {
					t.Fatal("truncation is not a prefix")
				}
			}
		}
	})
}

// largestTerm bounds tr(ΔW·C·ΔWᵀ): what it would be if nothing cancelled.
func largestTerm(dw []float64, in int, c []float64) float64 {
	squares, trace := 0.0, 0.0
	for _, v := range dw {
		squares += v * v
	}
	for i := range in {
		if c == nil {
			trace++
		} else {
			trace += c[i*in+i]
		}
	}
	return squares * trace
}

func orthonormal(t *rapid.T, f *Factors) {
	k := f.Rank
	for x := range k {
		largest := 0.0
		for y := range x + 1 {
			dot := 0.0
			for i := range f.Out {
				dot += f.U[i*k+x] * f.U[i*k+y]
			}
			if x == y {
				dot--
			}
			if math.Abs(dot) > 1e-12 {
				t.Fatalf("columns %d and %d of U: product off by %g", x, y, dot)
			}
		}
		for i := range f.Out {
			if v := f.U[i*k+x]; math.Abs(v) > math.Abs(largest) {
				largest = v
			}
		}
		if largest <= 0 {
			t.Fatalf("largest entry of column %d is %v", x, largest)
		}
	}
}

// The textbook definition by another library: an SVD of ΔW·S with S from the
// eigenvectors of C.
func TestAgainstSVD(t *testing.T) {
	for _, shape := range [][2]int{{12, 20}, {20, 12}, {16, 16}, {1, 9}, {9, 1}} {
		out, in := shape[0], shape[1]
		dw, c := normal(uint64(out), out*in), moments(uint64(in), in, 3*in)
		var eig mat.EigenSym
		if !eig.Factorize(mat.NewSymDense(in, slices.Clone(c)), true) {
			t.Fatal("no eigenvectors")
		}
		var q, s, ds mat.Dense
		eig.VectorsTo(&q)
		root := eig.Values(nil)
		for i, v := range root {
			root[i] = math.Sqrt(v)
		}
		s.Mul(&q, mat.NewDiagDense(in, root))
		ds.Mul(mat.NewDense(out, in, slices.Clone(dw)), &s)
		var svd mat.SVD
		if !svd.Factorize(&ds, mat.SVDThin) {
			t.Fatal("no SVD")
		}
		var u mat.Dense
		svd.UTo(&u)
		sigma := svd.Values(nil)
		f := mustDecompose(t, nil, dw, out, in, c, min(out, in))
		for k := 1; k <= min(out, in); k++ {
			if got, want := f.Sigma2[k-1], sigma[k-1]*sigma[k-1]; math.Abs(got-want) > 1e-11*sigma[0]*sigma[0] {
				t.Fatalf("energy %d: %v, expected %v", k, got, want)
			}
			uk := u.Slice(0, out, 0, k)
			var pr, want mat.Dense
			pr.Mul(uk, uk.T())
			want.Mul(&pr, mat.NewDense(out, in, slices.Clone(dw)))
			b, a := truncate(f, k)
			near(t, "BA", product(b, a, out, k, in), want.RawMatrix().Data, 1e-8)
		}
	}
}

func TestMomentsOfIdentityAreNone(t *testing.T) {
	for _, shape := range [][2]int{{7, 11}, {11, 7}} {
		out, in := shape[0], shape[1]
		dw, id := normal(9, out*in), make([]float64, in*in)
		for i := range in {
			id[i*in+i] = 1
		}
		for k := 1; k <= 7; k++ {
			b, a := truncate(mustDecompose(t, nil, dw, out, in, nil, k), k)
			bi, ai := truncate(mustDecompose(t, nil, dw, out, in, id, k), k)
			near(t, "BA", product(b, a, out, k, in), product(bi, ai, out, k, in), 1e-9)
		}
	}
}

func TestRefusals(t *testing.T) {
	dw := normal(1, 6)
	bad := slices.Clone(dw)
	bad[4] = math.NaN()
	if _, err := Decompose(nil, bad, 2, 3, nil, 1); !errors.Is(err, ErrNotFinite) {
		t.Errorf("NaN: %v", err)
	}
	if _, err := Decompose(nil, dw, 3, 2, []float64{1, 0, 0, math.Inf(1)}, 1); !errors.Is(err, ErrNotFinite) {
		t.Errorf("infinity: %v", err)
	}
	for _, c := range [][]float64{{1, 2, 2, 1}, {-1, 0, 0, 1}} {
		if _, err := Decompose(nil, dw, 3, 2, c, 1); !errors.Is(err, ErrMoments) {
			t.Errorf("%v: %v", c, err)
		}
	}
}

// Errors with a side path of rank 4 to 32, without and with second moments, as
// NumPy gives them for the definitions.
func TestSyntheticLayer(t *testing.T) {
	w, c, out, in := readLayer(t)
	p := newPool(t, 2)
	norms := make([]float64, in)
	for i := range norms {
		norms[i] = math.Sqrt(c[i*in+i])
	}
	keep, err := mask.NM(mask.Wanda(nil, w, out, in, norms), out, in, 2, 4)
	if err != nil {
		t.Fatal(err)
	}
	wanda := slices.Clone(w)
	keep.Apply(wanda)
	q, err := grid.Quantize(p, w, out, in, grid.Spec{Bits: 3, GroupSize: -1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	rtn := make([]float32, len(w))
	q.Dequantize(rtn)
	h, err := obs.Prepare(p, c, in, .01, nil)
	if err != nil {
		t.Fatal(err)
	}
	sparse, err := obs.Sweep(p, h, w, out, obs.Options{Pattern: mask.Pattern{N: 2, M: 4}})
	if err != nil {
		t.Fatal(err)
	}
	all := obs.OutputEnergy(p, w, nil, out, in, c)
	for _, row := range []struct {
		name       string
		what       []float32
		rank       int
		lorc, eora float64
	}{
		{"wanda", wanda, 4, 0.026845248, 0.015054623},
		{"wanda", wanda, 8, 0.024457975, 0.008782184},
		{"wanda", wanda, 16, 0.019417285, 0.002752070},
		{"wanda", wanda, 32, 0.012351438, 0.000315186},
		{"3 bit", rtn, 4, 0.040282422, 0.019324805},
		{"3 bit", rtn, 8, 0.033771634, 0.010614680},
		{"3 bit", rtn, 16, 0.025329552, 0.003237649},
		{"3 bit", rtn, 32, 0.013477669, 0.000293554},
		{"sparsegpt", sparse.Weights, 4, 0.006067979, 0.003894120},
		{"sparsegpt", sparse.Weights, 8, 0.005669099, 0.002601532},
		{"sparsegpt", sparse.Weights, 16, 0.004820913, 0.001238005},
		{"sparsegpt", sparse.Weights, 32, 0.003307825, 0.000330568},
	} {
		dw := Difference(w, row.what)
		for name, m := range map[string]struct {
			c    []float64
			want float64
		}{"LoRC": {nil, row.lorc}, "EoRA": {c, row.eora}} {
			b, a := truncate(mustDecompose(t, p, dw, out, in, m.c, 32), row.rank)
			got := outputError(dw, product(b, a, out, row.rank, in), out, in, c) / all
			if math.Abs(got-m.want) > 1e-6 {
				t.Errorf("%s, rank %d, %s: error %.9f, expected %.9f", row.name, row.rank, name, got, m.want)
			}
		}
	}
}

func BenchmarkDecompose(b *testing.B) {
	p := newPool(b, 2)
	for _, shape := range [][2]int{{576, 576}, {1536, 576}, {576, 1536}} {
		out, in := shape[0], shape[1]
		dw, x := normal(1, out*in), normal(2, 2048*in)
		c := make([]float64, in*in)
		p.Dsyrk(true, true, in, 2048, 1, x, in, 0, c, in)
		linalg.GramMirror(nil, c, in)
		for name, c := range map[string][]float64{"eora": c, "lorc": nil} {
			b.Run(fmt.Sprintf("%s/%dx%d", name, out, in), func(b *testing.B) {
				for b.Loop() {
					mustDecompose(b, p, dw, out, in, c, 64)
				}
			})
		}
	}
}
