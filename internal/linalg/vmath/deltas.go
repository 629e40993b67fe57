package vmath

import (
	"math"
	"unsafe"
)

// Loops over differences of float32 tensors, which float64 holds, and over their
// magnitudes: the bits of a float32 without the sign, which order like the numbers,
// a NaN above all of them.

const magnitudeMask = 1<<31 - 1

// Difference sets dst[i] = x[i] − y[i] in float64.
func Difference(dst []float64, x, y []float32) {
	same(len(dst), len(x))
	same(len(dst), len(y))
	n := len(x) &^ (vectorStep - 1)
	if n > 0 {
		active().deltas.difference(n, &dst[0], &x[0], &y[0])
	}
	differenceGo(len(x)-n, unsafe.SliceData(dst[n:]), unsafe.SliceData(x[n:]), unsafe.SliceData(y[n:]))
}

func differenceGo(n int, dst *float64, x, y *float32) {
	d, b := unsafe.Slice(dst, n), unsafe.Slice(y, n)
	for i, v := range unsafe.Slice(x, n) {
		d[i] = float64(v) - float64(b[i])
	}
}

// Magnitudes sets dst[i] to the magnitude of x[i] − y[i] in float32.
func Magnitudes(dst []uint32, x, y []float32) {
	same(len(dst), len(x))
	same(len(dst), len(y))
	n := len(x) &^ (vectorStep - 1)
	if n > 0 {
		active().deltas.magnitudes(n, &dst[0], &x[0], &y[0])
	}
	magnitudesGo(len(x)-n, unsafe.SliceData(dst[n:]), unsafe.SliceData(x[n:]), unsafe.SliceData(y[n:]))
}

func magnitudesGo(n int, dst *uint32, x, y *float32) {
	d, b := unsafe.Slice(dst, n), unsafe.Slice(y, n)
	for i, v := range unsafe.Slice(x, n) {
		d[i] = math.Float32bits(v-b[i]) & magnitudeMask
	}
}

// Between writes the magnitudes of x that are at least lo and at most hi to the
// front of dst, in their order, and returns how many they are and how many are
// above hi. dst has room for all of x and BetweenSlack more, which may be
// written to.
func Between(dst, x []uint32, lo, hi uint32) (n, above int) {
	if len(dst) < len(x)+BetweenSlack {
		panic("vmath: no room for magnitudes")
	}
	if lo > magnitudeMask || hi > magnitudeMask {
		panic("vmath: a bound that is no magnitude")
	}
	m := len(x) &^ (vectorStep - 1)
	if m > 0 {
		n, above = active().deltas.between(m, &dst[0], &x[0], int32(lo)-1, int32(hi))
	}
	k, a := betweenGo(len(x)-m, &dst[n], unsafe.SliceData(x[m:]), int32(lo)-1, int32(hi))
	return n + k, above + a
}

// BetweenSlack is how much room Between needs behind what it finds.
const BetweenSlack = vectorStep

// betweenGo takes what is above over and not above hi.
func betweenGo(n int, dst, x *uint32, over, hi int32) (kept, above int) {
	d := unsafe.Slice(dst, n+1)
	for _, v := range unsafe.Slice(x, n) {
		d[kept] = v
		larger := bit(int32(v) > hi)
		above += larger
		kept += bit(int32(v) > over) &^ larger
	}
	return kept, above
}

// bit is 1 for true; compilers make no branch of it.
func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// KeepLarge sets the elements to zero of which the magnitude in float32 is below
// least.
func KeepLarge(x []float64, least uint32) {
	if least > magnitudeMask {
		clear(x)
		return
	}
	n := len(x) &^ (vectorStep - 1)
	if n > 0 {
		active().deltas.keepOver(n, &x[0], int32(least)-1)
	}
	keepOverGo(len(x)-n, unsafe.SliceData(x[n:]), int32(least)-1)
}

func keepOverGo(n int, x *float64, over int32) {
	s := unsafe.Slice(x, n)
	for i, v := range s {
		m := int64(math.Float32bits(float32(v)) & magnitudeMask)
		kept := uint64((int64(over) - m) >> 63) // all bits where it is larger
		s[i] = math.Float64frombits(math.Float64bits(v) & kept)
	}
}

// KeepBelow sets the elements to zero of which the draw is not below limit.
func KeepBelow(x []float64, draws []uint32, limit uint32) {
	same(len(x), len(draws))
	n := len(x) &^ (vectorStep - 1)
	if n > 0 {
		active().deltas.keepBelow(n, &x[0], &draws[0], limit)
	}
	keepBelowGo(len(x)-n, unsafe.SliceData(x[n:]), unsafe.SliceData(draws[n:]), limit)
}

func keepBelowGo(n int, x *float64, draws *uint32, limit uint32) {
	s, u := unsafe.Slice(x, n), unsafe.Slice(draws, n)
	for i, v := range s {
		kept := uint64((int64(u[i]) - int64(limit)) >> 63)
		s[i] = math.Float64frombits(math.Float64bits(v) & kept)
	}
}

// AddProduct adds by·x to sum; products are rounded.
func AddProduct(sum []float64, by float64, x []float64) {
	same(len(sum), len(x))
	n := len(x) &^ (vectorStep - 1)
	if n > 0 {
		active().deltas.addProduct(n, &sum[0], by, &x[0])
	}
	addProductGo(len(x)-n, unsafe.SliceData(sum[n:]), by, unsafe.SliceData(x[n:]))
}

