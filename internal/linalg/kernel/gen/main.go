//go:build ignore

// gen writes kernel_amd64.s and kernel_amd64.go, the AVX-512 and AVX2 forms of
// the kernels, and kernel_arm64.s and kernel_arm64.go, the NEON form. Plain text generation on purpose: the assembler of one kernel is
// a few nested loops over registers, and a reader compares the two at a glance.
package main

import (
	"fmt"
	"strings"
)

var asm, decl strings.Builder

func p(f string, a ...any)  { fmt.Fprintf(&asm, f+"\n", a...) }
func gp(f string, a ...any) { fmt.Fprintf(&decl, f+"\n", a...) }

// fn opens a function: declaration, comment and TEXT line. args counts bytes.
func fn(name, sig string, args int) {
	gp("//go:noescape\nfunc %s(%s)\n", name, sig)
	p("// func %s(%s)", name, sig)
	p("TEXT ·%s(SB), NOSPLIT, $0-%d", name, args)
}

// tile is one GEMM kernel: mr rows by nv vectors of accumulators. A step of the
// panel of B is panel vectors, of which it takes the first nv.
type tile struct {
	name          string
	f64           bool
	zmm           bool
	mr, nv, panel int
	memBc         bool // broadcast as FMA memory operand (zmm only): no register for it
	rows          bool // A is not packed: its mr rows are lda apart
}

func (k tile) emit() {
	es, sh, ty, sfx, bc := 4, 2, "float32", "PS", "VBROADCASTSS"
	if k.f64 {
		es, sh, ty, sfx, bc = 8, 3, "float64", "PD", "VBROADCASTSD"
	}
	R, vb, zero, regs := "Y", 32, "VXORPS", 16
	if k.zmm {
		R, vb, zero, regs = "Z", 64, "VPXORD", 32
	}
	mov, fma := "VMOVU"+sfx, "VFMADD231"+sfx
	nacc := k.mr * k.nv
	breg, free := nacc, nacc+k.nv
	nb := regs - free
	if nb < 1 && !k.memBc {
		panic(k.name)
	}
	const U = 4 // steps of a turn of the loop
	alpha := "alpha+40(FP)"
	if k.rows {
		alpha = "alpha+48(FP)"
		fn(k.name, fmt.Sprintf("kc int, a *%s, lda int, b, c *%s, ldc int, alpha %s, add int", ty, ty, ty), 64)
		p("\tMOVQ kc+0(FP), CX\n\tMOVQ b+24(FP), DI\n\tMOVQ c+32(FP), DX\n\tMOVQ ldc+40(FP), R8\n\tMOVQ add+56(FP), R10\n\tSHLQ $%d, R8", sh)
	} else {
		fn(k.name, fmt.Sprintf("kc int, a, b, c *%s, ldc int, alpha %s, add int", ty, ty), 56)
		p("\tMOVQ kc+0(FP), CX\n\tMOVQ a+8(FP), SI\n\tMOVQ b+16(FP), DI\n\tMOVQ c+24(FP), DX\n\tMOVQ ldc+32(FP), R8\n\tMOVQ add+48(FP), R10\n\tSHLQ $%d, R8", sh)
	}
	p("\tMOVQ DX, R9")
	for i := 0; i < nacc; i++ {
		p("\t%s %s%d, %s%d, %s%d", zero, R, i, R, i, R, i)
	}
	perRow := (k.nv*vb + 63) / 64
	lines := k.mr * perRow
	fetch := func() {
		for i := 0; i < k.mr; i++ {
			for v := 0; v < k.nv*vb; v += 64 {
				p("\tPREFETCHT0 %d(R9)", v)
			}
			p("\tADDQ R8, R9")
		}
	}
	if !k.rows {
		// C is prefetched a cache line at a time while the loop runs: all lines at
		// once would keep the loads of A and B waiting for as long as memory takes.
		// Where the loop is too short for that, they are prefetched before it.
		p("\tMOVQ $%d, R11\n\tMOVQ $%d, R12\n\tCMPQ CX, $%d\n\tJGE %s_spread\n\tXORQ R12, R12", perRow, lines, U*lines, k.name)
		fetch()
		p("%s_spread:", k.name)
	} else {
		fetch()
		// Eight rows to a pointer; rows 3, 5 and 7 need a multiple of their own.
		p("\tMOVQ a+8(FP), SI\n\tMOVQ lda+16(FP), R9\n\tSHLQ $%d, R9\n\tLEAQ (R9)(R9*2), R11\n\tLEAQ (R9)(R9*4), R12\n\tLEAQ (R11)(R9*4), R13", sh)
		if k.mr > 8 {
			p("\tLEAQ (SI)(R9*8), AX")
		}
		if k.mr > 16 {
			p("\tLEAQ (AX)(R9*8), R15")
		}
	}
	pointers := []string{"SI", "AX", "R15"}[:(k.mr+7)/8]
	elem := func(i, u int) string {
		if !k.rows {
			return fmt.Sprintf("%d(SI)", (u*k.mr+i)*es)
		}
		return fmt.Sprintf("%d(%s)%s", u*es, pointers[i/8], []string{"", "(R9*1)", "(R9*2)", "(R11*1)", "(R9*4)", "(R12*1)", "(R11*2)", "(R13*1)"}[i%8])
	}
	step := func(u int) {
		for v := 0; v < k.nv; v++ {
			p("\t%s %d(DI), %s%d", mov, (u*k.panel+v)*vb, R, breg+v)
		}
		for i := 0; i < k.mr; i++ {
			if k.memBc {
				for v := 0; v < k.nv; v++ {
					p("\t%s.BCST %s, %s%d, %s%d", fma, elem(i, u), R, breg+v, R, i*k.nv+v)
				}
				continue
			}
			r := free + i%nb
			p("\t%s %s, %s%d", bc, elem(i, u), R, r)
			for v := 0; v < k.nv; v++ {
				p("\t%s %s%d, %s%d, %s%d", fma, R, breg+v, R, r, R, i*k.nv+v)
			}
		}
	}
	next := func(u int) {
		if !k.rows {
			p("\tADDQ $%d, SI", u*k.mr*es)
		} else {
			for _, r := range pointers {
				p("\tADDQ $%d, %s", u*es, r)
			}
		}
		p("\tADDQ $%d, DI", u*k.panel*vb)
	}
	p("\tMOVQ CX, BX\n\tSHRQ $2, BX\n\tANDQ $3, CX\n\tTESTQ BX, BX\n\tJZ %s_rem", k.name)
	p("\tPCALIGN $64\n%s_l4:", k.name)
	if !k.rows {
		p("\tPREFETCHT0 %d(SI)", 4*U*k.mr*es)
		p("\tDECQ R12\n\tJLT %s_fetched\n\tPREFETCHT0 (R9)", k.name)
		if perRow > 1 {
			p("\tADDQ $64, R9\n\tDECQ R11\n\tJNZ %s_fetched\n\tMOVQ $%d, R11\n\tLEAQ -%d(R9)(R8*1), R9", k.name, perRow, 64*perRow)
		} else {
			p("\tADDQ R8, R9")
		}
		p("%s_fetched:", k.name)
	}
	for u := 0; u < U; u++ {
		step(u)
	}
	next(U)
	p("\tDECQ BX\n\tJNZ %s_l4", k.name)
	p("%s_rem:\n\tTESTQ CX, CX\n\tJZ %s_end\n%s_l1:", k.name, k.name, k.name)
	step(0)
	next(1)
	p("\tDECQ CX\n\tJNZ %s_l1\n%s_end:", k.name, k.name)
	ra, rt := breg, regs-1
	if rt <= ra {
		panic("registers")
	}
	p("\t%s %s, %s%d", bc, alpha, R, ra)
	p("\tTESTQ R10, R10\n\tJZ %s_store", k.name)
	for _, load := range []bool{true, false} {
		if !load {
			p("%s_store:", k.name)
		}
		for i := 0; i < k.mr; i++ {
			for v := 0; v < k.nv; v++ {
				if load {
					p("\t%s %d(DX), %s%d", mov, v*vb, R, rt)
				} else {
					p("\t%s %s%d, %s%d, %s%d", zero, R, rt, R, rt, R, rt)
				}
				p("\t%s %s%d, %s%d, %s%d", fma, R, i*k.nv+v, R, ra, R, rt)
				p("\t%s %s%d, %d(DX)", mov, R, rt, v*vb)
			}
			if i+1 < k.mr {
				p("\tADDQ R8, DX")
			}
		}
		p("\tVZEROUPPER\n\tRET")
	}
	p("")
}

