//go:build ignore

package main

import (
	"fmt"
	"os"
	"strings"
)

// The assembler of Go knows few of the floating point instructions on vectors;
// the others are written as their encodings (Arm Architecture Reference Manual,
// C7.2), with what a disassembler makes of them as comment.

func word(op int, comment string, a ...any) {
	p("\tWORD $0x%08x // %s", op, fmt.Sprintf(comment, a...))
}

// neonElement is d += n·m[at].
func neonElement(f64 bool, d, n, m, at int) {
	if f64 {
		word(0x4fc01000|at<<11|m<<16|n<<5|d, "fmla v%d.2d, v%d.2d, v%d.d[%d]", d, n, m, at)
	} else {
		word(0x4f801000|(at&1)<<21|(at>>1)<<11|m<<16|n<<5|d, "fmla v%d.4s, v%d.4s, v%d.s[%d]", d, n, m, at)
	}
}

func neonAdd(d, n, m int) { neonOp(0x4e60d400, "fadd", d, n, m) }

// neonTile is a GEMM kernel of 8 rows by 3 vectors: 24 accumulators, the rest for
// one step of both panels.
func neonTile(name string, f64 bool) {
	const mr, nv = 8, 3
	es, sh, ty, form, lanes, fmov := 4, 2, "float32", "S4", 4, "FMOVS"
	elem := "S"
	if f64 {
		es, sh, ty, form, lanes, fmov, elem = 8, 3, "float64", "D2", 2, "FMOVD", "D"
	}
	aRegs := mr / lanes
	a0, b0 := 24, 24+aRegs
	list := func(from, n int) string {
		s := ""
		for i := range n {
			if i > 0 {
				s += ", "
			}
			s += fmt.Sprintf("V%d.%s", from+i, form)
		}
		return "[" + s + "]"
	}
	fn(name, fmt.Sprintf("kc int, a, b, c *%s, ldc int, alpha %s, add int", ty, ty), 56)
	p("\tMOVD kc+0(FP), R0\n\tMOVD a+8(FP), R1\n\tMOVD b+16(FP), R2\n\tMOVD c+24(FP), R3\n\tMOVD ldc+32(FP), R4\n\tMOVD add+48(FP), R6\n\tLSL $%d, R4, R4", sh)
	p("\tMOVD R3, R5")
	for range mr {
		p("\tPRFM (R5), PLDL1KEEP\n\tADD R4, R5, R5")
	}
	for i := range mr * nv {
		p("\tVEOR V%d.B16, V%d.B16, V%d.B16", i, i, i)
	}
	step := func() {
		p("\tVLD1.P %d(R1), %s", mr*es, list(a0, aRegs))
		p("\tVLD1.P %d(R2), %s", nv*16, list(b0, nv))
		for i := range mr {
			for v := range nv {
				neonElement(f64, i*nv+v, b0+v, a0+i/lanes, i%lanes)
			}
		}
	}
	p("\tLSR $2, R0, R7\n\tAND $3, R0, R0\n\tCBZ R7, %s_rem\n%s_l4:", name, name)
	for range 4 {
		step()
	}
	p("\tSUB $1, R7, R7\n\tCBNZ R7, %s_l4\n%s_rem:\n\tCBZ R0, %s_end\n%s_l1:", name, name, name, name)
	step()
	p("\tSUB $1, R0, R0\n\tCBNZ R0, %s_l1\n%s_end:", name, name)
	p("\t%s alpha+40(FP), F31\n\tVDUP V31.%s[0], V31.%s\n\tCBZ R6, %s_store", fmov, elem, form, name)
	for _, load := range []bool{true, false} {
		if !load {
			p("%s_store:", name)
		}
		for i := range mr {
			if load {
				p("\tVLD1 (R3), %s", list(b0, nv))
			} else {
				for v := range nv {
					p("\tVEOR V%d.B16, V%d.B16, V%d.B16", b0+v, b0+v, b0+v)
				}
			}
			for v := range nv {
				p("\tVFMLA V31.%s, V%d.%s, V%d.%s", form, i*nv+v, form, b0+v, form)
			}
			p("\tVST1 %s, (R3)", list(b0, nv))
			if i+1 < mr {
				p("\tADD R4, R3, R3")
			}
		}
		p("\tRET")
	}
	p("")
}

