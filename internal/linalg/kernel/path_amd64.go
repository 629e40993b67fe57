package kernel

import "golang.org/x/sys/cpu"

var avx512Table = table{
	path: AVX512,
	sgemm: []Gemm[float32]{
		{MR: 24, NR: 16, Run: sgemm24x16AVX512, Rows: []RowsTile[float32]{{24, sgemm24x16rowsAVX512}, {8, sgemm8x16rowsAVX512}}},
		{MR: 12, NR: 32, Run: sgemm12x32AVX512, Rows: []RowsTile[float32]{{8, sgemm8x32rowsAVX512}}},
		{MR: 8, NR: 48, Run: sgemm8x48AVX512, Some: []Tile[float32]{sgemm8x16of48AVX512, sgemm8x32of48AVX512}},
	},
	dgemm: []Gemm[float64]{
		{MR: 24, NR: 8, Run: dgemm24x8AVX512, Rows: []RowsTile[float64]{{24, dgemm24x8rowsAVX512}, {8, dgemm8x8rowsAVX512}}},
		{MR: 12, NR: 16, Run: dgemm12x16AVX512, Rows: []RowsTile[float64]{{8, dgemm8x16rowsAVX512}}},
		{MR: 8, NR: 24, Run: dgemm8x24AVX512, Some: []Tile[float64]{dgemm8x8of24AVX512, dgemm8x16of24AVX512}},
	},
	svector:  Vector[float32]{Width: 128, Run: svectorAVX512},
	dvector:  Vector[float64]{Width: 64, Run: dvectorAVX512},
	srows:    []Rows[float32]{{2, 4, 4, []int{4, 2}, srowsAVX512}, {2, 2, 4, []int{1}, srowsAVX2}},
	drows:    []Rows[float64]{{4, 4, 2, []int{4}, drowsAVX512}, {4, 2, 2, []int{2, 1}, drowsAVX2}},
	packF32:  packAVX512[float32],
	packF64:  packAVX512[float64],
	gemvRows: gemvRowsAVX512,
	gemvCols: gemvColsAVX512,
	divide:   divideAVX512,
	poles:    polesAVX2,
	ratios:   gapRatiosAVX2,
	band:     8,
	transposeBand: func(cols int, src []float64, lds int, dst []float64, ldd int) {
		transpackF64AVX512(cols/8, &src[0], lds, &dst[0], ldd, 1<<8-1)
	},
}

var avx2Table = table{
	path: AVX2,
	sgemm: []Gemm[float32]{
		{MR: 6, NR: 16, Run: sgemm6x16AVX2, Some: []Tile[float32]{sgemm6x8of16AVX2}, Rows: []RowsTile[float32]{{6, sgemm6x16rowsAVX2}}},
	},
	dgemm: []Gemm[float64]{
		{MR: 6, NR: 8, Run: dgemm6x8AVX2, Some: []Tile[float64]{dgemm6x4of8AVX2}, Rows: []RowsTile[float64]{{6, dgemm6x8rowsAVX2}}},
	},
	svector:  Vector[float32]{Width: 64, Run: svectorAVX2},
	dvector:  Vector[float64]{Width: 32, Run: dvectorAVX2},
	srows:    []Rows[float32]{{2, 2, 4, []int{2, 1}, srowsAVX2}},
	drows:    []Rows[float64]{{4, 2, 2, []int{2, 1}, drowsAVX2}},
	packF32:  packAVX2[float32],
	packF64:  packAVX2[float64],
	gemvRows: gemvRowsAVX2,
	gemvCols: gemvColsAVX2,
	divide:   divideAVX2,
	poles:    polesAVX2,
	ratios:   gapRatiosAVX2,
	band:     4,
	transposeBand: func(cols int, src []float64, lds int, dst []float64, ldd int) {
		transpackF64AVX2(cols/4, &src[0], lds, &dst[0], ldd, 4)
	},
}

func tables() []*table {
	x := cpu.X86
	var ts []*table
	if x.HasAVX512F && x.HasAVX512BW && x.HasAVX512DQ && x.HasAVX512VL && x.HasAVX2 && x.HasFMA {
		ts = append(ts, &avx512Table)
	}
	if x.HasAVX2 && x.HasFMA {
		ts = append(ts, &avx2Table)
	}
	return append(ts, &goTable)
}

// Pause spins for about n pause instructions (some 40 cycles each on current
// processors), telling the core that this is a wait loop. n > 0.
func Pause(n int) { pause(n) }