// vectorTile is a product of a row and kc rows of nv vectors each: 1 by nv
// vectors of C.
func vectorTile(name string, f64, zmm bool, nv int) {
	es, sh, ty, sfx, bc := 4, 2, "float32", "PS", "VBROADCASTSS"
	if f64 {
		es, sh, ty, sfx, bc = 8, 3, "float64", "PD", "VBROADCASTSD"
	}
	R, vb, zero := "Y", 32, "VXORPS"
	if zmm {
		R, vb, zero = "Z", 64, "VPXORD"
	}
	mov, fma := "VMOVU"+sfx, "VFMADD231"+sfx
	fn(name, fmt.Sprintf("kc int, x, b *%s, ldb int, y *%s, alpha %s, add int", ty, ty, ty), 56)
	p("\tMOVQ kc+0(FP), CX\n\tMOVQ x+8(FP), SI\n\tMOVQ b+16(FP), DI\n\tMOVQ ldb+24(FP), R8\n\tMOVQ y+32(FP), DX\n\tMOVQ add+48(FP), R10\n\tSHLQ $%d, R8", sh)
	for v := range nv {
		p("\t%s %s%d, %s%d, %s%d", zero, R, v, R, v, R, v)
	}
	p("%s_k:\n\t%s (SI), %s15", name, bc, R)
	for v := range nv {
		p("\t%s %d(DI), %s15, %s%d", fma, v*vb, R, R, v)
	}
	p("\tADDQ $%d, SI\n\tADDQ R8, DI\n\tDECQ CX\n\tJNZ %s_k", es, name)
	p("\t%s alpha+40(FP), %s15\n\tTESTQ R10, R10\n\tJZ %s_store", bc, R, name)
	for _, load := range []bool{true, false} {
		if !load {
			p("%s_store:", name)
		}
		for v := range nv {
			if load {
				p("\t%s %d(DX), %s14", mov, v*vb, R)
			} else {
				p("\t%s %s14, %s14, %s14", zero, R, R, R)
			}
			p("\t%s %s%d, %s15, %s14\n\t%s %s14, %d(DX)", fma, R, v, R, R, mov, R, v*vb)
		}
		p("\tVZEROUPPER\n\tRET")
	}
	p("")
}