// neonVector is vectorTile of 8 vectors.
func neonVector(name string, f64 bool) {
	const nv = 8
	sh, es, ty, form, elem, fmov := 2, 4, "float32", "S4", "S", "FMOVS"
	if f64 {
		sh, es, ty, form, elem, fmov = 3, 8, "float64", "D2", "D", "FMOVD"
	}
	four := func(from int) string {
		return fmt.Sprintf("[V%d.%s, V%d.%s, V%d.%s, V%d.%s]", from, form, from+1, form, from+2, form, from+3, form)
	}
	fn(name, fmt.Sprintf("kc int, x, b *%s, ldb int, y *%s, alpha %s, add int", ty, ty, ty), 56)
	p("\tMOVD kc+0(FP), R0\n\tMOVD x+8(FP), R1\n\tMOVD b+16(FP), R2\n\tMOVD ldb+24(FP), R3\n\tMOVD y+32(FP), R4\n\tMOVD add+48(FP), R6\n\tLSL $%d, R3, R3", sh)
	for v := range nv {
		p("\tVEOR V%d.B16, V%d.B16, V%d.B16", v, v, v)
	}
	p("%s_k:\n\tVLD1R.P %d(R1), [V31.%s]\n\tMOVD R2, R5", name, es, form)
	for v := 0; v < nv; v += 4 {
		p("\tVLD1.P 64(R5), %s", four(16))
		for q := range 4 {
			p("\tVFMLA V31.%s, V%d.%s, V%d.%s", form, 16+q, form, v+q, form)
		}
	}
	p("\tADD R3, R2, R2\n\tSUBS $1, R0, R0\n\tBNE %s_k", name)
	p("\t%s alpha+40(FP), F31\n\tVDUP V31.%s[0], V31.%s\n\tCBZ R6, %s_store", fmov, elem, form, name)
	for _, load := range []bool{true, false} {
		if !load {
			p("%s_store:", name)
		}
		for v := 0; v < nv; v += 4 {
			if load {
				p("\tVLD1 (R4), %s", four(16))
			} else {
				for q := range 4 {
					p("\tVEOR V%d.B16, V%d.B16, V%d.B16", 16+q, 16+q, 16+q)
				}
			}
			for q := range 4 {
				p("\tVFMLA V31.%s, V%d.%s, V%d.%s", form, v+q, form, 16+q, form)
			}
			p("\tVST1.P %s, 64(R4)", four(16))
		}
		p("\tRET")
	}
	p("")
}

// neonRowPointer is the register that points to row i, at most the sixteenth.
func neonRowPointer(i int) string {
	if i < 13 {
		return fmt.Sprintf("R%d", 5+i)
	}
	return fmt.Sprintf("R%d", 6+i) // R18 is the platform's
}

