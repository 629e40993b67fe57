package train

import (
	"fmt"
	"math"

	"github.com/compressc/compressc/internal/linalg/rng"
	"github.com/compressc/compressc/internal/nn"
)

func countKronecker(p LinearPlan, out, in int) int64 { return int64(p.Rank) * int64(out+in) }

func checkKronecker(p LinearPlan, out, in int) error {
	switch {
	case p.Rank < 1:
		return fmt.Errorf("rank is %d; expected 1 or more", p.Rank)
	case p.Order < 1 || out%p.Order != 0 || in%p.Order != 0:
		return fmt.Errorf("%d Kronecker products do not divide a weight of [%d, %d]", p.Order, out, in)
	}
	return nil
}

// ruleName names the matrices A_i [n, n, n] that layers share.
const ruleName = "compacter.phm_rule"

// ruleStd is the spread of A_i at the start: near 0, so that the update is, but
// not 0, where s and t would have no gradient.
const ruleStd = 1e-2

// newKronecker is Compacter's update H = Σ_i A_i ⊗ (s_i·t_i) [in, out], with
// y = Wx + Hᵀx, s_i [in/n, r] and t_i [r, out/n]. It is a product of rank n²·r:
// direction (p, i, k) reads piece p of x through column k of s_i, and adds
// A_i[p, q] times row k of t_i to every piece q of y.
func newKronecker[T nn.Float](s site[T]) adapter[T] {
	l, n, r := s.layer, s.plan.Order, s.plan.Rank
	in, out := l.In/n, l.Out/n
	rank := n * n * r
	d := newDerived(s, rank, 1)
	S := newParam(s.name+".phm_s", make([]T, n*in*r), n, in, r)
	t := newParam(s.name+".phm_t", make([]T, n*r*out), n, r, out)
	glorot(s.start.seed, S, in+r)
	glorot(s.start.seed, t, out+r)
	rule, first := sharedRule(s.shared, ruleName, n, s.start.seed)
	if first {
		d.trained = append(d.trained, rule)
	}
	d.trained = append(d.trained, S, t)
	a, b := d.f.a, d.f.b
	// each visits the directions.
	each := func(visit func(p, i, k, direction int)) {
		for p := range n {
			for i := range n {
				for k := range r {
					visit(p, i, k, (p*n+i)*r+k)
				}
			}
		}
	}
	d.toFactors = func() {
		each(func(p, i, k, dir int) {
			for j := range in {
				a.Data[dir*l.In+p*in+j] = S.Data[(i*in+j)*r+k]
			}
			for q := range n {
				x := rule.Data[(i*n+p)*n+q]
				for j := range out {
					b.Data[(q*out+j)*rank+dir] = T(x * t.Data[(i*r+k)*out+j])
				}
			}
		})
	}
	d.toTrained = func() {
		each(func(p, i, k, dir int) {
			for j := range in {
				S.grad[(i*in+j)*r+k] += a.grad[dir*l.In+p*in+j]
			}
			for q := range n {
				x, sum := rule.Data[(i*n+p)*n+q], T(0)
				for j := range out {
					g := b.grad[(q*out+j)*rank+dir]
					sum += T(g * t.Data[(i*r+k)*out+j])
					t.grad[(i*r+k)*out+j] += T(x * g)
				}
				rule.grad[(i*n+p)*n+q] += sum
			}
		})
	}
	return d
}

// sharedRule returns the matrices A_i [n, n, n] of that name, and whether they
// have not been asked for before.
func sharedRule[T nn.Float](common shared[T], name string, n int, seed uint64) (rule *ParamOf[T], first bool) {
	if rule = common[name]; rule != nil {
		return rule, false
	}
	rule = newParam(name, make([]T, n*n*n), n, n, n)
	stream := rng.New(seed, name)
	for i := range rule.Data {
		rule.Data[i] = T(stream.NormAt(uint64(i)) * ruleStd)
	}
	common[name] = rule
	return rule, true
}

// glorot draws a parameter uniformly from ±√2·√(6/sides), a stream of its own.
func glorot[T nn.Float](seed uint64, p *ParamOf[T], sides int) {
	bound := math.Sqrt2 * math.Sqrt(6/float64(sides))
	stream := rng.New(seed, p.Name)
	for i := range p.Data {
		u := float64(stream.Float64At(uint64(i)))
		p.Data[i] = T((float64(2*u) - 1) * bound)
	}
}
