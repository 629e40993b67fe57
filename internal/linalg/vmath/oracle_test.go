package vmath

import "math/big"

// The oracles compute with far more bits than the functions they judge.
const oracleBits = 1400

func bigOf(x float64) *big.Float { return new(big.Float).SetPrec(oracleBits).SetFloat64(x) }

func bigNew() *big.Float { return new(big.Float).SetPrec(oracleBits) }

// bigExp is the Taylor series at x/2^s, squared s times, to prec bits.
func bigExp(x *big.Float, prec uint) *big.Float {
	y := new(big.Float).SetPrec(prec).Set(x)
	s := max(0, y.MantExp(nil)+8)
	y.SetMantExp(y, -s)
	sum := new(big.Float).SetPrec(prec).SetInt64(1)
	term := new(big.Float).SetPrec(prec).SetInt64(1)
	for k := int64(1); term.Sign() != 0 && term.MantExp(nil) > -int(prec); k++ {
		term.Mul(term, y).Quo(term, new(big.Float).SetInt64(k))
		sum.Add(sum, term)
	}
	for range s {
		sum.Mul(sum, sum)
	}
	return sum
}

// bigLog refines a float64 logarithm by one Newton step, which doubles its bits.
func bigLog(x, guess float64) *big.Float {
	y := new(big.Float).SetPrec(300).SetFloat64(guess)
	d := bigExp(new(big.Float).SetPrec(300).Neg(y), 300)
	d.Mul(d, bigOf(x)).Sub(d, bigOf(1))
	return y.Add(y, d)
}

// bigAtanInv is arctan(1/n).
func bigAtanInv(n int64) *big.Float {
	t := bigNew().Quo(bigOf(1), bigOf(float64(n)))
	sum := bigNew().Set(t)
	sq := bigOf(float64(n * n))
	for k := int64(1); t.MantExp(nil) > -oracleBits; k++ {
		t.Quo(t, sq)
		u := bigNew().Quo(t, bigOf(float64(2*k+1)))
		if k%2 == 1 {
			sum.Sub(sum, u)
		} else {
			sum.Add(sum, u)
		}
	}
	return sum
}

// bigPi is Machin's formula.
var bigPi = func() *big.Float {
	a := bigNew().Mul(bigAtanInv(5), bigOf(16))
	return a.Sub(a, bigNew().Mul(bigAtanInv(239), bigOf(4)))
}()

// bigSin is sin(x + quarter·π/2).
func bigSin(x float64, quarter int64) *big.Float {
	half := bigNew().Quo(bigPi, bigOf(2))
	n, _ := bigNew().Quo(bigOf(x), half).Int(nil)
	r := bigNew().Sub(bigOf(x), bigNew().Mul(half, bigNew().SetInt(n)))
	r.Add(r, bigNew().Mul(half, bigOf(float64(quarter))))
	y := new(big.Float).SetPrec(300).Set(r)
	sq := new(big.Float).SetPrec(300).Mul(y, y)
	sum := new(big.Float).SetPrec(300).Set(y)
	term := new(big.Float).SetPrec(300).Set(y)
	for k := int64(1); term.Sign() != 0 && term.MantExp(nil) > -250; k++ {
		term.Mul(term, sq).Quo(term, new(big.Float).SetInt64(-2*k*(2*k+1)))
		sum.Add(sum, term)
	}
	// n mod 4 quarters were left out: sin(r + n·π/2).
	switch m := new(big.Int).And(n, big.NewInt(3)).Int64(); m {
	case 2:
		return sum.Neg(sum)
	case 1, 3:
		return bigCosOfSin(r, m)
	}
	return sum
}

// bigCosOfSin is sin(r + m·π/2) for m = 1 or 3.
func bigCosOfSin(r *big.Float, m int64) *big.Float {
	y := new(big.Float).SetPrec(300).Set(r)
	sq := new(big.Float).SetPrec(300).Mul(y, y)
	sum := new(big.Float).SetPrec(300).SetInt64(1)
	term := new(big.Float).SetPrec(300).SetInt64(1)
	for k := int64(1); term.Sign() != 0 && term.MantExp(nil) > -250; k++ {
		term.Mul(term, sq).Quo(term, new(big.Float).SetInt64(-(2*k-1)*2*k))
		sum.Add(sum, term)
	}
	if m == 3 {
		sum.Neg(sum)
	}
	return sum
}