// neonRows is rowTile with one lane a register and sixteen rows: each has its
// pointer. Columns that make no whole register are loaded one at a time, so that
// x needs nothing beyond kc.
func neonRows(name string, f64 bool) {
	sh, es, ty, form, elem, fmov, lane := 2, 4, "float32", "S4", "S", "FMOVS", 4
	if f64 {
		sh, es, ty, form, elem, fmov, lane = 3, 8, "float64", "D2", "D", "FMOVD", 2
	}
	const rows, acc, regX, alpha = 16, 16, 24, 31
	groups := rows / lane
	pointer := neonRowPointer
	fn(name, fmt.Sprintf("kc int, x, a *%s, l1, l2, ld, rg int, y *%s, alpha %s", ty, ty, ty), 64+es)
	p("\tMOVD kc+0(FP), R0\n\tMOVD x+8(FP), R1\n\tMOVD a+16(FP), %s\n\tMOVD ld+40(FP), R3\n\tMOVD y+56(FP), R4\n\tLSL $%d, R3, R3", pointer(0), sh)
	for i := 1; i < rows; i++ {
		p("\tADD R3, %s, %s", pointer(i-1), pointer(i))
	}
	for g := range groups {
		p("\tVEOR V%d.B16, V%d.B16, V%d.B16", acc+g, acc+g, acc+g)
	}
	p("\tSUBS $%d, R0, R0\n\tBLT %s_few\n%s_l:\n\tVLD1.P 16(R1), [V%d.%s]", lane, name, name, regX, form)
	for g := range groups {
		r := g % 2 * 2 * lane
		trn := func(half int, kind string, b, a, d int) {
			p("\tVTRN%d V%d.%s, V%d.%s, V%d.%s", half, r+b, kind, r+a, kind, r+d, kind)
		}
		for i := range lane {
			p("\tVLD1.P 16(%s), [V%d.%s]", pointer(g*lane+i), r+i, form)
		}
		column := []int{2, 3}
		if f64 {
			trn(1, "D2", 1, 0, 2)
			trn(2, "D2", 1, 0, 3)
		} else {
			for i := 0; i < 4; i += 2 {
				trn(1, "S4", i+1, i, 4+i)
				trn(2, "S4", i+1, i, 5+i)
			}
			for i := range 2 {
				trn(1, "D2", 6+i, 4+i, i)
				trn(2, "D2", 6+i, 4+i, 2+i)
			}
			column = []int{0, 1, 2, 3}
		}
		for j, c := range column {
			neonElement(f64, acc+g, r+c, regX, j)
		}
	}
	p("\tSUBS $%d, R0, R0\n\tBGE %s_l\n%s_few:\n\tADDS $%d, R0, R0\n\tBEQ %s_end\n%s_1:\n\tVLD1R.P %d(R1), [V%d.%s]", lane, name, name, lane, name, name, es, regX, form)
	for i := range rows {
		p("\tVLD1.P %d(%s), V%d.%s[%d]", es, pointer(i), i/lane, elem, i%lane)
	}
	for g := range groups {
		p("\tVFMLA V%d.%s, V%d.%s, V%d.%s", regX, form, g, form, acc+g, form)
	}
	p("\tSUBS $1, R0, R0\n\tBNE %s_1\n%s_end:\n\t%s alpha+64(FP), F%d\n\tVDUP V%d.%s[0], V%d.%s", name, name, fmov, alpha, alpha, elem, alpha, form)
	for g := range groups {
		p("\tVLD1 (R4), [V0.%s]\n\tVFMLA V%d.%s, V%d.%s, V0.%s\n\tVST1.P [V0.%s], 16(R4)", form, alpha, form, acc+g, form, form, form)
	}
	p("\tRET\n")
}