// rowTile is a product of rows of a matrix that lie as they are, not packed, and
// a vector: they are transposed in registers. A vector register holds four lanes
// of 128 bits (two with AVX2); a lane holds rows that are ld apart, and the lanes
// start at a, a+l1, a+l2 and a+l1+l2: they are further rows, or the same rows in
// other K blocks.
// There are groups registers, whose rows are rg·ld apart.
//
// x holds, for each 16 bytes of columns, what each lane multiplies. Columns past
// kc up to a whole unit count as zero and must be −0 in x: adding −0 changes
// nothing, not even −0.
func rowTile(name string, f64, zmm bool, groups int) {
	es, sh, ty, sfx, lr := 4, 2, "float32", "PS", 4
	if f64 {
		es, sh, ty, sfx, lr = 8, 3, "float64", "PD", 2
	}
	R, lanes, zero, acc := "Y", 2, "VXORPS", 14
	if zmm {
		R, lanes, zero, acc = "Z", 4, "VPXORD", 30
	}
	mov, fma := "VMOVU"+sfx, "VFMADD231"+sfx
	acc -= groups // accumulators below the vector of x and one of its elements
	regX, regP := acc+groups, acc+groups+1
	// A unit is what one load of a row brings: a whole lane, or two of them.
	unit, perGroup := lanes/2*lr, lanes/2*lr
	fn(name, fmt.Sprintf("kc int, x, a *%s, l1, l2, ld, rg int, y *%s, alpha %s", ty, ty, ty), 64+es)
	p("\tMOVQ kc+0(FP), CX\n\tMOVQ x+8(FP), DI\n\tMOVQ a+16(FP), SI\n\tMOVQ l1+24(FP), R10\n\tMOVQ ld+40(FP), R8\n\tMOVQ rg+48(FP), R12")
	p("\tSHLQ $%d, R10\n\tSHLQ $%d, R8\n\tIMULQ R8, R12\n\tLEAQ (R8)(R8*2), R9", sh, sh)
	if zmm {
		p("\tMOVQ l2+32(FP), R11\n\tSHLQ $%d, R11", sh)
	}
	for g := range groups {
		p("\t%s %s%d, %s%d, %s%d", zero, R, acc+g, R, acc+g, R, acc+g)
	}
	row := func(base string, i, off int) string {
		return fmt.Sprintf("%d(%s)%s", off, base, []string{"", "(R8*1)", "(R8*2)", "(R9*1)"}[i])
	}
	three := func(o string, b, a, d int) { p("\t%s %s%d, %s%d, %s%d", o, R, b, R, a, R, d) }
	// columns emits nu units side by side; part masks the columns that are there.
	columns := func(nu int, part bool) {
		for u := range nu {
			off := u * unit * es
			free := groups * perGroup
			var v [4][8]int
			for g := range groups {
				for i := range perGroup {
					v[g][i] = g*perGroup + i
				}
			}
			for g := range groups {
				// Pointers to the lanes: AX, BX, DX, R13.
				{
					if g > 0 {
						p("\tADDQ R12, AX")
					} else {
						p("\tMOVQ SI, AX")
					}
					p("\tLEAQ (AX)(R10*1), BX")
					if zmm {
						p("\tLEAQ (AX)(R11*1), DX\n\tLEAQ (BX)(R11*1), R13")
					}
				}
				for h := range lanes / 2 {
					lo, hi := "AX", "BX"
					if h == 1 {
						lo, hi = "DX", "R13"
					}
					for i := range lr {
						r := v[g][h*lr+i]
						switch {
						case zmm && part:
							p("\t%s.Z %s, K2, Y%d\n\tVBROADCASTF%dX%d %s, K3, Z%d", mov, row(lo, i, off), r, 8*es, 32/es, row(hi, i, off), r)
						case zmm: // a masked load would do as well, but hinders prefetching by the processor
							p("\t%s %s, Y%d\n\tVINSERTF64X4 $1, %s, Z%d, Z%d", mov, row(lo, i, off), r, row(hi, i, off), r, r)
						case part && f64: // one column
							p("\tVMOVSD %s, X%d\n\tVMOVSD %s, X%d\n\tVINSERTF128 $1, X%d, Y%d, Y%d", row(lo, i, off), r, row(hi, i, off), free, free, r, r)
						case part:
							p("\tVMASKMOVPS %s, X%d, X%d\n\tVMASKMOVPS %s, X%d, X%d\n\tVINSERTF128 $1, X%d, Y%d, Y%d", row(lo, i, off), regP, r, row(hi, i, off), regP, free, free, r, r)
						default:
							p("\t%s %s, X%d\n\tVINSERTF128 $1, %s, Y%d, Y%d", mov, row(lo, i, off), r, row(hi, i, off), r, r)
						}
					}
				}
				// butterfly replaces a, b by the low and the high halves of pairs.
				butterfly := func(kind string, a, b *int) {
					three("VUNPCKH"+kind, *b, *a, free)
					three("VUNPCKL"+kind, *b, *a, *a)
					*b, free = free, *b
				}
				for h := 0; h < perGroup; h += lr {
					w := v[g][h : h+lr]
					if !f64 {
						butterfly("PS", &w[0], &w[1])
						butterfly("PS", &w[2], &w[3])
						butterfly("PD", &w[0], &w[2])
						butterfly("PD", &w[1], &w[3])
						w[1], w[2] = w[2], w[1]
					} else {
						butterfly("PD", &w[0], &w[1])
					}
				}
			}
			for h := range unit / lr {
				p("\t%s %d(DI), %s%d", mov, (u*unit/lr+h)*lanes*16, R, regX)
				for j := range lr {
					imm := j * 0x55
					if f64 {
						imm = j * (1<<(2*lanes) - 1)
					}
					p("\tVPERMIL%s $0x%x, %s%d, %s%d", sfx, imm, R, regX, R, regP)
					for g := range groups {
						c := v[g][j]
						if zmm {
							sel := 0x88
							if h == 1 {
								sel = 0xdd
							}
							if h == 0 {
								c = free
							}
							p("\tVSHUFF%dX%d $0x%x, Z%d, Z%d, Z%d", 8*es, 16/es, sel, v[g][lr+j], v[g][j], c)
						}
						three(fma, c, regP, acc+g)
					}
				}
			}
		}
		p("\tADDQ $%d, SI\n\tADDQ $%d, DI", nu*unit*es, nu*unit/lr*lanes*16)
	}
	per := unit // columns of a turn
	if zmm {
		per = 2 * unit
	}
	p("\tSUBQ $%d, CX\n\tJLT %s_few\n\tPCALIGN $32\n%s_l:", per, name, name)
	columns(per/unit, false)
	p("\tSUBQ $%d, CX\n\tJGE %s_l\n%s_few:\n\tADDQ $%d, CX", per, name, name, per)
	if zmm {
		p("\tCMPQ CX, $%d\n\tJLT %s_part", unit, name)
		columns(1, false)
		p("\tSUBQ $%d, CX\n%s_part:", unit, name)
	}
	p("\tTESTQ CX, CX\n\tJZ %s_end", name)
	switch {
	case zmm:
		p("\tMOVL $1, AX\n\tSHLL CX, AX\n\tDECL AX\n\tKMOVW AX, K2\n\tSHLL $%d, AX\n\tKMOVW AX, K3", 2*lr)
	case !f64:
		p("\tLEAQ rowMask<>+12(SB), AX\n\tSHLQ $2, CX\n\tSUBQ CX, AX\n\tVMOVUPS (AX), X%d", regP)
	}
	columns(1, true)
	p("%s_end:", name)
	p("\tVBROADCAST%s alpha+64(FP), Y%d", map[bool]string{false: "SS", true: "SD"}[f64], regX)
	p("\tMOVQ y+56(FP), DX\n\tMOVQ rg+48(FP), R12\n\tLEAQ -1(R12), CX\n\tSHLQ $%d, R12", sh)
	p("\tMOVQ $%d, AX\n\tANDQ CX, AX\n\tSHLQ $%d, AX\n\tMOVQ $%d, BX\n\tANDQ CX, BX\n\tSHLQ $%d, BX", lr, sh, 2*lr, sh)
	for g := range groups {
		p("\tLEAQ (DX)(BX*1), R13")
		for q := range lanes {
			at, from := []string{"(DX)", "(DX)(AX*1)", "(R13)", "(R13)(AX*1)"}[q], acc+g
			if q > 0 {
				from = 0
				if zmm {
					p("\tVEXTRACTF32X4 $%d, Z%d, X0", q, acc+g)
				} else {
					p("\tVEXTRACTF128 $%d, Y%d, X0", q, acc+g)
				}
			}
			p("\t%s %s, X1\n\t%s X%d, X%d, X1\n\t%s X1, %s", mov, at, fma, from, regX, mov, at)
		}
		if g+1 < groups {
			p("\tADDQ R12, DX")
		}
	}
	p("\tVZEROUPPER\n\tRET\n")
}

