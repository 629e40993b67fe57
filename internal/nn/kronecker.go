package nn

// KroneckerOf is a weight whose transpose is a sum of Kronecker products, H = Σ_i
// A_i ⊗ (s_i·t_i) [In, Out], with Order products. Its slices are read, never
// written.
//
// Zhang et al. 2021, arXiv:2102.08597; with factors of low rank: Karimi Mahabadi
// et al. 2021, arXiv:2106.04647.
type KroneckerOf[T Float] struct {
	Out, In, Order, Rank int
	Rule                 []T // A [Order, Order, Order]
	Left                 []T // s [Order, In/Order, Rank]
	Right                []T // t [Order, Rank, Out/Order]
}

// products returns s_i·t_i [In/Order, Out/Order] of all i, one after the other.
func (k *KroneckerOf[T]) products() []T {
	n, in, out := k.Order, k.In/k.Order, k.Out/k.Order
	p := make([]T, n*in*out)
	for i := range n {
		Gemm(nil, false, false, in, out, k.Rank, 1, k.Left[i*in*k.Rank:], k.Rank, k.Right[i*k.Rank*out:], out, 0, p[i*in*out:], out)
	}
	return p
}

// Weight sets w [Out, In] to Hᵀ.
func (k *KroneckerOf[T]) Weight(w []T) {
	n, in, out := k.Order, k.In/k.Order, k.Out/k.Order
	mustLen("w", len(w), k.Out*k.In)
	clear(w)
	products := k.products()
	for i := range n {
		for p := range n {
			for q := range n {
				a, x := k.Rule[(i*n+p)*n+q], products[i*in*out:]
				for c := range out {
					row := w[(q*out+c)*k.In+p*in:][:in]
					for j := range row {
						row[j] += T(a * x[j*out+c])
					}
				}
			}
		}
	}
}

// Backward adds to dRule, dLeft and dRight, laid out as Rule, Left and Right are,
// what follows from the gradient dw [Out, In] of the weight.
func (k *KroneckerOf[T]) Backward(dw, dRule, dLeft, dRight []T) {
	n, in, out, r := k.Order, k.In/k.Order, k.Out/k.Order, k.Rank
	mustLen("dw", len(dw), k.Out*k.In)
	products, d := k.products(), make([]T, in*out)
	for i := range n {
		x := products[i*in*out : (i+1)*in*out]
		clear(d) // the gradient of s_i·t_i
		for p := range n {
			for q := range n {
				a, sum := k.Rule[(i*n+p)*n+q], 0.0
				for c := range out {
					row := dw[(q*out+c)*k.In+p*in:][:in]
					for j, g := range row {
						d[j*out+c] += T(a * g)
						sum += float64(g * x[j*out+c])
					}
				}
				dRule[(i*n+p)*n+q] += T(sum)
			}
		}
		s, t := k.Left[i*in*r:(i+1)*in*r], k.Right[i*r*out:(i+1)*r*out]
		Gemm(nil, false, true, in, r, out, 1, d, out, t, out, 1, dLeft[i*in*r:], r)
		Gemm(nil, true, false, r, out, in, 1, s, r, d, out, 1, dRight[i*r*out:], out)
	}
}