// neonGemvRows: y[i] = the eight-lane sum of a[i,:]·x; n is a multiple of 8.
func neonGemvRows() {
	const name = "gemvRowsNEON"
	fn(name, "m, n int, a *float64, lda int, x, y *float64", 48)
	p("\tMOVD m+0(FP), R0\n\tMOVD a+16(FP), R1\n\tMOVD lda+24(FP), R2\n\tLSL $3, R2, R2\n\tMOVD x+32(FP), R3\n\tMOVD y+40(FP), R4")
	for _, rows := range []int{4, 1} {
		l := fmt.Sprintf("%s_%d", name, rows)
		p("%s:\n\tCMP $%d, R0\n\tBLT %s_done\n\tMOVD n+8(FP), R5\n\tLSR $3, R5, R5\n\tMOVD R3, R6\n\tMOVD R1, R8", l, rows, l)
		for i := 1; i < rows; i++ {
			p("\tADD R2, R%d, R%d", 7+i, 8+i)
		}
		for i := range 4 * rows {
			p("\tVEOR V%d.B16, V%d.B16, V%d.B16", i, i, i)
		}
		p("\tCBZ R5, %s_sum\n%s_k:\n\tVLD1.P 64(R6), [V20.D2, V21.D2, V22.D2, V23.D2]", l, l)
		for i := range rows {
			p("\tVLD1.P 64(R%d), [V24.D2, V25.D2, V26.D2, V27.D2]", 8+i)
			for v := range 4 {
				p("\tVFMLA V%d.D2, V%d.D2, V%d.D2", 20+v, 24+v, 4*i+v)
			}
		}
		p("\tSUB $1, R5, R5\n\tCBNZ R5, %s_k\n%s_sum:", l, l)
		for i := range rows {
			neonAdd(4*i, 4*i, 4*i+2)
			neonAdd(4*i+1, 4*i+1, 4*i+3)
			neonAdd(4*i, 4*i, 4*i+1)
			word(0x7e70d800|4*i<<5|4*i, "faddp d%d, v%d.2d", 4*i, 4*i)
			p("\tFMOVD F%d, %d(R4)", 4*i, 8*i)
		}
		// R8+rows-1 has walked the last row; its start is what comes next.
		p("\tADD $%d, R4, R4\n\tSUB $%d, R0, R0", 8*rows, rows)
		for range rows {
			p("\tADD R2, R1, R1")
		}
		p("\tB %s\n%s_done:", l, l)
	}
	p("\tRET\n")
}

// neonGemvCols: y[j] = fma chain over i of c[i]·a[i,j] from y[j]; n is a multiple
// of 8.
func neonGemvCols() {
	const name = "gemvColsNEON"
	fn(name, "m, n int, a *float64, lda int, c, y *float64", 48)
	p("\tMOVD n+8(FP), R0\n\tMOVD a+16(FP), R1\n\tMOVD lda+24(FP), R2\n\tLSL $3, R2, R2\n\tMOVD y+40(FP), R4")
	for _, nv := range []int{16, 4} {
		l := fmt.Sprintf("%s_%d", name, nv)
		each := func(op, from string, base, inc int) {
			for v := 0; v < nv; v += 4 {
				p("\t%s.P %d(%s), [V%d.D2, V%d.D2, V%d.D2, V%d.D2]", op, inc, from, base+v, base+v+1, base+v+2, base+v+3)
			}
		}
		p("%s:\n\tCMP $%d, R0\n\tBLT %s_done\n\tMOVD m+0(FP), R5\n\tMOVD c+32(FP), R3\n\tMOVD R1, R6\n\tMOVD R4, R7", l, 2*nv, l)
		each("VLD1", "R7", 0, 64)
		p("\tCBZ R5, %s_put\n%s_i:\n\tVLD1R.P 8(R3), [V31.D2]\n\tMOVD R6, R8", l, l)
		for v := 0; v < nv; v += 4 {
			p("\tVLD1.P 64(R8), [V24.D2, V25.D2, V26.D2, V27.D2]")
			for q := range 4 {
				p("\tVFMLA V31.D2, V%d.D2, V%d.D2", 24+q, v+q)
			}
		}
		p("\tADD R2, R6, R6\n\tSUB $1, R5, R5\n\tCBNZ R5, %s_i\n%s_put:", l, l)
		for v := 0; v < nv; v += 4 {
			p("\tVST1.P [V%d.D2, V%d.D2, V%d.D2, V%d.D2], 64(R4)", v, v+1, v+2, v+3)
		}
		p("\tADD $%d, R1, R1\n\tSUB $%d, R0, R0\n\tB %s\n%s_done:", 16*nv, 2*nv, l, l)
	}
	p("\tRET\n")
}

