package vmath

import "github.com/compressc/compressc/internal/linalg/kernel"

var neonTable = table{expNEON, siluNEON, geluNEON, expShiftNEON, scaleNEON, maximumNEON, dotNEON,
	addToNEON, momentsNEON, keepNEON, addScaledNEON,
	freezeNEON, freezeGridNEON, descendNEON, descendGridNEON,
	elementTable{multiplyNEON, scaleGainNEON, rotateNEON, rotateBackNEON, gateGradientNEON},
	deltaTable{differenceNEON, magnitudesNEON, betweenNEON, keepOverNEON, keepBelowNEON, addProductNEON, addAgreeingNEON, divideByNEON,
		roundSumNEON, roundSumWhereNEON, countLargerNEON, countEqualNEON},
	gridTable{widenNEON, narrowNEON, onlyNEON, extremesNEON, decodeNEON, encodeNEON, roundNEON, scoresNEON, finiteNEON, finite64NEON, twoOfFourNEON,
		copyBlockNEON, valueBlockNEON, changeBlockNEON, dotBlockNEON, energyBlockNEON, acceptBlockNEON, settleNEON, settleGridNEON, chooseTwoOf4NEON, dropBlockNEON}}

func active() *table {
	if kernel.Active() == kernel.NEON {
		return &neonTable
	}
	return &goTable
}

// constants are read by the assembler: one row of two equal numbers each, in the
// order that gen/neon/main.go names.
//
//lint:ignore U1000 only assembler reads it
var constants = func() (c [18 * 2]float64) {
	rows := append([]float64{log2e, roundMagic, -ln2, expLimit, -expLimit, 1}, expCoefficients[:]...)
	rows = append(rows, gelu1, gelu3)
	for i := range c {
		c[i] = rows[i/2]
	}
	return c
}()