// transpack512 reads w rows (stride ld) of nblk blocks of w columns and writes
// column k, masked, at dst + k·stride; w is one vector.
func transpack512(f64 bool) {
	name, ty, w, es, sh, mov := "transpackF32AVX512", "float32", 16, 4, 2, "VMOVUPS"
	if f64 {
		name, ty, w, es, sh, mov = "transpackF64AVX512", "float64", 8, 8, 3, "VMOVUPD"
	}
	fn(name, fmt.Sprintf("nblk int, src *%s, ld int, dst *%s, stride int, mask int", ty, ty), 48)
	p("\tMOVQ nblk+0(FP), CX\n\tMOVQ src+8(FP), SI\n\tMOVQ ld+16(FP), R8\n\tSHLQ $%d, R8\n\tMOVQ dst+24(FP), DI\n\tMOVQ stride+32(FP), R9\n\tSHLQ $%d, R9\n\tMOVQ mask+40(FP), AX\n\tKMOVW AX, K1", sh, sh)
	p("%s_l:\n\tMOVQ SI, R10", name)
	for i := 0; i < w; i++ {
		p("\t%s (R10), Z%d", mov, i)
		if i+1 < w {
			p("\tADDQ R8, R10")
		}
	}
	op := func(o string, imm int, b, a, d int) {
		if imm >= 0 {
			p("\t%s $%d, Z%d, Z%d, Z%d", o, imm, b, a, d)
		} else {
			p("\t%s Z%d, Z%d, Z%d", o, b, a, d)
		}
	}
	var out [16]int
	if !f64 {
		for i := 0; i < 8; i++ {
			op("VUNPCKLPS", -1, 2*i+1, 2*i, 16+2*i)
			op("VUNPCKHPS", -1, 2*i+1, 2*i, 16+2*i+1)
		}
		for q := 0; q < 4; q++ {
			t := 16 + 4*q
			op("VUNPCKLPD", -1, t+2, t, 4*q)
			op("VUNPCKHPD", -1, t+2, t, 4*q+1)
			op("VUNPCKLPD", -1, t+3, t+1, 4*q+2)
			op("VUNPCKHPD", -1, t+3, t+1, 4*q+3)
		}
		for h := 0; h < 2; h++ {
			for i := 0; i < 4; i++ {
				op("VSHUFF32X4", 0x88, 8*h+4+i, 8*h+i, 16+8*h+i)
				op("VSHUFF32X4", 0xdd, 8*h+4+i, 8*h+i, 16+8*h+4+i)
			}
		}
		for i := 0; i < 8; i++ {
			op("VSHUFF32X4", 0x88, 24+i, 16+i, i)
			op("VSHUFF32X4", 0xdd, 24+i, 16+i, 8+i)
		}
		for i := range out {
			out[i] = i
		}
	} else {
		for i := 0; i < 4; i++ {
			op("VUNPCKLPD", -1, 2*i+1, 2*i, 16+2*i)
			op("VUNPCKHPD", -1, 2*i+1, 2*i, 16+2*i+1)
		}
		for h := 0; h < 2; h++ {
			t := 16 + 4*h
			op("VSHUFF64X2", 0x88, t+2, t, 4*h)
			op("VSHUFF64X2", 0x88, t+3, t+1, 4*h+1)
			op("VSHUFF64X2", 0xdd, t+2, t, 4*h+2)
			op("VSHUFF64X2", 0xdd, t+3, t+1, 4*h+3)
		}
		for i := 0; i < 4; i++ {
			op("VSHUFF64X2", 0x88, 4+i, i, 16+i)
			op("VSHUFF64X2", 0xdd, 4+i, i, 20+i)
		}
		for i := 0; i < 8; i++ {
			out[i] = 16 + i
		}
	}
	for i := 0; i < w; i++ {
		p("\t%s Z%d, K1, (DI)\n\tADDQ R9, DI", mov, out[i])
	}
	p("\tADDQ $%d, SI\n\tDECQ CX\n\tJNZ %s_l\n\tVZEROUPPER\n\tRET\n", w*es, name)
}

