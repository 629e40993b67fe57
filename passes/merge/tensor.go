package merge

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/linalg/vmath"
	"github.com/compressc/compressc/internal/nn"
	"github.com/compressc/compressc/passes/blockwise"
)

// chunkElements is about how many elements a chunk has: as many as lie in a
// core's cache with the deltas of a few models. Reductions depend on it.
const chunkElements = 1 << 14

// Tensor is one tensor of the base and the models under way.
type Tensor struct {
	Pool  *linalg.Pool
	Name  string // in its part
	Class class
	Shape []int

	inputs      map[string]*artifact.Value
	out         *artifact.Builder
	base        *reader // nil without a base
	models      []*reader
	rows, width int
	step        int // rows of a chunk
	numbers     map[string]float64
}

// Chunk is a stretch of a tensor, flattened in row order.
type Chunk struct {
	// Index counts chunks; Lo is the place of the first element.
	Index, Lo int
	// Base and Models may be views of shared memory: do not write to them. Base
	// is nil without a base.
	Base   []float32
	Models [][]float32
	// Deltas are the models less the base, nil without one. They are the
	// chunk's own and may be written to.
	Deltas [][]float64

	base    []float32
	models  [][]float32
	deltas  [][]float64
	found   []uint32
	scratch scratch
}

// chunks are those that no tensor works on: their room is as large as a few
// tensors of a usual width.
var chunks = sync.Pool{New: func() any { return new(Chunk) }}

// reader reads the rows of one model's tensor.
type reader struct {
	rows  *artifact.Rows
	sides []nn.Side
}

func openReader(v *artifact.Value, name string, c class) (*reader, error) {
	r := &reader{}
	var err error
	if r.rows, err = v.Rows(name); err != nil {
		return nil, err
	}
	if c == linear {
		r.sides, err = blockwise.Sides(v, strings.TrimSuffix(name, ".weight"))
	}
	return r, err
}

// read returns rows lo to hi, their side paths multiplied out.
func (r *reader) read(lo, hi int, buf []float32) ([]float32, error) {
	x, err := r.rows.Float32(lo, hi, buf)
	if err != nil || len(r.sides) == 0 {
		return x, err
	}
	n := r.rows.Width
	own := buf[:len(x)]
	copy(own, x)
	sum := make([]float64, n)
	for row := lo; row < hi; row++ {
		w := own[(row-lo)*n : (row-lo+1)*n]
		for j, v := range w {
			sum[j] = float64(v)
		}
		for _, s := range r.sides {
			for k := range s.Rank {
				b := float64(s.B[row*s.Rank+k])
				for j, a := range s.A[k*n : (k+1)*n] {
					sum[j] += float64(b * float64(a))
				}
			}
		}
		for j, v := range sum {
			w[j] = float32(v)
		}
	}
	return own, nil
}

func openTensor(c *action.Context, name string, cl class, base *artifact.Value, models []*artifact.Value) (*Tensor, error) {
	t := &Tensor{Pool: c.Pool, Name: name, Class: cl, inputs: c.In, numbers: map[string]float64{}}
	open := func(v *artifact.Value) (*reader, error) {
		r, err := openReader(v, name, cl)
		if err != nil {
			return nil, err
		}
		if t.Shape == nil {
			e, err := v.Entry(name)
			if err != nil {
				return nil, err
			}
			t.Shape, t.rows, t.width = e.Meta.Shape, r.rows.Count, r.rows.Width
		}
		if r.rows.Count != t.rows || r.rows.Width != t.width {
			return nil, fmt.Errorf("a model has %d rows of %d elements, expected %d of %d as in the first", r.rows.Count, r.rows.Width, t.rows, t.width)
		}
		return r, nil
	}
	var err error
	if base != nil {
		if t.base, err = open(base); err != nil {
			return nil, err
		}
	}
	for _, m := range models {
		r, err := open(m)
		if err != nil {
			return nil, err
		}
		t.models = append(t.models, r)
	}
	t.step = max(2, chunkElements/max(t.width, 1)&^1) // even, so that chunks begin at even elements
	return t, nil
}

