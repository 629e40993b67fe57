package kernel

// neonTable is for every arm64 machine: NEON and its fused multiply-add are part
// of the architecture.
var neonTable = table{
	path:     NEON,
	sgemm:    []Gemm[float32]{{MR: 8, NR: 12, Run: sgemm8x12NEON}},
	dgemm:    []Gemm[float64]{{MR: 8, NR: 6, Run: dgemm8x6NEON}},
	svector:  Vector[float32]{Width: 32, Run: svectorNEON},
	dvector:  Vector[float64]{Width: 16, Run: dvectorNEON},
	srows:    []Rows[float32]{{4, 1, 4, []int{1}, srowsNEON}},
	drows:    []Rows[float64]{{8, 1, 2, []int{1}, drowsNEON}},
	packF32:  packNEON[float32],
	packF64:  packNEON[float64],
	gemvRows: gemvRowsNEON,
	gemvCols: gemvColsNEON,
	divide:   divideNEON,
	poles:    polesNEON,
	ratios:   gapRatiosNEON,
	band:     8,
	transposeBand: func(cols int, src []float64, lds int, dst []float64, ldd int) {
		transpackF64w8NEON(cols/2, &src[0], lds, &dst[0], ldd)
	},
}

func tables() []*table { return []*table{&neonTable, &goTable} }