// packRows512 copies, for each of kc rows, nv full vectors and one masked one.
func packRows512() {
	fn("packRowsAVX512", "kc int, src unsafe.Pointer, ldBytes int, dst unsafe.Pointer, nv int, mask int, dstBytes int", 56)
	p("\tMOVQ kc+0(FP), CX\n\tMOVQ src+8(FP), SI\n\tMOVQ ldBytes+16(FP), R8\n\tMOVQ dst+24(FP), DI\n\tMOVQ nv+32(FP), R11\n\tMOVQ mask+40(FP), AX\n\tKMOVW AX, K1\n\tMOVQ dstBytes+48(FP), R12")
	p("\tPCALIGN $32\npr_k:\n\tMOVQ R11, BX\n\tXORQ R10, R10\n\tTESTQ BX, BX\n\tJZ pr_m")
	p("pr_v:\n\tVMOVUPS (SI)(R10*1), Z0\n\tVMOVUPS Z0, (DI)(R10*1)\n\tADDQ $64, R10\n\tDECQ BX\n\tJNZ pr_v")
	p("pr_m:\n\tTESTQ AX, AX\n\tJZ pr_n\n\tVMOVUPS.Z (SI)(R10*1), K1, Z0\n\tVMOVUPS Z0, K1, (DI)(R10*1)")
	p("pr_n:\n\tADDQ R8, SI\n\tADDQ R12, DI\n\tDECQ CX\n\tJNZ pr_k\n\tVZEROUPPER\n\tRET\n")
}

// transpackAVX2 reads one vector's worth of rows (8 float32, 4 float64) of nblk
// blocks as wide and writes, for each column k, the first cnt of them at
// dst + k·stride. cnt is a whole vector, 6 (float32) or 2 (float64): those that
// the kernels' panels need without a masked store, which is slow on some cores.
func transpackAVX2(f64 bool) {
	name, ty, w, es, sh, mov, part := "transpackF32AVX2", "float32", 8, 4, 2, "VMOVUPS", 6
	if f64 {
		name, ty, w, es, sh, mov, part = "transpackF64AVX2", "float64", 4, 8, 3, "VMOVUPD", 2
	}
	fn(name, fmt.Sprintf("nblk int, src *%s, ld int, dst *%s, stride int, cnt int", ty, ty), 48)
	p("\tMOVQ nblk+0(FP), CX\n\tMOVQ src+8(FP), SI\n\tMOVQ ld+16(FP), R8\n\tSHLQ $%d, R8\n\tMOVQ dst+24(FP), DI\n\tMOVQ stride+32(FP), R9\n\tSHLQ $%d, R9\n\tMOVQ cnt+40(FP), AX", sh, sh)
	p("%s_l:\n\tMOVQ SI, R10", name)
	for i := range w {
		p("\t%s (R10), Y%d", mov, i)
		if i+1 < w {
			p("\tADDQ R8, R10")
		}
	}
	op := func(o string, b, a, d int) { p("\t%s Y%d, Y%d, Y%d", o, b, a, d) }
	perm := func(imm, b, a, d int) { p("\tVPERM2F128 $0x%x, Y%d, Y%d, Y%d", imm, b, a, d) }
	if f64 {
		for i := range 2 {
			op("VUNPCKLPD", 2*i+1, 2*i, 4+2*i)
			op("VUNPCKHPD", 2*i+1, 2*i, 5+2*i)
		}
		for i := range 2 {
			perm(0x20, 6+i, 4+i, 8+i)
			perm(0x31, 6+i, 4+i, 10+i)
		}
	} else {
		for i := range 4 {
			op("VUNPCKLPS", 2*i+1, 2*i, 8+2*i)
			op("VUNPCKHPS", 2*i+1, 2*i, 9+2*i)
		}
		for h := range 2 {
			t := 8 + 4*h
			op("VUNPCKLPD", t+2, t, 4*h)
			op("VUNPCKHPD", t+2, t, 4*h+1)
			op("VUNPCKLPD", t+3, t+1, 4*h+2)
			op("VUNPCKHPD", t+3, t+1, 4*h+3)
		}
		for i := range 4 {
			perm(0x20, 4+i, i, 8+i)
			perm(0x31, 4+i, i, 12+i)
		}
	}
	p("\tADDQ $%d, SI\n\tCMPQ AX, $%d\n\tJEQ %s_part", w*es, part, name)
	for i := range w {
		p("\t%s Y%d, (DI)\n\tADDQ R9, DI", mov, 8+i)
	}
	p("\tDECQ CX\n\tJNZ %s_l\n\tVZEROUPPER\n\tRET\n%s_part:", name, name)
	for i := range w {
		p("\t%s X%d, (DI)", mov, 8+i)
		if !f64 {
			p("\tVEXTRACTF128 $1, Y%d, X0\n\tVMOVSD X0, 16(DI)", 8+i)
		}
		p("\tADDQ R9, DI")
	}
	p("\tDECQ CX\n\tJNZ %s_l\n\tVZEROUPPER\n\tRET\n", name)
}

