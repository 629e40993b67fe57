package vq

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"

	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/obs"
)

// Spec says how a layer is represented.
type Spec struct {
	// Vector is the length of a vector, Centroids the codebook's size and
	// Residual that of the second codebook, 0 for none.
	Vector    int `json:"vector"`
	Centroids int `json:"centroids"`
	Residual  int `json:"residual_centroids"`
	// OutlierFraction of the columns are outliers, with vectors and a codebook
	// of their own.
	OutlierFraction  float64 `json:"outlier_fraction"`
	OutlierVector    int     `json:"outlier_vector"`
	OutlierCentroids int     `json:"outlier_centroids"`
}

// Outliers returns how many of so many columns are outliers.
func (s Spec) Outliers(in int) int { return int(math.Round(float64(s.OutlierFraction * float64(in)))) }

// Vectors returns how many vectors the codebooks of a layer [out, in] stand for:
// those of the outliers, and those of the other columns.
func (s Spec) Vectors(out, in int) (outliers, others int) {
	n := s.Outliers(in)
	if n > 0 {
		outliers = n * groups(out, s.OutlierVector)
	}
	return outliers, (in - n) * groups(out, s.Vector)
}

// StorageBits returns what a layer [out, in] takes: indices, codebooks, and
// which columns are outliers.
func (s Spec) StorageBits(out, in int) int64 {
	outliers, others := s.Vectors(out, in)
	book := func(vectors, vector, k int) int64 {
		if k == 0 {
			return 0
		}
		return int64(8*Packed(vectors, bits.Len(uint(k-1)))) + 16*int64(vector)*int64(k)
	}
	n := book(others, s.Vector, s.Centroids) + book(others, s.Vector, s.Residual)
	if outliers > 0 {
		n += book(outliers, s.OutlierVector, s.OutlierCentroids) + 8*int64((in+7)/8)
	}
	return n
}

func groups(out, vector int) int { return (out + vector - 1) / vector }

// Part is a codebook and the indices [columns, ceil(out/vector)] of the columns
// that it is for, in their order.
type Part struct {
	Book  *Codebook
	Index []int32
}

// Matrix is a matrix [Out, In] as indices into codebooks. It is read-only once
// it is made.
type Matrix struct {
	Out, In int
	Main    Part
	// Residual is added to Main, and Outlier stands for the columns that Marks
	// names; either is nil where there is none.
	Residual, Outlier *Part
	Marks             []bool
}

// Decode sets dst [Out, In] to the matrix.
func (m *Matrix) Decode(dst []float32) {
	main, outlier := 0, 0
	for c := range m.In {
		if m.Marks != nil && m.Marks[c] {
			m.Outlier.column(dst, m.Out, m.In, c, outlier, false)
			outlier++
			continue
		}
		m.Main.column(dst, m.Out, m.In, c, main, false)
		if m.Residual != nil {
			m.Residual.column(dst, m.Out, m.In, c, main, true)
		}
		main++
	}
}

// column writes or adds the at-th of the part's columns to column c of dst.
func (p *Part) column(dst []float32, out, in, c, at int, add bool) {
	v := p.Book.Vector
	n := groups(out, v)
	for g, i := range p.Index[at*n : (at+1)*n] {
		for j, x := range p.Book.At(int(i)) {
			r := g*v + j
			if r >= out {
				break
			}
			if add {
				x += dst[r*in+c]
			}
			dst[r*in+c] = x
		}
	}
}

// Check reports parts that do not belong together.
func (m *Matrix) Check() error {
	outliers := 0
	if m.Marks != nil {
		if len(m.Marks) != m.In || m.Outlier == nil {
			return errors.New("vq: outliers are marked for another number of columns, or have no codebook")
		}
		for _, o := range m.Marks {
			if o {
				outliers++
			}
		}
	}
	check := func(p *Part, columns int) error {
		if p == nil {
			return nil
		}
		if n := columns * groups(m.Out, p.Book.Vector); len(p.Index) != n {
			return fmt.Errorf("vq: %d indices for %d vectors of [%d, %d]", len(p.Index), n, m.Out, m.In)
		}
		for _, i := range p.Index {
			if int(i) >= p.Book.Len() || i < 0 {
				return fmt.Errorf("vq: index %d into a codebook of %d", i, p.Book.Len())
			}
		}
		return nil
	}
	if m.Residual != nil && m.Residual.Book.Vector != m.Main.Book.Vector {
		return fmt.Errorf("vq: vectors of %d and, for what they leave, of %d", m.Main.Book.Vector, m.Residual.Book.Vector)
	}
	return errors.Join(check(&m.Main, m.In-outliers), check(m.Residual, m.In-outliers), check(m.Outlier, outliers))
}

// Options say how a matrix is quantised.
type Options struct {
	Spec
	// Iterations bounds those of each codebook's fit.
	Iterations int
	Seed       uint64
	// Factor passes errors on to later columns; nil takes every vector's nearest
	// centroid.
	Factor *obs.Factor
}

