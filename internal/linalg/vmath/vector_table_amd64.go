package vmath

import (
	"math"

	"github.com/compressc/compressc/internal/linalg/kernel"
)

var (
	avx512Table = table{expAVX512, siluAVX512, geluAVX512, expShiftAVX512, scaleAVX512, maximumAVX512, dotAVX512,
		addToAVX512, momentsAVX512, keepAVX512, addScaledAVX512,
		freezeAVX512, freezeGridAVX512, descendAVX512, descendGridAVX512,
		elementTable{multiplyAVX512, scaleGainAVX512, rotateAVX512, rotateBackAVX512, gateGradientAVX512},
		deltaTable{differenceAVX512, magnitudesAVX512, betweenAVX512, keepOverAVX512, keepBelowAVX512, addProductAVX512, addAgreeingAVX512, divideByAVX512,
			roundSumAVX512, roundSumWhereAVX512, countLargerAVX512, countEqualAVX512},
		gridTable{widenAVX512, narrowAVX512, onlyAVX512, extremesAVX512, decodeAVX512, encodeAVX512, roundAVX512, scoresAVX512, finiteAVX512, finite64AVX512, twoOfFourAVX512,
			copyBlockAVX512, valueBlockAVX512, changeBlockAVX512, dotBlockAVX512, energyBlockAVX512, acceptBlockAVX512, settleAVX512, settleGridAVX512, chooseTwoOf4AVX512, dropBlockAVX512}}
	avx2Table = table{expAVX2, siluAVX2, geluAVX2, expShiftAVX2, scaleAVX2, maximumAVX2, dotAVX2,
		addToAVX2, momentsAVX2, keepAVX2, addScaledAVX2,
		freezeAVX2, freezeGridAVX2, descendAVX2, descendGridAVX2,
		elementTable{multiplyAVX2, scaleGainAVX2, rotateAVX2, rotateBackAVX2, gateGradientAVX2},
		deltaTable{differenceAVX2, magnitudesAVX2, betweenAVX2, keepOverAVX2, keepBelowAVX2, addProductAVX2, addAgreeingAVX2, divideByAVX2,
			roundSumAVX2, roundSumWhereAVX2, countLargerAVX2, countEqualAVX2},
		gridTable{widenAVX2, narrowAVX2, onlyAVX2, extremesAVX2, decodeAVX2, encodeAVX2, roundAVX2, scoresAVX2, finiteAVX2, finite64AVX2, twoOfFourAVX2,
			copyBlockAVX2, valueBlockAVX2, changeBlockAVX2, dotBlockAVX2, energyBlockAVX2, acceptBlockAVX2, settleAVX2, settleGridAVX2, chooseTwoOf4AVX2, dropBlockAVX2}}
)

func active() *table {
	switch kernel.Active() {
	case kernel.AVX512:
		return &avx512Table
	case kernel.AVX2:
		return &avx2Table
	}
	return &goTable
}

// constants are read by the assembler: one row of eight equal numbers each, in
// the order that gen/main.go names.
//
//lint:ignore U1000 only assembler reads it
var constants = func() (c [19 * 8]float64) {
	rows := append([]float64{log2e, roundMagic, -ln2, expLimit, -expLimit, 1, math.Copysign(0, -1)}, expCoefficients[:]...)
	rows = append(rows, gelu1, gelu3)
	for i := range c {
		c[i] = rows[i/8]
	}
	return c
}()