// packRowsAVX2 copies, for each of kc rows, bytes bytes, a multiple of 8.
func packRowsAVX2() {
	fn("packRowsAVX2", "kc int, src unsafe.Pointer, ldBytes int, dst unsafe.Pointer, bytes int", 40)
	p("\tMOVQ kc+0(FP), CX\n\tMOVQ src+8(FP), SI\n\tMOVQ ldBytes+16(FP), R8\n\tMOVQ dst+24(FP), DI\n\tMOVQ bytes+32(FP), R11")
	p("pra_k:\n\tMOVQ R11, BX\n\tMOVQ SI, R10\npra_32:\n\tCMPQ BX, $32\n\tJLT pra_16\n\tVMOVUPS (R10), Y0\n\tVMOVUPS Y0, (DI)\n\tADDQ $32, R10\n\tADDQ $32, DI\n\tSUBQ $32, BX\n\tJMP pra_32")
	p("pra_16:\n\tCMPQ BX, $16\n\tJLT pra_8\n\tVMOVUPS (R10), X0\n\tVMOVUPS X0, (DI)\n\tADDQ $16, R10\n\tADDQ $16, DI\n\tSUBQ $16, BX")
	p("pra_8:\n\tCMPQ BX, $8\n\tJLT pra_n\n\tVMOVSD (R10), X0\n\tVMOVSD X0, (DI)\n\tADDQ $8, DI")
	p("pra_n:\n\tADDQ R8, SI\n\tDECQ CX\n\tJNZ pra_k\n\tVZEROUPPER\n\tRET\n")
}

// reduce sums the eight float64 lanes of an accumulator as
// ((l0+l4)+(l2+l6)) + ((l1+l5)+(l3+l7)) into X<r>; lo and hi are its halves.
func reduce(lo, hi, r, t int) {
	p("\tVADDPD Y%d, Y%d, Y%d", hi, lo, r)
	p("\tVEXTRACTF128 $1, Y%d, X%d", r, t)
	p("\tVADDPD X%d, X%d, X%d", t, r, r)
	p("\tVPERMILPD $1, X%d, X%d", r, t)
	p("\tVADDSD X%d, X%d, X%d", t, r, r)
}

// gemvRows: y[i] = the eight-lane sum of a[i,:]·x; n is a multiple of 8.
func gemvRows(zmm bool) {
	name, rows := "gemvRowsAVX2", 4
	if zmm {
		name, rows = "gemvRowsAVX512", 8
	}
	fn(name, "m, n int, a *float64, lda int, x, y *float64", 48)
	p("\tMOVQ m+0(FP), CX\n\tMOVQ a+16(FP), SI\n\tMOVQ lda+24(FP), R8\n\tSHLQ $3, R8\n\tMOVQ x+32(FP), DI\n\tMOVQ y+40(FP), DX")
	p("\tLEAQ (R8)(R8*2), R9")
	for _, nr := range []int{rows, 1} {
		l := fmt.Sprintf("%s_%d", name, nr)
		p("%s:\n\tCMPQ CX, $%d\n\tJLT %s_done", l, nr, l)
		p("\tMOVQ n+8(FP), BX\n\tSHRQ $3, BX\n\tMOVQ DI, R10\n\tMOVQ SI, R11\n\tLEAQ (SI)(R8*4), R12")
		for i := 0; i < nr; i++ {
			if zmm {
				p("\tVPXORD Z%d, Z%d, Z%d", i, i, i)
			} else {
				p("\tVXORPD Y%d, Y%d, Y%d\n\tVXORPD Y%d, Y%d, Y%d", 2*i, 2*i, 2*i, 2*i+1, 2*i+1, 2*i+1)
			}
		}
		p("\tTESTQ BX, BX\n\tJZ %s_sum\n%s_k:", l, l)
		at := func(i, off int) string {
			b := "R11"
			if i >= 4 {
				b = "R12"
			}
			ix := []string{"", "(R8*1)", "(R8*2)", "(R9*1)"}[i%4]
			return fmt.Sprintf("%d(%s)%s", off, b, ix)
		}
		if zmm {
			p("\tVMOVUPD (R10), Z31")
			for i := 0; i < nr; i++ {
				p("\tVFMADD231PD %s, Z31, Z%d", at(i, 0), i)
			}
		} else {
			p("\tVMOVUPD (R10), Y14\n\tVMOVUPD 32(R10), Y15")
			for i := 0; i < nr; i++ {
				p("\tVFMADD231PD %s, Y14, Y%d\n\tVFMADD231PD %s, Y15, Y%d", at(i, 0), 2*i, at(i, 32), 2*i+1)
			}
		}
		p("\tADDQ $64, R10\n\tADDQ $64, R11\n\tADDQ $64, R12\n\tDECQ BX\n\tJNZ %s_k\n%s_sum:", l, l)
		for i := 0; i < nr; i++ {
			if zmm {
				p("\tVEXTRACTF64X4 $1, Z%d, Y15", i)
				reduce(i, 15, 14, 13)
			} else {
				reduce(2*i, 2*i+1, 14, 13)
			}
			p("\tVMOVSD X14, %d(DX)", 8*i)
		}
		p("\tADDQ $%d, DX\n\tSUBQ $%d, CX", 8*nr, nr)
		if nr == 1 {
			p("\tADDQ R8, SI")
		} else if nr == 4 {
			p("\tLEAQ (SI)(R8*4), SI")
		} else {
			p("\tLEAQ (SI)(R8*8), SI")
		}
		p("\tJMP %s\n%s_done:", l, l)
	}
	p("\tVZEROUPPER\n\tRET\n")
}

