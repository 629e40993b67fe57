package stack

import (
	"bytes"
	"math"
	"slices"
	"testing"

	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/linalg/rng"
	"github.com/compressc/compressc/internal/lowrank"
)

func decompose(t *testing.T, w []float32, out, in int, scales []float32, blocks, rank, threads int) (*Stack, []float64) {
	t.Helper()
	p := linalg.NewPool(threads)
	defer p.Close()
	var left []float64
	s, err := Decompose(p, w, out, in, scales, blocks, rank, rng.New(1, "test"), func(_ int, r []float64) {
		sum := 0.0
		for _, v := range r {
			sum += v * v
		}
		left = append(left, sum)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
	return s, left
}

func decode(s *Stack) []float32 {
	w := make([]float32, s.Out*s.In)
	s.Decode(w)
	return w
}

// halfStep is what rounding two factors to float16 leaves of a product.
const halfStep = 2e-3

func TestExact(t *testing.T) {
	// |W| has rank 1, with a singular value of 11.18034.
	w := []float32{3, -4, -6, 8}
	s, _ := decompose(t, w, 2, 2, nil, 1, 1, 1)
	for i, v := range decode(s) {
		if math.Abs(float64(v-w[i])) > halfStep*8 {
			t.Errorf("element %d is %v, want %v", i, v, w[i])
		}
	}
	// One block leaves .763932 of this, as a plain rank-1 approximation does; a
	// second block leaves nothing.
	_, left := decompose(t, []float32{2, -1, 0, 1}, 2, 2, nil, 2, 1, 1)
	if math.Abs(left[0]-.763932) > halfStep || left[1] > halfStep {
		t.Errorf("blocks leave %v, want .763932 and 0", left)
	}
}

func TestZeroHasAPositiveSign(t *testing.T) {
	s, _ := decompose(t, []float32{0, -1, 0, 2}, 2, 2, nil, 1, 1, 1)
	if want := []byte{1, 3}; !bytes.Equal(s.Signs, want) {
		t.Errorf("signs %v, want %v", s.Signs, want)
	}
}

func TestNothingLeft(t *testing.T) {
	s, _ := decompose(t, make([]float32, 12), 3, 4, nil, 5, 1, 1)
	if s.Blocks != 1 {
		t.Errorf("zeros take %d blocks, want 1", s.Blocks)
	}
	for i, v := range decode(s) {
		if v != 0 {
			t.Errorf("element %d of zeros is %v", i, v)
		}
	}
}

func normal(n int, name string) []float32 {
	r := rng.New(3, name)
	w := make([]float32, n)
	for i := range w {
		w[i] = float32(r.NormAt(uint64(i)))
	}
	return w
}

// The errors that were measured for normal weights, and those of plain singular
// value decompositions of the same bits, which are larger.
func TestNormalWeights(t *testing.T) {
	const n, rank = 576, 16
	w := normal(n*n, "w")
	total := 0.0
	for _, v := range w {
		total += float64(v) * float64(v)
	}
	_, left := decompose(t, w, n, n, nil, 4, rank, 2)
	for b, want := range []float64{.572, .328, .203, .135} {
		if got := math.Sqrt(left[b] / total); math.Abs(got-want) > .01 {
			t.Errorf("%d blocks leave %.3f, want %.3f", b+1, got, want)
		}
	}
	_, sigma, _ := (*linalg.Pool)(nil).ThinSVD(n, n, widened(w))
	for b := 1; b <= 4; b++ {
		plain := 0.0
		for _, s := range sigma[int(8*int64(b)*Bytes(n, n, rank))/(16*2*n):] {
			plain += s * s
		}
		if left[b-1] >= plain {
			t.Errorf("%d blocks leave %.3f, a plain decomposition of their bits %.3f", b, math.Sqrt(left[b-1]/total), math.Sqrt(plain/total))
		}
	}
}

func TestPrefixesAndThreads(t *testing.T) {
	const out, in = 70, 101
	w := normal(out*in, "small")
	m := make([]float64, in)
	for i := range m {
		m[i] = 1e-3 + float64(i*i)
	}
	scales := Scales(m)
	long, left := decompose(t, w, out, in, scales, 6, 2, 1)
	for i := 1; i < len(left); i++ {
		if left[i] > left[i-1] {
			t.Errorf("block %d raises the error from %v to %v", i+1, left[i-1], left[i])
		}
	}
	for _, threads := range []int{2, 3} {
		if again, _ := decompose(t, w, out, in, scales, 6, 2, threads); !slices.Equal(decode(again), decode(long)) {
			t.Errorf("other bits with %d threads", threads)
		}
	}
	short, _ := decompose(t, w, out, in, scales, 3, 2, 1)
	if !slices.Equal(decode(long.Leading(3)), decode(short)) {
		t.Error("three of six blocks are not a decomposition into three")
	}
	// What Decompose says is left is what decoding gets wrong.
	sum := 0.0
	for i, v := range decode(long) {
		d := (float64(w[i]) - float64(v)) * float64(scales[i%in])
		sum += d * d
	}
	if last := left[len(left)-1]; math.Abs(sum-last) > 1e-3*last {
		t.Errorf("decoding leaves %v, the decomposition %v", sum, last)
	}
}

func TestScales(t *testing.T) {
	if s := Scales([]float64{1e-30, 3, 1e6}); s[0] <= 0 || s[2] < 1024 || s[2] >= 2048 {
		t.Errorf("scales %v", s)
	}
	if s := Scales([]float64{0, 0}); s != nil {
		t.Errorf("scales of nothing: %v", s)
	}
}

func TestRefuses(t *testing.T) {
	for name, w := range map[string][]float32{"NaN": {1, float32(math.NaN())}, "beyond float16": {1e30, 1e30}} {
		if _, err := Decompose(nil, w, 1, 2, nil, 1, 1, rng.New(1, ""), nil); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	s := &Stack{Out: 2, In: 9, Rank: 1, Blocks: 1, Signs: make([]byte, 2), Left: make([]float32, 2), Right: make([]float32, 9)}
	if s.Check() == nil {
		t.Error("a stack with half of its signs passes")
	}
}

func TestAutoRank(t *testing.T) {
	for _, c := range []struct{ out, in, want int }{{576, 576, 9}, {192, 576, 3}, {1536, 576, 9}, {4096, 4096, 16}, {8, 8, 1}} {
		if got := AutoRank(c.out, c.in); got != c.want {
			t.Errorf("AutoRank(%d, %d) = %d, want %d", c.out, c.in, got, c.want)
		}
	}
}

// Leading is what the blocks rest on: near the best of its rank.
func TestLeadingIsNearTheBest(t *testing.T) {
	const m, n, k = 150, 90, 6
	a := widened(normal(m*n, "flat"))
	_, sigma, _ := (*linalg.Pool)(nil).ThinSVD(m, n, a)
	u, s, vt := lowrank.Leading(nil, a, m, n, k, rng.New(1, "x"))
	best, got := 0.0, 0.0
	for _, x := range sigma[k:] {
		best += x * x
	}
	for i := range m {
		for j := range n {
			d := a[i*n+j]
			for l := range k {
				d -= u[i*k+l] * s[l] * vt[l*n+j]
			}
			got += d * d
		}
	}
	if got > 1.01*best {
		t.Errorf("leaves %v, the best of the rank %v", got, best)
	}
}