// Quantize represents w [out, in] whose inputs have the energies diagonal [in],
// which weigh the columns where codebooks are fitted. It returns an error for
// weights that are not finite.
func Quantize(p *linalg.Pool, w []float32, out, in int, diagonal []float64, o Options) (*Matrix, error) {
	if len(w) != out*in || len(diagonal) != in {
		panic(fmt.Sprintf("vq: %d weights and %d inputs for [%d, %d]", len(w), len(diagonal), out, in))
	}
	for i, x := range w {
		if x-x != 0 {
			return nil, fmt.Errorf("vq: weight [%d, %d] is %v; expected a finite number", i/in, i%in, x)
		}
	}
	m := &Matrix{Out: out, In: in}
	m.mark(diagonal, o.Outliers(in))
	fit := func(w []float32, outliers bool, vector, k int, name string) (*Part, error) {
		pts := m.points(w, diagonal, outliers, vector)
		book, err := kMeans(p, pts, k, o.Iterations, o.Seed, name).rounded()
		return &Part{book, make([]int32, pts.len())}, err
	}
	main, err := fit(w, false, o.Vector, o.Centroids, "main")
	if err != nil {
		return nil, err
	}
	m.Main = *main
	if m.Marks != nil {
		if m.Outlier, err = fit(w, true, o.OutlierVector, o.OutlierCentroids, "outlier"); err != nil {
			return nil, err
		}
	}
	left := m.sweep(p, w, o)
	if o.Residual > 0 {
		if m.Residual, err = fit(left, false, o.Vector, o.Residual, "residual"); err != nil {
			return nil, err
		}
		m.sweep(p, w, o)
	}
	return m, nil
}

// mark marks the n columns with the most energy, the first of equals.
func (m *Matrix) mark(diagonal []float64, n int) {
	if n == 0 {
		return
	}
	order := make([]int, m.In)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(diagonal[b], diagonal[a]) })
	m.Marks = make([]bool, m.In)
	for _, c := range order[:n] {
		m.Marks[c] = true
	}
}

// points are the vectors of the columns that are outliers, or are not.
func (m *Matrix) points(w []float32, diagonal []float64, outliers bool, vector int) points {
	pts := points{vector: vector}
	n := groups(m.Out, vector)
	live := 0.0
	for c := range m.In {
		if (m.Marks != nil && m.Marks[c]) != outliers {
			continue
		}
		live += diagonal[c]
		for g := range n {
			for r := g * vector; r < (g+1)*vector; r++ {
				x := float32(0)
				if r < m.Out {
					x = w[r*m.In+c]
				}
				pts.x = append(pts.x, x)
			}
			pts.weight = append(pts.weight, diagonal[c])
		}
	}
	if live == 0 { // inputs that calibration never saw: each vector counts alike
		for i := range pts.weight {
			pts.weight[i] = 1
		}
	}
	return pts
}

// sweep sets the indices and returns what the codebooks leave of the targets.
func (m *Matrix) sweep(p *linalg.Pool, w []float32, o Options) (left []float32) {
	// Where each column's indices begin, in columns of its codebook.
	at := make([]int, m.In)
	main, outlier := 0, 0
	for c := range at {
		if m.Marks != nil && m.Marks[c] {
			at[c] = outlier
			outlier++
		} else {
			at[c] = main
			main++
		}
	}
	group := m.Main.Book.Vector
	if m.Outlier != nil {
		group = lcm(group, m.Outlier.Book.Vector)
	}
	left = make([]float32, m.Out*m.In)
	work := slices.Clone(w)
	obs.SweepGroups(p, o.Factor, work, m.Out, m.In, group, func(r, rows int) obs.Chooser {
		ch := chooser{m: m, r: r, x: make([]float32, roundUp(rows, group)), sum: make([]float32, roundUp(rows, group))}
		ch.main = m.Main.Book.finder()
		if m.Residual != nil {
			ch.residual = m.Residual.Book.finder()
		}
		if m.Outlier != nil {
			ch.outlier = m.Outlier.Book.finder()
		}
		return func(c int, t []float64) {
			if m.Marks != nil && m.Marks[c] {
				ch.choose(t, at[c], stage{m.Outlier, ch.outlier})
			} else if m.Residual != nil {
				ch.choose(t, at[c], stage{&m.Main, ch.main}, stage{m.Residual, ch.residual})
			} else {
				ch.choose(t, at[c], stage{&m.Main, ch.main})
			}
			for i := range t {
				left[(r+i)*m.In+c] = ch.x[i]
			}
		}
	})
	return left
}

// chooser chooses for the rows from r on.
type chooser struct {
	m                       *Matrix
	r                       int
	x, sum                  []float32
	main, residual, outlier *finder
}

// stage is a codebook whose centroids are added up.
type stage struct {
	part *Part
	find *finder
}

// choose sets t to the sum of the stages' nearest centroids, each to what those
// before it leave, and x to what all of them leave.
func (ch *chooser) choose(t []float64, at int, stages ...stage) {
	clear(ch.x)
	clear(ch.sum)
	for i, v := range t {
		ch.x[i] = float32(v)
	}
	for _, s := range stages {
		v := s.part.Book.Vector
		first := at*groups(ch.m.Out, v) + ch.r/v
		n := groups(len(t), v)
		index := s.part.Index[first : first+n]
		s.find.nearest(index, ch.x[:n*v])
		for g, k := range index {
			for j, c := range s.part.Book.At(int(k)) {
				ch.x[g*v+j] -= c
				ch.sum[g*v+j] += c
			}
		}
		clear(ch.x[len(t):]) // what fills up a vector costs nothing
	}
	for i := range t {
		t[i] = float64(ch.sum[i])
	}
}

func lcm(a, b int) int {
	x, y := a, b
	for y != 0 {
		x, y = y, x%y
	}
	return a / x * b
}

func roundUp(n, to int) int { return (n + to - 1) / to * to }