// gemvCols: y[j] = fma chain over i of c[i]·a[i,j] from y[j]; n is a multiple of 8.
func gemvCols(zmm bool) {
	name, R, vb, regs := "gemvColsAVX2", "Y", 32, 8
	if zmm {
		name, R, vb, regs = "gemvColsAVX512", "Z", 64, 8
	}
	fn(name, "m, n int, a *float64, lda int, c, y *float64", 48)
	p("\tMOVQ n+8(FP), CX\n\tMOVQ a+16(FP), SI\n\tMOVQ lda+24(FP), R8\n\tSHLQ $3, R8\n\tMOVQ y+40(FP), DX")
	small := 64 / vb // vectors in eight columns
	for _, nv := range []int{regs, small} {
		l := fmt.Sprintf("%s_%d", name, nv)
		cols := nv * vb / 8
		p("%s:\n\tCMPQ CX, $%d\n\tJLT %s_done", l, cols, l)
		p("\tMOVQ m+0(FP), BX\n\tMOVQ c+32(FP), DI\n\tMOVQ SI, R11")
		for v := 0; v < nv; v++ {
			p("\tVMOVUPD %d(DX), %s%d", v*vb, R, v)
		}
		p("\tTESTQ BX, BX\n\tJZ %s_put\n%s_i:", l, l)
		p("\tVBROADCASTSD (DI), %s15", R)
		for v := 0; v < nv; v++ {
			p("\tVFMADD231PD %d(R11), %s15, %s%d", v*vb, R, R, v)
		}
		p("\tADDQ $8, DI\n\tADDQ R8, R11\n\tDECQ BX\n\tJNZ %s_i\n%s_put:", l, l)
		for v := 0; v < nv; v++ {
			p("\tVMOVUPD %s%d, %d(DX)", R, v, v*vb)
		}
		p("\tADDQ $%d, SI\n\tADDQ $%d, DX\n\tSUBQ $%d, CX\n\tJMP %s\n%s_done:", nv*vb, nv*vb, cols, l, l)
	}
	p("\tVZEROUPPER\n\tRET\n")
}

// divide: x[i] /= d; n is a positive multiple of 8.
func divide(zmm bool) {
	name, R, vb := "divideAVX2", "Y", 32
	if zmm {
		name, R, vb = "divideAVX512", "Z", 64
	}
	fn(name, "n int, x *float64, d float64", 24)
	p("\tMOVQ n+0(FP), CX\n\tMOVQ x+8(FP), SI\n\tVBROADCASTSD d+16(FP), %s0\n%s_l:", R, name)
	for v := 0; v < 64; v += vb {
		p("\tVMOVUPD %d(SI), %s1\n\tVDIVPD %s0, %s1, %s1\n\tVMOVUPD %s1, %d(SI)", v, R, R, R, R, R, v)
	}
	p("\tADDQ $64, SI\n\tSUBQ $8, CX\n\tJNZ %s_l\n\tVZEROUPPER\n\tRET\n", name)
}

// poles: four lanes of Σ t and of Σ t·r, r = 1/(gap[j]-mu), t = z2[j]·r; n is a
// positive multiple of 4. Divisions bound it, so that wider vectors gain nothing.
func poles() {
	fn("polesAVX2", "n int, gap, z2 *float64, mu float64, sums *[8]float64", 40)
	p("\tMOVQ n+0(FP), CX\n\tMOVQ gap+8(FP), SI\n\tMOVQ z2+16(FP), DI\n\tVBROADCASTSD mu+24(FP), Y0\n\tMOVQ sums+32(FP), DX")
	p("\tMOVQ $0x3ff0000000000000, AX\n\tVMOVQ AX, X1\n\tVPBROADCASTQ X1, Y1\n\tVXORPD Y2, Y2, Y2\n\tVXORPD Y3, Y3, Y3\npolesAVX2_l:")
	p("\tVMOVUPD (SI), Y4\n\tVSUBPD Y0, Y4, Y4\n\tVDIVPD Y4, Y1, Y4\n\tVMULPD (DI), Y4, Y5\n\tVADDPD Y5, Y2, Y2\n\tVMULPD Y4, Y5, Y5\n\tVADDPD Y5, Y3, Y3")
	p("\tADDQ $32, SI\n\tADDQ $32, DI\n\tSUBQ $4, CX\n\tJNZ polesAVX2_l\n\tVMOVUPD Y2, (DX)\n\tVMOVUPD Y3, 32(DX)\n\tVZEROUPPER\n\tRET\n")
}