// Elements is the number of elements.
func (t *Tensor) Elements() int { return t.rows * t.width }

// Chunks is the number of chunks.
func (t *Tensor) Chunks() int { return (t.rows + t.step - 1) / t.step }

// Input returns the tree of an input besides the models.
func (t *Tensor) Input(name string) *artifact.Value { return t.inputs[name] }

// Report adds one number about a linear layer to the part's report.
func (t *Tensor) Report(name string, x float64) { t.numbers[name] = x }

// Each calls f for every chunk, several at a time: f writes to what belongs to
// its chunk only. Chunk is f's until it returns.
func (t *Tensor) Each(f func(*Chunk)) error { return t.each(true, f) }

// each is Each, with the deltas or without.
func (t *Tensor) each(deltas bool, f func(*Chunk)) error {
	errs := make([]error, t.Chunks())
	own := make([]*Chunk, t.Pool.Threads())
	t.Pool.For(len(errs), func(worker, k int) {
		c := own[worker]
		if c == nil {
			c = chunks.Get().(*Chunk)
			c.fit(t)
			own[worker] = c
		}
		if errs[k] = t.fill(c, k, deltas); errs[k] == nil {
			f(c)
		}
	})
	for _, c := range own {
		if c != nil {
			c.Base, c.Models, c.Deltas = nil, nil, nil // views of what goes
			chunks.Put(c)
		}
	}
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// fit makes room for a chunk of t.
func (c *Chunk) fit(t *Tensor) {
	n := min(t.step, t.rows) * t.width
	c.Models = make([][]float32, len(t.models))
	c.models = resize(c.models, len(t.models))
	for i := range c.models {
		c.models[i] = resize(c.models[i], n)
	}
	if t.base == nil {
		return
	}
	c.base = resize(c.base, n)
	c.Deltas = make([][]float64, len(t.models))
	c.deltas = resize(c.deltas, len(t.models))
	for i := range c.deltas {
		c.deltas[i] = resize(c.deltas[i], n)
	}
}

func resize[T any](x []T, n int) []T { return slices.Grow(x, max(0, n-len(x)))[:n] }

func (t *Tensor) fill(c *Chunk, k int, deltas bool) (err error) {
	lo, hi := k*t.step, min((k+1)*t.step, t.rows)
	c.Index, c.Lo = k, lo*t.width
	if t.base != nil {
		if c.Base, err = t.base.read(lo, hi, c.base); err != nil {
			return err
		}
	}
	for i, m := range t.models {
		if c.Models[i], err = m.read(lo, hi, c.models[i]); err != nil {
			return err
		}
		if !deltas || t.base == nil {
			continue
		}
		c.Deltas[i] = c.deltas[i][:len(c.Base)]
		vmath.Difference(c.Deltas[i], c.Models[i], c.Base)
	}
	return nil
}

// Merge puts the float32 tensor that f computes chunk by chunk; f sets all of
// dst.
func (t *Tensor) Merge(f func(c *Chunk, dst []float32)) error {
	data := make([]float32, t.Elements())
	change, energy := make([]float64, t.Chunks()), make([]float64, t.Chunks())
	err := t.Each(func(c *Chunk) {
		from := c.Base
		if from == nil {
			from = c.Models[0]
		}
		dst := data[c.Lo : c.Lo+len(from)]
		f(c, dst)
		if t.Class == linear {
			change[c.Index], energy[c.Index] = distance(dst, from), vmath.SumSq(from)
		}
	})
	if err != nil {
		return err
	}
	if e := inOrder(energy); t.Class == linear && e > 0 {
		t.Report("relative_change", math.Sqrt(inOrder(change)/e))
	}
	t.out.PutFloat32(t.Name, slices.Clone(t.Shape), data)
	return nil
}

// distance is Σ (a−b)².
func distance(a, b []float32) (s float64) {
	for i, x := range a {
		d := float64(x) - float64(b[i])
		s += float64(d * d)
	}
	return s
}

func inOrder(x []float64) (s float64) {
	for _, v := range x {
		s += v
	}
	return s
}
