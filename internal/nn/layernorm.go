package nn

import (
	"math"

	"github.com/compressc/compressc/internal/linalg"
)

// LayerNorm sets every row of y [rows, width] to gain·(x − mean)/√(variance +
// eps) + bias (Ba, Kiros and Hinton 2016, arXiv:1607.06450), with the gain and
// bias [width] of decoders such as GPT-2 and OPT. bias may be nil; y may be x.
// Each row's mean, rounded, and its factor 1/√(variance + eps) go to mean and inv
// [rows], if those are not nil: LayerNormBackward needs them.
func LayerNorm[T Float](p *linalg.Pool, y, x, gain, bias []T, rows int, eps float64, mean, inv []T) {
	w := len(gain)
	mustLen("x", len(x), rows*w)
	mustLen("y", len(y), rows*w)
	overRows(p, rows, func(lo, hi int) {
		for t := lo; t < hi; t++ {
			m, f := layerRow(y[t*w:(t+1)*w], x[t*w:(t+1)*w], gain, bias, eps)
			if mean != nil {
				mean[t], inv[t] = m, f
			}
		}
	})
}

// layerRow takes the variance about the rounded mean: the difference is below
// what rounding x left of it.
func layerRow[T Float](y, x, gain, bias []T, eps float64) (mean, inv T) {
	mean = T(Sum(x) / float64(len(x)))
	y, gain = y[:len(x)], gain[:len(x)]
	for i, v := range x {
		y[i] = v - mean
	}
	inv = T(1 / math.Sqrt(sumSq(y)/float64(len(x))+eps))
	for i, v := range y {
		y[i] = T(T(v*inv) * gain[i])
	}
	if bias != nil {
		add(y, bias)
	}
	return mean, inv
}

// LayerNormBackward sets dx to d(loss)/dx, or adds it with accumulate, from dy
// [rows, width], the gradient at LayerNorm's output, and adds the gradients of
// gain and bias to dGain and dBias [width] where they are not nil. x, mean and
// inv are LayerNorm's. dx may be dy unless accumulate is set, and only where
// neither dGain nor dBias is wanted.
func LayerNormBackward[T Float](p *linalg.Pool, dx, dy, x, gain []T, rows int, mean, inv, dGain, dBias []T, accumulate bool) {
	w := len(gain)
	mustLen("x", len(x), rows*w)
	mustLen("dy", len(dy), rows*w)
	mustLen("dx", len(dx), rows*w)
	overRows(p, rows, func(lo, hi int) {
		for t := lo; t < hi; t++ {
			at, end := t*w, (t+1)*w
			layerRowBackward(dx[at:end], dy[at:end], x[at:end], gain, mean[t], inv[t], accumulate)
		}
	})
	if dBias != nil {
		addColumnSums(p, dBias, dy, rows, w)
	}
	if dGain != nil {
		p.For((w+columnChunk-1)/columnChunk, func(_, c int) {
			lo, hi := c*columnChunk, min(c*columnChunk+columnChunk, w)
			for t := range rows {
				for j := lo; j < hi; j++ {
					dGain[j] += T(dy[t*w+j] * T((x[t*w+j]-mean[t])*inv[t]))
				}
			}
		})
	}
}

func layerRowBackward[T Float](dx, dy, x, gain []T, mean, inv T, accumulate bool) {
	x, gain, dy = x[:len(dx)], gain[:len(dx)], dy[:len(dx)]
	var s, q float64 // Σ dy·gain and Σ dy·gain·normed
	for i, v := range dy {
		g := T(v * gain[i])
		s += float64(g)
		q += float64(g * T((x[i]-mean)*inv))
	}
	ms, mq := T(s/float64(len(dx))), T(q/float64(len(dx)))
	for i, v := range dy {
		d := T((T(v*gain[i]) - ms - T(T((x[i]-mean)*inv)*mq)) * inv)
		if accumulate {
			d += dx[i]
		}
		dx[i] = d
	}
}
