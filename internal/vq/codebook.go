// Package vq represents a matrix by indices into codebooks of short vectors:
// VPTQ (Liu et al. 2024, arXiv:2409.17066).
//
// A vector is v neighbouring outputs of one input: rows r … r+v−1 of a column of
// W [out, in], the last of a column filled up with zeros where v does not divide
// out. A codebook has k centroids of that length, float16 numbers. A layer has a
// codebook, perhaps a second one for what the first leaves, and perhaps one of
// its own for the few columns whose inputs have the most energy, the outliers.
//
// Everything is a function of its inputs and the seed alone: the same bits on
// any number of threads. The package knows nothing of models or files.
package vq

import (
	"fmt"
	"math/bits"

	"github.com/compressc/compressc/internal/format/half"
	"github.com/compressc/compressc/internal/linalg"
)

// Codebook is k vectors of a length. It is read-only once it is made.
type Codebook struct {
	Vector int
	// Centroids [k, Vector].
	Centroids []float32

	half []float32 // of each centroid's squared length
}

// NewCodebook returns the codebook with these centroids, whose number must be a
// power of two up to 65536; it keeps the slice. The centroids must be finite.
func NewCodebook(vector int, centroids []float32) (*Codebook, error) {
	if vector < 1 || len(centroids)%vector != 0 {
		return nil, fmt.Errorf("vq: %d numbers are no vectors of %d", len(centroids), vector)
	}
	k := len(centroids) / vector
	if k < 2 || k > 1<<16 || k&(k-1) != 0 {
		return nil, fmt.Errorf("vq: a codebook of %d vectors; expected a power of two from 2 to 65536", k)
	}
	for i, c := range centroids {
		if c-c != 0 {
			return nil, fmt.Errorf("vq: centroid %d has an entry of %v; expected finite numbers", i/vector, c)
		}
	}
	return newCodebook(vector, centroids), nil
}

// newCodebook takes any number of centroids.
func newCodebook(vector int, centroids []float32) *Codebook {
	c := &Codebook{Vector: vector, Centroids: centroids, half: make([]float32, len(centroids)/vector)}
	for i := range c.half {
		sum := 0.0
		for _, x := range c.At(i) {
			sum += float64(float64(x) * float64(x))
		}
		c.half[i] = float32(sum / 2)
	}
	return c
}

// Len returns the number of centroids.
func (c *Codebook) Len() int { return len(c.half) }

// Bits returns the bits of an index.
func (c *Codebook) Bits() int { return bits.Len(uint(c.Len() - 1)) }

// At returns centroid i.
func (c *Codebook) At(i int) []float32 { return c.Centroids[i*c.Vector : (i+1)*c.Vector] }

// rounded returns the codebook with float16 numbers, or an error where float16
// cannot hold one.
func (c *Codebook) rounded() (*Codebook, error) {
	b := make([]byte, 2*len(c.Centroids))
	half.F32ToF16(b, c.Centroids)
	r := make([]float32, len(c.Centroids))
	half.F16ToF32(r, b)
	return NewCodebook(c.Vector, r)
}

// nearestAtOnce is how many vectors are compared with the codebook by one
// product: their scores stay in cache.
const nearestAtOnce = 64

// finder finds nearest centroids; it is for one goroutine.
type finder struct {
	c      *Codebook
	scores []float32
}

func (c *Codebook) finder() *finder {
	return &finder{c, make([]float32, nearestAtOnce*c.Len())}
}

// nearest sets index to the centroid nearest to each vector of x
// [len(index), Vector], the first of equals.
func (f *finder) nearest(index []int32, x []float32) {
	v, k := f.c.Vector, f.c.Len()
	for len(index) > 0 {
		n := min(nearestAtOnce, len(index))
		// Nearest is where |c|²/2 − x·c is least.
		(*linalg.Pool)(nil).Sgemm(false, true, n, k, v, -1, x[:n*v], v, f.c.Centroids, v, 0, f.scores, k)
		for i := range n {
			index[i] = f.least(f.scores[i*k : (i+1)*k])
		}
		index, x = index[n:], x[n*v:]
	}
}

func (f *finder) least(scores []float32) int32 {
	halves := f.c.half[:len(scores)]
	at, least := 0, scores[0]+halves[0]
	for j, s := range scores {
		if s += halves[j]; s < least {
			at, least = j, s
		}
	}
	return int32(at)
}