// neonPackRows copies nv vectors, two to four, of each of kc rows that are ldBytes
// apart.
func neonPackRows() {
	const name = "packRowsNEON"
	fn(name, "kc int, src unsafe.Pointer, ldBytes int, dst unsafe.Pointer, nv int", 40)
	p("\tMOVD kc+0(FP), R0\n\tMOVD src+8(FP), R1\n\tMOVD ldBytes+16(FP), R2\n\tMOVD dst+24(FP), R3\n\tMOVD nv+32(FP), R4\n\tCMP $3, R4\n\tBEQ %s_3\n\tBGT %s_4", name, name)
	list := "V0.D2, V1.D2"
	for nv := 2; nv <= 4; nv++ {
		p("%s_%d:\n\tVLD1 (R1), [%s]\n\tADD R2, R1, R1\n\tVST1.P [%s], %d(R3)\n\tSUBS $1, R0, R0\n\tBNE %s_%d\n\tRET", name, nv, list, list, 16*nv, name, nv)
		list += fmt.Sprintf(", V%d.D2", nv)
	}
	p("")
}

// neonTranspack writes the columns of w rows, ld apart: nb times as many as a
// register has elements, stride apart.
func neonTranspack(name string, f64 bool, w int) {
	sh, ty, form, lane := 2, "float32", "S4", 4
	if f64 {
		sh, ty, form, lane = 3, "float64", "D2", 2
	}
	const temp, out = 12, 16
	groups := w / lane
	fn(name, fmt.Sprintf("nb int, src *%s, ld int, dst *%s, stride int", ty, ty), 40)
	p("\tMOVD nb+0(FP), R0\n\tMOVD src+8(FP), %s\n\tMOVD ld+16(FP), R2\n\tLSL $%d, R2, R2\n\tMOVD dst+24(FP), R3\n\tMOVD stride+32(FP), R4\n\tLSL $%d, R4, R4", neonRowPointer(0), sh, sh)
	for i := 1; i < w; i++ {
		p("\tADD R2, %s, %s", neonRowPointer(i-1), neonRowPointer(i))
	}
	p("%s_l:", name)
	for i := range w {
		p("\tVLD1.P 16(%s), [V%d.%s]", neonRowPointer(i), i, form)
	}
	trn := func(half int, kind string, b, a, d int) {
		p("\tVTRN%d V%d.%s, V%d.%s, V%d.%s", half, b, kind, a, kind, d, kind)
	}
	for g := range groups {
		column := func(j int) int { return out + j*groups + g }
		if f64 {
			trn(1, "D2", 2*g+1, 2*g, column(0))
			trn(2, "D2", 2*g+1, 2*g, column(1))
			continue
		}
		for i := 0; i < 4; i += 2 {
			trn(1, "S4", 4*g+i+1, 4*g+i, temp+i)
			trn(2, "S4", 4*g+i+1, 4*g+i, temp+i+1)
		}
		for i := range 2 {
			trn(1, "D2", temp+2+i, temp+i, column(i))
			trn(2, "D2", temp+2+i, temp+i, column(2+i))
		}
	}
	for j := range lane {
		list := ""
		for g := range groups {
			if g > 0 {
				list += ", "
			}
			list += fmt.Sprintf("V%d.%s", out+j*groups+g, form)
		}
		p("\tVST1 [%s], (R3)\n\tADD R4, R3, R3", list)
	}
	p("\tSUBS $1, R0, R0\n\tBNE %s_l\n\tRET\n", name)
}

func neonDivide() {
	fn("divideNEON", "n int, x *float64, d float64", 24)
	p("\tMOVD n+0(FP), R0\n\tMOVD x+8(FP), R1\n\tFMOVD d+16(FP), F31\n\tVDUP V31.D[0], V31.D2\ndivideNEON_l:\n\tVLD1 (R1), [V0.D2, V1.D2, V2.D2, V3.D2]")
	for v := range 4 {
		neonOp(fdiv64, "fdiv", v, v, 31)
	}
	p("\tVST1.P [V0.D2, V1.D2, V2.D2, V3.D2], 64(R1)\n\tSUBS $8, R0, R0\n\tBNE divideNEON_l\n\tRET\n")
}

// neonOp emits a float64 operation of two vectors: d = n op m.
func neonOp(op int, name string, d, n, m int) {
	word(op|m<<16|n<<5|d, name+" v%d.2d, v%d.2d, v%d.2d", d, n, m)
}

