package nn

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/compressc/compressc/internal/linalg"
)

// The way back through many rows is, bit for bit, the one through each of them,
// signs of zeros included.
func TestRMSRowsBackward(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows, w := rapid.IntRange(1, 40).Draw(t, "rows"), rapid.IntRange(1, 70).Draw(t, "width")
		number := rapid.OneOf(rapid.Float32Range(-4, 4), rapid.SampledFrom([]float32{0, float32(math.Copysign(0, -1)), 1e-38}))
		matrix := func(name string, n int) []float32 { return rapid.SliceOfN(number, n, n).Draw(t, name) }
		dy, x, gain, inv := matrix("dy", rows*w), matrix("x", rows*w), matrix("gain", w), matrix("inv", rows)
		into := matrix("into", rows*w)
		if rapid.Bool().Draw(t, "set") {
			into = nil
		}
		want := make([]float32, rows*w)
		for r := range rows {
			at, end := r*w, (r+1)*w
			var to []float32
			if into != nil {
				to = into[at:end]
			}
			rmsRowBackward(want[at:end], to, dy[at:end], x[at:end], gain, inv[r])
		}
		p := linalg.NewPool(rapid.IntRange(1, 3).Draw(t, "threads"))
		defer p.Close()
		got := make([]float32, rows*w)
		rmsRowsBackward(p, got, into, dy, x, gain, rows, inv)
		same := func(how string, got []float32) {
			if !slices.EqualFunc(got, want, func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }) {
				t.Fatalf("%s: %v; expected %v", how, got, want)
			}
		}
		same("apart", got)
		if into != nil {
			rmsRowsBackward(p, into, into, dy, x, gain, rows, inv)
			same("in place", into)
		} else {
			rmsRowsBackward(p, dy, nil, dy, x, gain, rows, inv)
			same("in place", dy)
		}
	})
}
