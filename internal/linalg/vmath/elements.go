package vmath

import "unsafe"

// Loops over float32s, each element by itself: every operation is rounded.

// Multiply multiplies dst by x, element by element.
func Multiply(dst, x []float32) {
	same(len(dst), len(x))
	n := len(x) &^ (vectorStep - 1)
	if n > 0 {
		active().elements.multiply(n, &dst[0], &x[0])
	}
	multiplyGo(len(x)-n, unsafe.SliceData(dst[n:]), unsafe.SliceData(x[n:]))
}

func multiplyGo(n int, dst, x *float32) {
	d := unsafe.Slice(dst, n)
	for i, v := range unsafe.Slice(x, n) {
		d[i] *= v
	}
}

// ScaleGain sets y to (x·by)·gain, element by element. y may be x.
func ScaleGain(y, x, gain []float32, by float32) {
	same(len(y), len(x))
	same(len(gain), len(x))
	n := len(x) &^ (vectorStep - 1)
	if n > 0 {
		active().elements.scaleGain(n, &y[0], &x[0], &gain[0], by)
	}
	scaleGainGo(len(x)-n, unsafe.SliceData(y[n:]), unsafe.SliceData(x[n:]), unsafe.SliceData(gain[n:]), by)
}

func scaleGainGo(n int, y, x, gain *float32, by float32) {
	d, g := unsafe.Slice(y, n), unsafe.Slice(gain, n)
	for i, v := range unsafe.Slice(x, n) {
		d[i] = float32(v*by) * g[i]
	}
}

// Rotate turns the pairs (a[i], b[i]) by the angles of which cos and sin are given,
// or back.
func Rotate(a, b, cos, sin []float32, back bool) {
	same(len(a), len(cos))
	same(len(b), len(cos))
	same(len(sin), len(cos))
	n := len(cos) &^ (vectorStep - 1)
	run, rest := active().elements.rotate, rotateGo
	if back {
		run, rest = active().elements.rotateBack, rotateBackGo
	}
	if n > 0 {
		run(n, &a[0], &b[0], &cos[0], &sin[0])
	}
	rest(len(cos)-n, unsafe.SliceData(a[n:]), unsafe.SliceData(b[n:]), unsafe.SliceData(cos[n:]), unsafe.SliceData(sin[n:]))
}

func rotateGo(n int, a, b, cos, sin *float32) {
	as, bs, ss := unsafe.Slice(a, n), unsafe.Slice(b, n), unsafe.Slice(sin, n)
	for i, c := range unsafe.Slice(cos, n) {
		p, q, s := as[i], bs[i], ss[i]
		as[i] = float32(p*c) - float32(q*s)
		bs[i] = float32(q*c) + float32(p*s)
	}
}

func rotateBackGo(n int, a, b, cos, sin *float32) {
	as, bs, ss := unsafe.Slice(a, n), unsafe.Slice(b, n), unsafe.Slice(sin, n)
	for i, c := range unsafe.Slice(cos, n) {
		p, q, s := as[i], bs[i], ss[i]
		as[i] = float32(p*c) + float32(q*s)
		bs[i] = float32(q*c) - float32(p*s)
	}
}

// GateGradient goes back through silu(gate)·up: it replaces dMid, the gradient at
// the product, by the one at up, and sets dGate. e is e^−gate.
func GateGradient(dMid, dGate, gate, up, e []float32) {
	same(len(dMid), len(e))
	same(len(dGate), len(e))
	same(len(gate), len(e))
	same(len(up), len(e))
	n := len(e) &^ (vectorStep - 1)
	if n > 0 {
		active().elements.gateGradient(n, &dMid[0], &dGate[0], &gate[0], &up[0], &e[0])
	}
	gateGradientGo(len(e)-n, unsafe.SliceData(dMid[n:]), unsafe.SliceData(dGate[n:]), unsafe.SliceData(gate[n:]), unsafe.SliceData(up[n:]), unsafe.SliceData(e[n:]))
}

func gateGradientGo(n int, dMid, dGate, gate, up, e *float32) {
	dm, dg, zs, us := unsafe.Slice(dMid, n), unsafe.Slice(dGate, n), unsafe.Slice(gate, n), unsafe.Slice(up, n)
	for i, v := range unsafe.Slice(e, n) {
		s, m, z := 1/(1+v), dm[i], zs[i]
		dg[i] = float32(m*us[i]) * float32(s*(1+float32(z*(1-s))))
		dm[i] = m * float32(z*s)
	}
}