// gapRatios: x[i] *= gap[i]/(d[i]-at); n is a positive multiple of 4.
func gapRatios() {
	fn("gapRatiosAVX2", "n int, x, gap, d *float64, at float64", 40)
	p("\tMOVQ n+0(FP), CX\n\tMOVQ x+8(FP), DI\n\tMOVQ gap+16(FP), SI\n\tMOVQ d+24(FP), DX\n\tVBROADCASTSD at+32(FP), Y0\ngapRatiosAVX2_l:")
	p("\tVMOVUPD (DX), Y1\n\tVSUBPD Y0, Y1, Y1\n\tVMOVUPD (SI), Y2\n\tVDIVPD Y1, Y2, Y2\n\tVMULPD (DI), Y2, Y2\n\tVMOVUPD Y2, (DI)")
	p("\tADDQ $32, SI\n\tADDQ $32, DI\n\tADDQ $32, DX\n\tSUBQ $4, CX\n\tJNZ gapRatiosAVX2_l\n\tVZEROUPPER\n\tRET\n")
}

func main() {
	gp("// Code generated by gen/main.go. DO NOT EDIT.\n\npackage kernel\n\nimport \"unsafe\"\n")
	p("// Code generated by gen/main.go. DO NOT EDIT.\n\n#include \"textflag.h\"\n")
	for _, k := range []tile{
		{name: "sgemm8x48AVX512", zmm: true, mr: 8, nv: 3, panel: 3},
		{name: "sgemm8x32of48AVX512", zmm: true, mr: 8, nv: 2, panel: 3},
		{name: "sgemm8x16of48AVX512", zmm: true, mr: 8, nv: 1, panel: 3},
		{name: "sgemm24x16AVX512", zmm: true, mr: 24, nv: 1, panel: 1, memBc: true},
		{name: "sgemm24x16rowsAVX512", zmm: true, mr: 24, nv: 1, panel: 1, memBc: true, rows: true},
		{name: "sgemm8x16rowsAVX512", zmm: true, mr: 8, nv: 1, panel: 1, rows: true},
		{name: "sgemm12x32AVX512", zmm: true, mr: 12, nv: 2, panel: 2},
		{name: "sgemm8x32rowsAVX512", zmm: true, mr: 8, nv: 2, panel: 2, rows: true},
		{name: "dgemm8x24AVX512", f64: true, zmm: true, mr: 8, nv: 3, panel: 3},
		{name: "dgemm8x16of24AVX512", f64: true, zmm: true, mr: 8, nv: 2, panel: 3},
		{name: "dgemm8x8of24AVX512", f64: true, zmm: true, mr: 8, nv: 1, panel: 3},
		{name: "dgemm24x8AVX512", f64: true, zmm: true, mr: 24, nv: 1, panel: 1, memBc: true},
		{name: "dgemm24x8rowsAVX512", f64: true, zmm: true, mr: 24, nv: 1, panel: 1, memBc: true, rows: true},
		{name: "dgemm8x8rowsAVX512", f64: true, zmm: true, mr: 8, nv: 1, panel: 1, rows: true},
		{name: "dgemm12x16AVX512", f64: true, zmm: true, mr: 12, nv: 2, panel: 2},
		{name: "dgemm8x16rowsAVX512", f64: true, zmm: true, mr: 8, nv: 2, panel: 2, rows: true},
		{name: "sgemm6x16AVX2", mr: 6, nv: 2, panel: 2},
		{name: "sgemm6x8of16AVX2", mr: 6, nv: 1, panel: 2},
		{name: "sgemm6x16rowsAVX2", mr: 6, nv: 2, panel: 2, rows: true},
		{name: "dgemm6x8AVX2", f64: true, mr: 6, nv: 2, panel: 2},
		{name: "dgemm6x4of8AVX2", f64: true, mr: 6, nv: 1, panel: 2},
		{name: "dgemm6x8rowsAVX2", f64: true, mr: 6, nv: 2, panel: 2, rows: true},
	} {
		k.emit()
	}
	for _, f64 := range []bool{false, true} {
		prefix := map[bool]string{false: "s", true: "d"}[f64]
		vectorTile(prefix+"vectorAVX512", f64, true, 8)
		vectorTile(prefix+"vectorAVX2", f64, false, 8)
	}
	p("// Four elements of which the first n are set begin at element 3-n.\nDATA rowMask<>+0(SB)/8, $-1\nDATA rowMask<>+8(SB)/8, $0xffffffff\nDATA rowMask<>+16(SB)/8, $0\nGLOBL rowMask<>(SB), RODATA, $24\n")
	rowTile("srowsAVX512", false, true, 2)
	rowTile("srowsAVX2", false, false, 2)
	rowTile("drowsAVX512", true, true, 4)
	rowTile("drowsAVX2", true, false, 4)
	transpack512(false)
	transpack512(true)
	packRows512()
	transpackAVX2(false)
	transpackAVX2(true)
	packRowsAVX2()
	gemvRows(true)
	gemvRows(false)
	gemvCols(true)
	gemvCols(false)
	divide(true)
	divide(false)
	poles()
	gapRatios()
	fn("pause", "n int", 8)
	p("\tMOVQ n+0(FP), CX\npause_l:\n\tPAUSE\n\tDECQ CX\n\tJNZ pause_l\n\tRET")
	writeFiles("amd64")
	neon()
}
