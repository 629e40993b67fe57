package obs

import (
	"encoding/binary"
	"math"
	"os"
	"testing"

	"github.com/compressc/compressc/internal/grid"
	"github.com/compressc/compressc/internal/mask"
)

// readLayer reads testdata/layer96x128.bin, see testdata/README.md.
func readLayer(t testing.TB) (w []float32, h []float64, out, n int) {
	t.Helper()
	out, n = 96, 128
	b, err := os.ReadFile("testdata/layer96x128.bin")
	if err != nil {
		t.Fatal(err)
	}
	w, h = make([]float32, out*n), make([]float64, n*n)
	for i := range w {
		w[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	b = b[4*len(w):]
	for i := range n {
		for j := i; j < n; j++ {
			v := math.Float64frombits(binary.LittleEndian.Uint64(b))
			h[i*n+j], h[j*n+i], b = v, v, b[8:]
		}
	}
	return w, h, out, n
}

// syntheticTolerance allows for the rounding of results to float32.
const syntheticTolerance = 2e-6

// Relative output errors that NumPy gives for the published algorithms.
func TestSyntheticLayer(t *testing.T) {
	w, h, out, n := readLayer(t)
	p := newPool(t, 2)
	f := mustPrepare(t, p, h, n, .01, nil)
	sumSq := make([]float64, n)
	for i := range sumSq {
		sumSq[i] = h[i*n+i]
	}
	norms, err := mask.Norms(sumSq)
	if err != nil {
		t.Fatal(err)
	}
	pruned := func(m *mask.Mask, err error) []float32 {
		if err != nil {
			t.Fatal(err)
		}
		v := append([]float32(nil), w...)
		m.Apply(v)
		return v
	}
	swept := func(o Options, passes int) []float32 {
		res, err := Sweep(p, f, w, out, o)
		if err == nil {
			err = Refine(p, f, h, w, out, res, passes)
		}
		if err != nil {
			t.Fatal(err)
		}
		return res.Weights
	}
	rows := grid.Spec{Bits: 3, GroupSize: -1}
	rounded := func() []float32 {
		q, err := grid.Quantize(p, w, out, n, rows, nil)
		if err != nil {
			t.Fatal(err)
		}
		v := make([]float32, len(w))
		q.Dequantize(v)
		return v
	}
	for _, c := range []struct {
		name string
		what []float32
		want float64
	}{
		{"magnitude 2:4", pruned(mask.NM(mask.Magnitude(w), out, n, 2, 4)), 0.13164067612},
		{"Wanda 2:4", pruned(mask.NM(mask.Wanda(nil, w, out, n, norms), out, n, 2, 4)), 0.02940077139},
		{"SparseGPT 2:4", swept(Options{Pattern: pattern("2:4")}, 0), 0.00694306603},
		{"… refined twice", swept(Options{Pattern: pattern("2:4")}, 2), 0.00189872923},
		{"round to nearest, 3 bit", rounded(), 0.04533544103},
		{"GPTQ, 3 bit", swept(Options{Grid: &rows}, 0), 0.00955986717},
		{"… refined twice", swept(Options{Grid: &rows}, 2), 0.00355356500},
	} {
		got := RelativeOutputError(p, w, c.what, out, n, h)
		t.Logf("%-25s %.9f", c.name, got)
		if math.Abs(got-c.want) > syntheticTolerance {
			t.Errorf("%s: error %.9f, expected %.9f", c.name, got, c.want)
		}
	}
}

// The mask of a pruned layer survives quantisation, and passing its errors on
// pays off against rounding it to nearest.
func TestQuantizePrunedLayer(t *testing.T) {
	w, h, out, n := readLayer(t)
	order := DescendingDiagonal(h, n)
	spec := grid.Spec{Bits: 4, GroupSize: 32, Symmetric: true}
	pruned := mustSweep(t, h, n, .01, nil, w, out, Options{Pattern: pattern("2:4")})
	res := mustSweep(t, h, n, .01, order, pruned.Weights, out, Options{Grid: &spec, Mask: pruned.Mask})
	if _, _, bad := res.Mask.Violation(pattern("2:4")); bad {
		t.Fatal("pattern broken")
	}
	if kept := mask.FromNonZero(res.Weights, out, n); kept.CountKept() > pruned.Mask.CountKept() {
		t.Fatalf("%d weights are not zero, %d were kept", kept.CountKept(), pruned.Mask.CountKept())
	}
	rtn, err := grid.Quantize(nil, pruned.Weights, out, n, spec, pruned.Mask)
	if err != nil {
		t.Fatal(err)
	}
	values := make([]float32, len(w))
	rtn.Dequantize(values)
	gptq := RelativeOutputError(nil, pruned.Weights, res.Weights, out, n, h)
	nearest := RelativeOutputError(nil, pruned.Weights, values, out, n, h)
	t.Logf("error %.6f, round to nearest %.6f", gptq, nearest)
	if gptq > nearest/2 {
		t.Fatalf("error %v, round to nearest %v", gptq, nearest)
	}
}
