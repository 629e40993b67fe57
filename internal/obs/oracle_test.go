package obs

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/compressc/compressc/internal/grid"
	"github.com/compressc/compressc/internal/mask"
)

// sweepByElimination is the Optimal Brain Surgeon as first written down: after a
// weight is frozen its row and column are eliminated from the inverse Hessian
// explicitly (Hassibi and Stork 1993). No triangular factor, no blocks; one row
// at a time, so no fraction pooled over rows.
func sweepByElimination(w []float64, h []float64, n int, lambda float64, order []int, o Options, q *grid.Quantized, row int) (frozen []float64, dropped []bool) {
	inv := inverse(h, n, lambda)
	w = append([]float64(nil), w...)
	frozen, dropped = make([]float64, n), make([]bool, n)
	for i := range n {
		j := i
		if order != nil {
			j = order[i]
		}
		if o.Mask != nil {
			dropped[j] = !o.Mask.Keep(row, j)
		}
		if o.Pattern.IsNM() && j%o.Pattern.M == 0 {
			end := min(j+o.Pattern.M, n)
			scores := make([]float64, 0, end-j)
			// The loss of dropping column c with those before it frozen: a copy
			// of the inverse with columns j…c−1 eliminated.
			tmp := append([]float64(nil), inv...)
			for c := j; c < end; c++ {
				scores = append(scores, w[c]*w[c]/tmp[c*n+c])
				eliminate(tmp, n, c)
			}
			keep := mask.KeepGroup(scores, o.Pattern.KeepIn(end-j))
			for c := j; c < end; c++ {
				dropped[c] = keep>>(c-j)&1 == 0
			}
		}
		if o.Grid != nil && o.LiveGrids {
			if lo, hi := o.Grid.Columns(o.Grid.Group(j), n); lo == j {
				live := make([]float32, 0, hi-lo)
				for c := lo; c < hi; c++ {
					v := float32(w[c])
					if o.Mask != nil && !o.Mask.Keep(row, c) {
						v = 0
					}
					live = append(live, v)
				}
				q.Fit(row, o.Grid.Group(j), live)
			}
		}
		v := w[j]
		if dropped[j] {
			v = 0
		} else if o.Grid != nil {
			_, f := q.Rounder(row, o.Grid.Group(j)).Round(float32(v))
			v = float64(f)
		}
		e := (w[j] - v) / inv[j*n+j]
		for c := range n {
			w[c] -= e * inv[j*n+c]
		}
		frozen[j] = v
		eliminate(inv, n, j)
	}
	return frozen, dropped
}

func eliminate(inv []float64, n, j int) {
	d := inv[j*n+j]
	col := make([]float64, n)
	for i := range n {
		col[i] = inv[i*n+j]
	}
	for a := range n {
		for b := range n {
			inv[a*n+b] -= col[a] * col[b] / d
		}
	}
}

// inverse is Gauss–Jordan without pivoting, enough for damped Gram matrices.
func inverse(h []float64, n int, lambda float64) []float64 {
	a, inv := append([]float64(nil), h...), make([]float64, n*n)
	for i := range n {
		a[i*n+i] += lambda
		inv[i*n+i] = 1
	}
	for k := range n {
		d := a[k*n+k]
		for j := range n {
			a[k*n+j] /= d
			inv[k*n+j] /= d
		}
		for i := range n {
			if f := a[i*n+k]; i != k {
				for j := range n {
					a[i*n+j] -= f * a[k*n+j]
					inv[i*n+j] -= f * inv[k*n+j]
				}
			}
		}
	}
	return inv
}

func TestSweepAgainstElimination(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		out, n := rapid.IntRange(1, 3).Draw(t, "out"), rapid.IntRange(1, 30).Draw(t, "n")
		w, h := layer(rapid.Uint64().Draw(t, "seed"), out, n, 3*n+10)
		ordered := rapid.Bool().Draw(t, "ordered")
		var order []int
		if ordered {
			order = DescendingDiagonal(h, n)
		}
		o := randomOptions(t, w, out, n, ordered)
		if !o.Pattern.IsNM() {
			o.Pattern = mask.Pattern{}
		}
		f, err := Prepare(nil, h, n, .01, order)
		if err != nil {
			t.Fatal(err)
		}
		res, err := Sweep(nil, f, w, out, o)
		if err != nil {
			t.Fatal(err)
		}
		var q *grid.Quantized
		if o.Grid != nil {
			q, _ = grid.New(*o.Grid, out, n)
			q.FitAll(nil, w, o.Mask)
		}
		for r := range out {
			row := make([]float64, n)
			for c := range n {
				row[c] = float64(w[r*n+c])
			}
			want, dropped := sweepByElimination(row, h, n, f.Lambda, order, o, q, r)
			for c := range n {
				if res.Mask != nil && res.Mask.Keep(r, c) == dropped[c] {
					t.Fatalf("[%d,%d]: dropped %v", r, c, dropped[c])
				}
				if got := float64(res.Weights[r*n+c]); math.Abs(got-want[c]) > 1e-5*(1+math.Abs(want[c])) {
					t.Fatalf("[%d,%d]: %v, expected %v", r, c, got, want[c])
				}
			}
		}
	})
}
