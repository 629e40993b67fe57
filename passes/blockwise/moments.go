package blockwise

import (
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/linalg/vmath"
)

// Moments are the mean and the spread of channels. The difference of Σx² and
// (Σx)²/N would lose a channel that hardly varies to rounding, and such channels
// are what is looked for: windows are therefore taken by themselves, each around
// its own mean, and joined.
//
// Chan, Golub, LeVeque 1979, Updating formulae and a pairwise algorithm for
// computing sample variances.
type Moments struct {
	Count float64   // rows seen
	Mean  []float64 // [width]
	M2    []float64 // Σ(x − mean)², [width]
}

// NewMoments returns the moments of no rows of some width.
func NewMoments(width int) *Moments {
	return &Moments{Mean: make([]float64, width), M2: make([]float64, width)}
}

// Add joins the rows [T, width] of one window. The bits depend on the order of
// windows and on nothing else; a channel that is constant has M2 = 0.
func (m *Moments) Add(pool *linalg.Pool, rows []float32) {
	width := len(m.Mean)
	T := len(rows) / width
	if T == 0 {
		return
	}
	n := float64(T)
	total := m.Count + n
	const chunk = 64
	pool.For((width+chunk-1)/chunk, func(_, t int) {
		lo, hi := t*chunk, min(width, t*chunk+chunk)
		var mean, m2 [chunk]float64
		for r := range T {
			vmath.AddTo(mean[:hi-lo], rows[r*width+lo:r*width+hi])
		}
		for j := range hi - lo {
			mean[j] /= n
		}
		for r := range T {
			for j, v := range rows[r*width+lo : r*width+hi] {
				d := float64(v) - mean[j]
				m2[j] += float64(d * d)
			}
		}
		for j := lo; j < hi; j++ {
			d := mean[j-lo] - m.Mean[j]
			m.Mean[j] += float64(d * (n / total))
			m.M2[j] += m2[j-lo] + float64(float64(d*d)*(m.Count*n/total))
		}
	})
	m.Count = total
}

// ReadMoments returns the moments of a site; its slices may be shared, do not
// write to them.
func ReadMoments(v *artifact.Value, site string) (*Moments, error) {
	count, err := v.Float64(site + ".count")
	if err != nil {
		return nil, err
	}
	m := &Moments{Count: count[0]}
	if m.Mean, err = v.Float64(site + ".mean"); err != nil {
		return nil, err
	}
	m.M2, err = v.Float64(site + ".m2")
	return m, err
}
