package train

import (
	"strings"

	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/nn"
)

// derived is a parametrisation whose factors A and B are no parameters, but
// follow from some: passes see a low-rank update, and the gradients that they
// collect for A and B are passed on.
type derived[T nn.Float] struct {
	adapter[T] // of f
	f          factors[T]
	trained    []*ParamOf[T]
	toFactors  func() // sets f's A and B
	toTrained  func() // adds the gradients that follow from f's
}

// derive makes an adapter of rank over the layer of s whose factors are set by
// the caller.
func newDerived[T nn.Float](s site[T], rank int, scale T) *derived[T] {
	l := s.layer
	f := factors[T]{out: l.Out, in: l.In, rank: rank, scale: scale, base: l.W, mask: s.plan.Mask,
		a: newParam("", make([]T, rank*l.In), rank, l.In), b: newParam("", make([]T, l.Out*rank), l.Out, rank)}
	return &derived[T]{adapter: lowRankOf(f), f: f}
}

func (d *derived[T]) params() []*ParamOf[T] { return d.trained }

func (d *derived[T]) derive() { d.toFactors() }

func (d *derived[T]) reset() {
	clear(d.f.a.grad)
	clear(d.f.b.grad)
}

func (d *derived[T]) chain() { d.toTrained() }

func (d *derived[T]) merge(pool *linalg.Pool, dst []T) {
	d.toFactors()
	d.adapter.merge(pool, dst)
}

// inside is an adapter that is low-rank factors, whether or not they are its
// parameters.
type inside[T nn.Float] interface{ low() *factors[T] }

func (f *factors[T]) low() *factors[T] { return f }
func (d *derived[T]) low() *factors[T] { return &d.f }

// Factors are the matrices A [rank, in] and B [out, rank] of a trained layer's
// update B·A, the scale left out. params are the parameters by name; of
// AdaLoRA's triplets those that were kept are there. rank 0 is no update.
func Factors(p LinearPlan, name string, out, in int, params map[string]*Param) (rank int, a, b []float32) {
	l := &nn.Linear{Out: out, In: in}
	ad := newAdapter(site[float32]{plan: p, name: name, start: starter{init: Kaiming}, layer: l, shared: shared[float32]{}})
	var kept []bool
	for _, q := range ad.params() {
		from := params[q.Name]
		copy(q.Data, from.Data)
		for _, s := range from.Slots {
			if s.Name == keptSlot {
				for _, x := range s.Data {
					kept = append(kept, x != 0)
				}
			}
		}
	}
	ad.derive()
	f := ad.(inside[float32]).low()
	if kept == nil {
		return f.rank, f.a.Data, f.b.Data
	}
	for k, keep := range kept {
		if keep {
			a = append(a, f.a.Data[k*in:(k+1)*in]...)
			rank++
		}
	}
	for i := range out {
		for k, keep := range kept {
			if keep {
				b = append(b, f.b.Data[i*f.rank+k])
			}
		}
	}
	return rank, a, b
}

// Ranks are how many directions a budget left of each update in a state, by the
// updates' names.
func Ranks(s State) map[string]int {
	out := map[string]int{}
	for _, p := range s.Params {
		for _, slot := range p.Slots {
			if slot.Name != keptSlot {
				continue
			}
			n := 0
			for _, x := range slot.Data {
				if x != 0 {
					n++
				}
			}
			out[strings.TrimSuffix(p.Name, energySuffix)] = n
		}
	}
	return out
}
