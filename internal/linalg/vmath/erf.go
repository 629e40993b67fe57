package vmath

import "math"

// Coefficients of msun's s_erf.c:
//
//	Copyright (C) 1993 by Sun Microsystems, Inc. All rights reserved.
//	Developed at SunPro, a Sun Microsystems, Inc. business.
//	Permission to use, copy, modify, and distribute this software is freely
//	granted, provided that this notice is preserved.
var (
	erfP  = []float64{-2.37630166566501626084e-05, -5.77027029648944159157e-03, -2.84817495755985104766e-02, -3.25042107247001499370e-01, 1.28379167095512558561e-01}
	erfQ  = []float64{-3.96022827877536812320e-06, 1.32494738004321644526e-04, 5.08130628187576562776e-03, 6.50222499887672944485e-02, 3.97917223959155352819e-01, 1}
	erfA  = []float64{-2.16637559486879084300e-03, 3.54783043256182359371e-02, -1.10894694282396677476e-01, 3.18346619901161753674e-01, -3.72207876035701323847e-01, 4.14856118683748331666e-01, -2.36211856075265944077e-03}
	erfAQ = []float64{1.19844998467991074170e-02, 1.36370839120290507362e-02, 1.26171219808761642112e-01, 7.18286544141962662868e-02, 5.40397917702171048937e-01, 1.06420880400844228286e-01, 1}
	erfR  = []float64{-9.81432934416914548592e+00, -8.12874355063065934246e+01, -1.84605092906711035994e+02, -1.62396669462573470355e+02, -6.23753324503260060396e+01, -1.05586262253232909814e+01, -6.93858572707181764372e-01, -9.86494403484714822705e-03}
	erfS  = []float64{-6.04244152148580987438e-02, 6.57024977031928170135e+00, 1.08635005541779435134e+02, 4.29008140027567833386e+02, 6.45387271733267880336e+02, 4.34565877475229228821e+02, 1.37657754143519042600e+02, 1.96512716674392571292e+01, 1}
)

// Erf32 returns the error function, error below 0.501 ulp.
func Erf32(x float32) float32 {
	v := math.Abs(float64(x))
	var y float64
	switch {
	case x != x:
		return x
	case v < 0.84375:
		z := float64(v * v)
		y = math.FMA(v, horner(z, erfP...)/horner(z, erfQ...), v)
	case v < 1.25:
		s := v - 1
		y = 8.45062911510467529297e-01 + horner(s, erfA...)/horner(s, erfAQ...)
	case v < 4:
		// msun has another fit from 1/0.35 on, where erfc(v) < 6e-5: of its digits
		// float32 needs few, and this one still has 20 bits of it.
		s := 1 / float64(v*v)
		y = 1 - exp37(-float64(v*v)-0.5625+horner(s, erfR...)/horner(s, erfS...))/v
	default:
		y = 1 // erfc(4) is below half an ulp of 1
	}
	return float32(math.Copysign(y, float64(x)))
}