func addProductGo(n int, sum *float64, by float64, x *float64) {
	s := unsafe.Slice(sum, n)
	for i, v := range unsafe.Slice(x, n) {
		s[i] += float64(by * v)
	}
}

// AddAgreeing adds by·x to sum, and weight to weights, where the product has the
// sign of vote: is above zero where vote is zero or more, and below it, or a NaN,
// elsewhere. Zeros are added where it has not.
func AddAgreeing(sum, weights, x, vote []float64, by, weight float64) {
	same(len(sum), len(x))
	same(len(weights), len(x))
	same(len(vote), len(x))
	n := len(x) &^ (vectorStep - 1)
	if n > 0 {
		active().deltas.addAgreeing(n, &sum[0], &weights[0], &x[0], &vote[0], by, weight)
	}
	addAgreeingGo(len(x)-n, unsafe.SliceData(sum[n:]), unsafe.SliceData(weights[n:]), unsafe.SliceData(x[n:]), unsafe.SliceData(vote[n:]), by, weight)
}

func addAgreeingGo(n int, sum, weights, x, vote *float64, by, weight float64) {
	s, w, v := unsafe.Slice(sum, n), unsafe.Slice(weights, n), unsafe.Slice(vote, n)
	unit := math.Float64bits(weight)
	for i, x := range unsafe.Slice(x, n) {
		x = float64(by * x)
		plus := bit(v[i] >= 0)
		agrees := -uint64(plus&bit(x > 0) | (1-plus)&(1-bit(x >= 0)))
		s[i] += math.Float64frombits(math.Float64bits(x) & agrees)
		w[i] += math.Float64frombits(unit & agrees)
	}
}

// DivideBy divides x by the elements of by that are not zero.
func DivideBy(x, by []float64) {
	same(len(x), len(by))
	n := len(x) &^ (vectorStep - 1)
	if n > 0 {
		active().deltas.divideBy(n, &x[0], &by[0])
	}
	divideByGo(len(x)-n, unsafe.SliceData(x[n:]), unsafe.SliceData(by[n:]))
}

func divideByGo(n int, x, by *float64) {
	s := unsafe.Slice(x, n)
	for i, v := range unsafe.Slice(by, n) {
		if v != 0 {
			s[i] /= v
		}
	}
}

// RoundSum sets dst[i] = base[i] + by·x[i], in float64 until it is stored.
func RoundSum(dst, base []float32, by float64, x []float64) {
	same(len(dst), len(x))
	same(len(base), len(x))
	n := len(x) &^ (vectorStep - 1)
	if n > 0 {
		active().deltas.roundSum(n, &dst[0], &base[0], by, &x[0])
	}
	roundSumGo(len(x)-n, unsafe.SliceData(dst[n:]), unsafe.SliceData(base[n:]), by, unsafe.SliceData(x[n:]))
}

func roundSumGo(n int, dst, base *float32, by float64, x *float64) {
	d, b := unsafe.Slice(dst, n), unsafe.Slice(base, n)
	for i, v := range unsafe.Slice(x, n) {
		d[i] = float32(float64(b[i]) + float64(by*v))
	}
}

// RoundSumWhere is RoundSum where count is least or more, and a copy of base
// elsewhere.
func RoundSumWhere(dst, base []float32, by float64, x, count []float64, least float64) {
	same(len(dst), len(x))
	same(len(base), len(x))
	same(len(count), len(x))
	n := len(x) &^ (vectorStep - 1)
	if n > 0 {
		active().deltas.roundSumWhere(n, &dst[0], &base[0], by, &x[0], &count[0], least)
	}
	roundSumWhereGo(len(x)-n, unsafe.SliceData(dst[n:]), unsafe.SliceData(base[n:]), by, unsafe.SliceData(x[n:]), unsafe.SliceData(count[n:]), least)
}

func roundSumWhereGo(n int, dst, base *float32, by float64, x, count *float64, least float64) {
	d, b, c := unsafe.Slice(dst, n), unsafe.Slice(base, n), unsafe.Slice(count, n)
	for i, v := range unsafe.Slice(x, n) {
		u := math.Float32bits(b[i])
		if sum := math.Float32bits(float32(float64(b[i]) + float64(by*v))); c[i] >= least {
			u = sum
		}
		d[i] = math.Float32frombits(u)
	}
}

// CountLarger adds 1 to count where |x| > by·|all − x|.
func CountLarger(count, x, all []float64, by float64) {
	same(len(count), len(x))
	same(len(all), len(x))
	n := len(x) &^ (vectorStep - 1)
	if n > 0 {
		active().deltas.countLarger(n, &count[0], &x[0], &all[0], by)
	}
	countLargerGo(len(x)-n, unsafe.SliceData(count[n:]), unsafe.SliceData(x[n:]), unsafe.SliceData(all[n:]), by)
}

func countLargerGo(n int, count, x, all *float64, by float64) {
	c, a := unsafe.Slice(count, n), unsafe.Slice(all, n)
	for i, v := range unsafe.Slice(x, n) {
		c[i] += float64(bit(math.Abs(v) > float64(by*math.Abs(a[i]-v))))
	}
}

// CountEqual returns how many elements equal v.
func CountEqual(x []float64, v float64) int {
	n := len(x) &^ (vectorStep - 1)
	k := 0
	if n > 0 {
		k = active().deltas.countEqual(n, &x[0], v)
	}
	return k + countEqualGo(len(x)-n, unsafe.SliceData(x[n:]), v)
}

func countEqualGo(n int, x *float64, v float64) (k int) {
	for _, y := range unsafe.Slice(x, n) {
		k += bit(y == v)
	}
	return k
}