const (
	fsub64 = 0x4ee0d400
	fmul64 = 0x6e60dc00
	fdiv64 = 0x6e60fc00
)

func neonPoles() {
	fn("polesNEON", "n int, gap, z2 *float64, mu float64, sums *[8]float64", 40)
	p("\tMOVD n+0(FP), R0\n\tMOVD gap+8(FP), R1\n\tMOVD z2+16(FP), R2\n\tFMOVD mu+24(FP), F16\n\tVDUP V16.D[0], V16.D2\n\tMOVD sums+32(FP), R3\n\tFMOVD $1.0, F17\n\tVDUP V17.D[0], V17.D2")
	for v := range 4 {
		p("\tVEOR V%d.B16, V%d.B16, V%d.B16", v, v, v)
	}
	p("polesNEON_l:\n\tVLD1.P 32(R1), [V4.D2, V5.D2]\n\tVLD1.P 32(R2), [V6.D2, V7.D2]")
	for v := range 2 {
		neonOp(fsub64, "fsub", 4+v, 4+v, 16)
		neonOp(fdiv64, "fdiv", 4+v, 17, 4+v)
		neonOp(fmul64, "fmul", 6+v, 6+v, 4+v)
		neonAdd(v, v, 6+v)
		neonOp(fmul64, "fmul", 6+v, 6+v, 4+v)
		neonAdd(2+v, 2+v, 6+v)
	}
	p("\tSUBS $4, R0, R0\n\tBNE polesNEON_l\n\tVST1 [V0.D2, V1.D2, V2.D2, V3.D2], (R3)\n\tRET\n")
}

func neonGapRatios() {
	fn("gapRatiosNEON", "n int, x, gap, d *float64, at float64", 40)
	p("\tMOVD n+0(FP), R0\n\tMOVD x+8(FP), R1\n\tMOVD gap+16(FP), R2\n\tMOVD d+24(FP), R3\n\tFMOVD at+32(FP), F16\n\tVDUP V16.D[0], V16.D2")
	p("gapRatiosNEON_l:\n\tVLD1.P 32(R3), [V0.D2, V1.D2]\n\tVLD1.P 32(R2), [V2.D2, V3.D2]\n\tVLD1 (R1), [V4.D2, V5.D2]")
	for v := range 2 {
		neonOp(fsub64, "fsub", v, v, 16)
		neonOp(fdiv64, "fdiv", v, 2+v, v)
		neonOp(fmul64, "fmul", v, 4+v, v)
	}
	p("\tVST1.P [V0.D2, V1.D2], 32(R1)\n\tSUBS $4, R0, R0\n\tBNE gapRatiosNEON_l\n\tRET\n")
}

// writeFiles writes what was generated so far for one architecture.
func writeFiles(arch string) {
	for name, s := range map[string]string{"kernel_" + arch + ".s": asm.String(), "kernel_" + arch + ".go": strings.TrimRight(decl.String(), "\n") + "\n"} {
		if err := os.WriteFile(name, []byte(s), 0o644); err != nil {
			panic(err)
		}
	}
	asm.Reset()
	decl.Reset()
}

func neon() {
	gp("// Code generated by gen/main.go. DO NOT EDIT.\n\npackage kernel\n\nimport \"unsafe\"\n")
	p("// Code generated by gen/main.go. DO NOT EDIT.\n\n#include \"textflag.h\"\n")
	neonTile("sgemm8x12NEON", false)
	neonTile("dgemm8x6NEON", true)
	neonVector("svectorNEON", false)
	neonVector("dvectorNEON", true)
	neonRows("srowsNEON", false)
	neonRows("drowsNEON", true)
	neonGemvRows()
	neonGemvCols()
	neonDivide()
	neonPoles()
	neonGapRatios()
	neonPackRows()
	neonTranspack("transpackF32w8NEON", false, 8)
	neonTranspack("transpackF32w12NEON", false, 12)
	neonTranspack("transpackF64w6NEON", true, 6)
	neonTranspack("transpackF64w8NEON", true, 8)
	writeFiles("arm64")
}
