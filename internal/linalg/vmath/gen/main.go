//go:build ignore

// gen writes vector_amd64.s and vector_amd64.go: AVX-512 and AVX2 forms of the
// loops over exp37, of the reductions, and of the loops over sums and differences.
// Both execute the Go code's operations one for one, so that their bits are the
// same.
package main

import (
	"fmt"
	"os"
	"strings"
)

var asm, decl strings.Builder

func p(f string, a ...any)  { fmt.Fprintf(&asm, f+"\n", a...) }
func gp(f string, a ...any) { fmt.Fprintf(&decl, f+"\n", a...) }

// Offsets into the constant table, one 64-byte row each.
const (
	log2e = 64 * iota
	magic
	negLn2
	limit
	negLimit
	one
	sign
	poly // ten rows
)

const (
	gelu1 = poly + 64*(10+iota)
	gelu3
)

// form is one instruction set: vectors of w float64.
type form struct {
	suffix string
	zmm    bool
	R      string
	H      string // register class of w float32
	w      int
}

var forms = []form{
	{"AVX512", true, "Z", "Y", 8},
	{"AVX2", false, "Y", "X", 4},
}

func (f form) fn(name, sig string, args int) string {
	name += f.suffix
	gp("//go:noescape\nfunc %s(%s)\n", name, sig)
	p("// func %s(%s)", name, sig)
	p("TEXT ·%s(SB), NOSPLIT, $0-%d", name, args)
	return name
}

// exp replaces the vectors x[i] by exp37 of them; n[i] are scratch registers and
// q[i] receive the result. R8 holds the constant table.
func (f form) exp(x, n, q []int) {
	each := func(s string, a func(i int) []any) {
		for i := range x {
			p(s, a(i)...)
		}
	}
	R := f.R
	// The limit comes second in the instruction, first here: a NaN in x is kept.
	p("\tVMOVUPD %d(R8), %s15", negLimit, R)
	each("\tVMAXPD %s%d, %s15, %s%d", func(i int) []any { return []any{R, x[i], R, R, x[i]} })
	p("\tVMOVUPD %d(R8), %s15", limit, R)
	each("\tVMINPD %s%d, %s15, %s%d", func(i int) []any { return []any{R, x[i], R, R, x[i]} })
	each("\tVMULPD %d(R8), %s%d, %s%d", func(i int) []any { return []any{log2e, R, x[i], R, n[i]} })
	each("\tVADDPD %d(R8), %s%d, %s%d", func(i int) []any { return []any{magic, R, n[i], R, n[i]} })
	p("\tVMOVUPD %d(R8), %s15", magic, R)
	each("\tVSUBPD %s15, %s%d, %s%d", func(i int) []any { return []any{R, R, n[i], R, n[i]} })
	each("\tVFMADD231PD %d(R8), %s%d, %s%d", func(i int) []any { return []any{negLn2, R, n[i], R, x[i]} })
	each("\tVMOVUPD %d(R8), %s%d", func(i int) []any { return []any{poly, R, q[i]} })
	for c := 1; c < 10; c++ {
		each("\tVFMADD213PD %d(R8), %s%d, %s%d", func(i int) []any { return []any{poly + 64*c, R, x[i], R, q[i]} })
	}
	if f.zmm {
		each("\tVSCALEFPD Z%d, Z%d, Z%d", func(i int) []any { return []any{n[i], q[i], q[i]} })
		return
	}
	// A NaN converts to the integer whose low 12 bits are 0: it stays a NaN.
	each("\tVCVTPD2DQY Y%d, X%d", func(i int) []any { return []any{n[i], n[i]} })
	each("\tVPMOVSXDQ X%d, Y%d", func(i int) []any { return []any{n[i], n[i]} })
	each("\tVPSLLQ $52, Y%d, Y%d", func(i int) []any { return []any{n[i], n[i]} })
	each("\tVPADDQ Y%d, Y%d, Y%d", func(i int) []any { return []any{n[i], q[i], q[i]} })
}

func (f form) narrow(from, to int) {
	if f.zmm {
		p("\tVCVTPD2PS Z%d, Y%d", from, to)
	} else {
		p("\tVCVTPD2PSY Y%d, X%d", from, to)
	}
}

// step is the number of float32s of one loop round: n of every kernel is a
// multiple of 16.
const step = 16

func (f form) vectors() int { return step / f.w }

// pairs runs body over the vectors of a round, two at a time: enough to hide
// latency, few enough for sixteen registers.
func (f form) pairs(body func(off int, x, n, q []int)) {
	for v := 0; v < f.vectors(); v += 2 {
		body(v*f.w*4, []int{0, 1}, []int{2, 3}, []int{4, 5})
	}
}

func (f form) expLoop() {
	name := f.fn("exp", "n int, dst, x *float32", 24)
	p("\tMOVQ n+0(FP), CX\n\tMOVQ dst+8(FP), DI\n\tMOVQ x+16(FP), SI\n\tLEAQ ·constants(SB), R8\n%s_l:", name)
	f.pairs(func(off int, x, n, q []int) {
		for i := range x {
			p("\tVCVTPS2PD %d(SI), %s%d", off+i*f.w*4, f.R, x[i])
		}
		f.exp(x, n, q)
		for i := range x {
			f.narrow(q[i], q[i])
			p("\tVMOVUPS %s%d, %d(DI)", f.H, q[i], off+i*f.w*4)
		}
	})
	p("\tADDQ $64, SI\n\tADDQ $64, DI\n\tSUBQ $%d, CX\n\tJNZ %s_l\n\tVZEROUPPER\n\tRET\n", step, name)
}

func (f form) siluLoop() {
	name := f.fn("silu", "n int, dst, x *float32", 24)
	p("\tMOVQ n+0(FP), CX\n\tMOVQ dst+8(FP), DI\n\tMOVQ x+16(FP), SI\n\tLEAQ ·constants(SB), R8\n%s_l:", name)
	f.pairs(func(off int, x, n, q []int) {
		for i := range x {
			p("\tVCVTPS2PD %d(SI), %s%d", off+i*f.w*4, f.R, x[i])
			p("\tVMOVAPD %s%d, %s%d", f.R, x[i], f.R, 6+i)
			p("\tVXORPD %d(R8), %s%d, %s%d", sign, f.R, x[i], f.R, x[i])
		}
		f.exp(x, n, q)
		for i := range x {
			p("\tVADDPD %d(R8), %s%d, %s%d", one, f.R, q[i], f.R, q[i])
			p("\tVDIVPD %s%d, %s%d, %s%d", f.R, q[i], f.R, 6+i, f.R, q[i])
			f.narrow(q[i], q[i])
			p("\tVMOVUPS %s%d, %d(DI)", f.H, q[i], off+i*f.w*4)
		}
	})
	p("\tADDQ $64, SI\n\tADDQ $64, DI\n\tSUBQ $%d, CX\n\tJNZ %s_l\n\tVZEROUPPER\n\tRET\n", step, name)
}

// geluLoop: dst = x/(1+e^-p), p = x·(gelu1 + gelu3·x²).
func (f form) geluLoop() {
	name := f.fn("gelu", "n int, dst, x *float32", 24)
	p("\tMOVQ n+0(FP), CX\n\tMOVQ dst+8(FP), DI\n\tMOVQ x+16(FP), SI\n\tLEAQ ·constants(SB), R8\n%s_l:", name)
	f.pairs(func(off int, x, n, q []int) {
		for i := range x {
			p("\tVCVTPS2PD %d(SI), %s%d", off+i*f.w*4, f.R, 6+i)
			p("\tVMULPD %s%d, %s%d, %s%d", f.R, 6+i, f.R, 6+i, f.R, n[i])
			p("\tVMOVUPD %d(R8), %s%d", gelu1, f.R, q[i])
			p("\tVFMADD231PD %d(R8), %s%d, %s%d", gelu3, f.R, n[i], f.R, q[i])
			p("\tVMULPD %s%d, %s%d, %s%d", f.R, q[i], f.R, 6+i, f.R, x[i])
			p("\tVXORPD %d(R8), %s%d, %s%d", sign, f.R, x[i], f.R, x[i])
		}
		f.exp(x, n, q)
		for i := range x {
			p("\tVADDPD %d(R8), %s%d, %s%d", one, f.R, q[i], f.R, q[i])
			p("\tVDIVPD %s%d, %s%d, %s%d", f.R, q[i], f.R, 6+i, f.R, q[i])
			f.narrow(q[i], q[i])
			p("\tVMOVUPS %s%d, %d(DI)", f.H, q[i], off+i*f.w*4)
		}
	})
	p("\tADDQ $64, SI\n\tADDQ $64, DI\n\tSUBQ $%d, CX\n\tJNZ %s_l\n\tVZEROUPPER\n\tRET\n", step, name)
}

// lanes: the eight partial sums are Z10, or Y10 (0 to 3) and Y11 (4 to 7).
func (f form) loadLanes(arg string) {
	p("\tMOVQ %s, DX\n\tVMOVUPD (DX), %s10", arg, f.R)
	if !f.zmm {
		p("\tVMOVUPD 32(DX), Y11")
	}
}

func (f form) storeLanes() {
	p("\tVMOVUPD %s10, (DX)", f.R)
	if !f.zmm {
		p("\tVMOVUPD Y11, 32(DX)")
	}
}

func (f form) lane(off int) int {
	if !f.zmm && off/4%8 >= 4 {
		return 11
	}
	return 10
}

// expShiftLoop: x = exp37(x - top), lanes += x.
func (f form) expShiftLoop() {
	name := f.fn("expShift", "n int, x *float32, top float64, lanes *[8]float64", 32)
	p("\tMOVQ n+0(FP), CX\n\tMOVQ x+8(FP), SI\n\tVBROADCASTSD top+16(FP), %s9\n\tLEAQ ·constants(SB), R8", f.R)
	f.loadLanes("lanes+24(FP)")
	p("%s_l:", name)
	f.pairs(func(off int, x, n, q []int) {
		for i := range x {
			p("\tVCVTPS2PD %d(SI), %s%d", off+i*f.w*4, f.R, x[i])
			p("\tVSUBPD %s9, %s%d, %s%d", f.R, f.R, x[i], f.R, x[i])
		}
		f.exp(x, n, q)
		for i := range x {
			f.narrow(q[i], q[i])
			p("\tVMOVUPS %s%d, %d(SI)", f.H, q[i], off+i*f.w*4)
			p("\tVCVTPS2PD %s%d, %s%d", f.H, q[i], f.R, x[i])
			l := f.lane(off + i*f.w*4)
			p("\tVADDPD %s%d, %s%d, %s%d", f.R, x[i], f.R, l, f.R, l)
		}
	})
	p("\tADDQ $64, SI\n\tSUBQ $%d, CX\n\tJNZ %s_l", step, name)
	f.storeLanes()
	p("\tVZEROUPPER\n\tRET\n")
}

// scaleLoop: x = float32(float64(x)·by).
func (f form) scaleLoop() {
	name := f.fn("scale", "n int, x *float32, by float64", 24)
	p("\tMOVQ n+0(FP), CX\n\tMOVQ x+8(FP), SI\n\tVBROADCASTSD by+16(FP), %s9\n%s_l:", f.R, name)
	for v := 0; v < f.vectors(); v++ {
		off := v * f.w * 4
		p("\tVCVTPS2PD %d(SI), %s%d\n\tVMULPD %s9, %s%d, %s%d", off, f.R, v, f.R, f.R, v, f.R, v)
		f.narrow(v, v)
		p("\tVMOVUPS %s%d, %d(SI)", f.H, v, off)
	}
	p("\tADDQ $64, SI\n\tSUBQ $%d, CX\n\tJNZ %s_l\n\tVZEROUPPER\n\tRET\n", step, name)
}

// maxLoop returns the largest element that is not a NaN, or -Inf.
func (f form) maxLoop() {
	name := f.fn("maximum", "n int, x *float32, low float32) (m float32", 28)
	p("\tMOVQ n+0(FP), CX\n\tMOVQ x+8(FP), SI\n\tVBROADCASTSS low+16(FP), Y0\n\tVMOVAPS Y0, Y1\n%s_l:", name)
	// The accumulator comes last in the instruction, first here: it is kept
	// where x is a NaN.
	p("\tVMOVUPS (SI), Y2\n\tVMOVUPS 32(SI), Y3\n\tVMAXPS Y0, Y2, Y0\n\tVMAXPS Y1, Y3, Y1")
	p("\tADDQ $64, SI\n\tSUBQ $%d, CX\n\tJNZ %s_l", step, name)
	p("\tVMAXPS Y0, Y1, Y0\n\tVEXTRACTF128 $1, Y0, X1\n\tVMAXPS X0, X1, X0\n\tVPERMILPS $0x4e, X0, X1\n\tVMAXPS X0, X1, X0\n\tVPERMILPS $0xb1, X0, X1\n\tVMAXPS X0, X1, X0")
	p("\tVMOVSS X0, m+24(FP)\n\tVZEROUPPER\n\tRET\n")
}

// dotLoop: lanes += a·b, the products exact.
func (f form) dotLoop() {
	name := f.fn("dot", "n int, a, b *float32, lanes *[8]float64", 32)
	p("\tMOVQ n+0(FP), CX\n\tMOVQ a+8(FP), SI\n\tMOVQ b+16(FP), DI")
	f.loadLanes("lanes+24(FP)")
	p("%s_l:", name)
	for v := 0; v < f.vectors(); v++ {
		off := v * f.w * 4
		p("\tVCVTPS2PD %d(SI), %s0\n\tVCVTPS2PD %d(DI), %s1\n\tVFMADD231PD %s0, %s1, %s%d", off, f.R, off, f.R, f.R, f.R, f.R, f.lane(off))
	}
	p("\tADDQ $64, SI\n\tADDQ $64, DI\n\tSUBQ $%d, CX\n\tJNZ %s_l", step, name)
	f.storeLanes()
	p("\tVZEROUPPER\n\tRET\n")
}

// addToLoop: sum += float64(x).
func (f form) addToLoop() {
	name := f.fn("addTo", "n int, sum *float64, x *float32", 24)
	p("\tMOVQ n+0(FP), CX\n\tMOVQ sum+8(FP), DI\n\tMOVQ x+16(FP), SI\n%s_l:", name)
	for v := 0; v < f.vectors(); v++ {
		p("\tVCVTPS2PD %d(SI), %s%d\n\tVADDPD %d(DI), %s%d, %s%d\n\tVMOVUPD %s%d, %d(DI)", v*f.w*4, f.R, v, v*f.w*8, f.R, v, f.R, v, f.R, v, v*f.w*8)
	}
	p("\tADDQ $64, SI\n\tADDQ $128, DI\n\tSUBQ $%d, CX\n\tJNZ %s_l\n\tVZEROUPPER\n\tRET\n", step, name)
}

// momentsLoop goes down 16 columns, with two vectors of each accumulator in
// registers, all of them or half of them at a time.
func (f form) momentsLoop() {
	name := f.fn("moments", "rows int, x *float32, ld int, acc *[64]float64", 32)
	p("\tMOVQ ld+16(FP), R9\n\tSHLQ $2, R9\n\tMOVQ acc+24(FP), DI\n\tLEAQ ·constants(SB), R8\n\tVMOVUPD %d(R8), %s15", sign, f.R)
	for part := 0; part < step; part += 2 * f.w {
		p("\tMOVQ rows+0(FP), CX\n\tMOVQ x+8(FP), SI")
		for k := range 4 {
			for i := range 2 {
				p("\tVMOVUPD %d(DI), %s%d", 8*(step*k+part+i*f.w), f.R, 2*k+i)
			}
		}
		p("%s_%d:", name, part)
		for i := range 2 {
			R, x := f.R, 8+i
			p("\tVCVTPS2PD %d(SI), %s%d", 4*(part+i*f.w), R, x)
			p("\tVADDPD %s%d, %s%d, %s%d", R, x, R, i, R, i)
			p("\tVFMADD231PD %s%d, %s%d, %s%d", R, x, R, x, R, 2+i) // the square is exact
			p("\tVANDNPD %s%d, %s15, %s%d", R, x, R, R, x)
			p("\tVADDPD %s%d, %s%d, %s%d", R, x, R, 4+i, R, 4+i)
			// x where it is larger or a NaN; but a maximum that is a NaN stays.
			p("\tVMAXPD %s%d, %s%d, %s%d", R, x, R, 6+i, R, x)
			if f.zmm {
				p("\tVCMPPD $3, Z%d, Z%d, K1\n\tVMOVAPD Z%d, K1, Z%d\n\tVMOVAPD Z%d, Z%d", 6+i, 6+i, 6+i, x, x, 6+i)
			} else {
				p("\tVCMPPD $3, Y%d, Y%d, Y%d\n\tVBLENDVPD Y%d, Y%d, Y%d, Y%d", 6+i, 6+i, 10+i, 10+i, 6+i, x, 6+i)
			}
		}
		p("\tADDQ R9, SI\n\tDECQ CX\n\tJNZ %s_%d", name, part)
		for k := range 4 {
			for i := range 2 {
				p("\tVMOVUPD %s%d, %d(DI)", f.R, 2*k+i, 8*(step*k+part+i*f.w))
			}
		}
	}
	p("\tVZEROUPPER\n\tRET\n")
}

// keepLoop: x *= 0 or 1, by the bits.
func (f form) keepLoop() {
	name := f.fn("keep", "n int, x *float32, bits *byte", 24)
	p("\tMOVQ n+0(FP), CX\n\tMOVQ x+8(FP), SI\n\tMOVQ bits+16(FP), BX")
	if f.zmm {
		p("\tVBROADCASTSS unit<>(SB), Z15\n%s_l:", name)
		p("\tKMOVW (BX), K1\n\tVMOVAPS.Z Z15, K1, Z0\n\tVMULPS (SI), Z0, Z0\n\tVMOVUPS Z0, (SI)")
	} else {
		p("\tVBROADCASTSS unit<>(SB), Y15\n\tVMOVDQU masks<>(SB), Y14\n%s_l:", name)
		for i := range 2 {
			p("\tVPBROADCASTB %d(BX), Y%d\n\tVPAND Y14, Y%d, Y%d\n\tVPCMPEQD Y14, Y%d, Y%d\n\tVPAND Y15, Y%d, Y%d\n\tVMULPS %d(SI), Y%d, Y%d\n\tVMOVUPS Y%d, %d(SI)", i, i, i, i, i, i, i, i, 32*i, i, i, i, 32*i)
		}
	}
	p("\tADDQ $64, SI\n\tADDQ $2, BX\n\tSUBQ $%d, CX\n\tJNZ %s_l\n\tVZEROUPPER\n\tRET\n", step, name)
}

// addScaledLoop: x = base + by·x, each operation rounded.
func (f form) addScaledLoop() {
	name := f.fn("addScaled", "n int, x, base *float32, by float32", 28)
	p("\tMOVQ n+0(FP), CX\n\tMOVQ x+8(FP), SI\n\tMOVQ base+16(FP), DI\n\tVBROADCASTSS by+24(FP), %s9\n%s_l:", f.R, name)
	for off := 0; off < 64; off += 8 * f.w {
		p("\tVMULPS %d(SI), %s9, %s0\n\tVADDPS %d(DI), %s0, %s0\n\tVMOVUPS %s0, %d(SI)", off, f.R, f.R, off, f.R, f.R, f.R, off)
	}
	p("\tADDQ $64, SI\n\tADDQ $64, DI\n\tSUBQ $%d, CX\n\tJNZ %s_l\n\tVZEROUPPER\n\tRET\n", step, name)
}

// next ends a round: registers of float32s and of float64s go on, and the loop
// name runs again while there are elements.
func next(name string, singles, doubles []string) {
	for _, r := range singles {
		p("\tADDQ $64, %s", r)
	}
	for _, r := range doubles {
		p("\tADDQ $128, %s", r)
	}
	p("\tSUBQ $%d, CX\n\tJNZ %s_l", step, name)
}

const end = "\tVZEROUPPER\n\tRET\n"

// deltas are the loops over differences and their magnitudes.
func (f form) deltas() {
	f.differenceLoop()
	f.magnitudesLoop()
	f.betweenLoop()
	f.keepOverLoop()
	f.keepBelowLoop()
	f.addProductLoop()
	f.addAgreeingLoop()
	f.divideByLoop()
	f.roundSumLoop(false)
	f.roundSumLoop(true)
	f.countLargerLoop()
	f.countEqualLoop()
}

// each runs body for every vector of a round: off is its offset in float32s, and
// twice that in float64s, in bytes.
func (f form) each(body func(off int)) {
	for v := range f.vectors() {
		body(v * f.w * 4)
	}
}

// differenceLoop: dst = float64(x) − float64(y).
func (f form) differenceLoop() {
	name := f.fn("difference", "n int, dst *float64, x, y *float32", 32)
	p("\tMOVQ n+0(FP), CX\n\tMOVQ dst+8(FP), DI\n\tMOVQ x+16(FP), SI\n\tMOVQ y+24(FP), DX\n%s_l:", name)
	f.each(func(off int) {
		p("\tVCVTPS2PD %d(SI), %s0\n\tVCVTPS2PD %d(DX), %s1\n\tVSUBPD %s1, %s0, %s0\n\tVMOVUPD %s0, %d(DI)", off, f.R, off, f.R, f.R, f.R, f.R, f.R, 2*off)
	})
	next(name, []string{"SI", "DX"}, []string{"DI"})
	p(end)
}

// magnitudesLoop: the bits of x − y without the sign.
func (f form) magnitudesLoop() {
	name := f.fn("magnitudes", "n int, dst *uint32, x, y *float32", 32)
	p("\tMOVQ n+0(FP), CX\n\tMOVQ dst+8(FP), DI\n\tMOVQ x+16(FP), SI\n\tMOVQ y+24(FP), DX\n\tVBROADCASTSS magnitude<>(SB), %s15\n%s_l:", f.R, name)
	for off := 0; off < 64; off += 8 * f.w {
		p("\tVMOVUPS %d(SI), %s0\n\tVSUBPS %d(DX), %s0, %s0\n\tVANDPS %s15, %s0, %s0\n\tVMOVUPS %s0, %d(DI)", off, f.R, off, f.R, f.R, f.R, f.R, f.R, f.R, off)
	}
	next(name, []string{"SI", "DX", "DI"}, nil)
	p(end)
}

// betweenLoop: what is above over and not above hi goes to dst, R8 of it so far;
// R9 are above hi.
func (f form) betweenLoop() {
	name := f.fn("between", "n int, dst, x *uint32, over, hi int32) (kept, above int", 48)
	p("\tMOVQ n+0(FP), CX\n\tMOVQ dst+8(FP), DI\n\tMOVQ x+16(FP), SI\n\tVBROADCASTSS over+24(FP), %s14\n\tVBROADCASTSS hi+28(FP), %s15\n\tXORL R8, R8\n\tXORL R9, R9\n%s_l:", f.R, f.R, name)
	if f.zmm {
		p("\tVMOVDQU32 (SI), Z0\n\tVPCMPD $6, Z15, Z0, K1\n\tVPCMPD $6, Z14, Z0, K2\n\tKANDNW K2, K1, K2")
		p("\tKMOVW K1, AX\n\tPOPCNTL AX, AX\n\tADDQ AX, R9")
		p("\tVPCOMPRESSD.Z Z0, K2, Z1\n\tVMOVDQU32 Z1, (DI)(R8*4)\n\tKMOVW K2, AX\n\tPOPCNTL AX, AX\n\tADDQ AX, R8")
	} else {
		for i := range 2 {
			p("\tVMOVDQU %d(SI), Y0\n\tVPCMPGTD Y15, Y0, Y1\n\tVPCMPGTD Y14, Y0, Y2\n\tVPANDN Y2, Y1, Y2", 32*i)
			p("\tVMOVMSKPS Y1, AX\n\tPOPCNTL AX, AX\n\tADDQ AX, R9")
			p("\tVMOVMSKPS Y2, AX\n\tTESTL AX, AX\n\tJZ %s_none%d\n%s_one%d:", name, i, name, i)
			p("\tBSFL AX, BX\n\tMOVL %d(SI)(BX*4), DX\n\tMOVL DX, (DI)(R8*4)\n\tINCQ R8\n\tLEAL -1(AX), BX\n\tANDL BX, AX\n\tJNZ %s_one%d\n%s_none%d:", 32*i, name, i, name, i)
		}
	}
	next(name, []string{"SI"}, nil)
	p("\tMOVQ R8, kept+32(FP)\n\tMOVQ R9, above+40(FP)\n" + end)
}

// keepOverLoop: x = 0 unless its magnitude is above over.
func (f form) keepOverLoop() {
	name := f.fn("keepOver", "n int, x *float64, over int32", 20)
	p("\tMOVQ n+0(FP), CX\n\tMOVQ x+8(FP), SI\n\tVBROADCASTSS over+16(FP), %s14\n\tVBROADCASTSS magnitude<>(SB), %s15\n%s_l:", f.H, f.H, name)
	f.each(func(off int) {
		p("\tVMOVUPD %d(SI), %s0", 2*off, f.R)
		f.narrow(0, 1)
		p("\tVANDPS %s15, %s1, %s1", f.H, f.H, f.H)
		if f.zmm {
			p("\tVPCMPD $6, Y14, Y1, K1\n\tVMOVAPD.Z Z0, K1, Z0")
		} else {
			p("\tVPCMPGTD X14, X1, X1\n\tVPMOVSXDQ X1, Y1\n\tVANDPD Y1, Y0, Y0")
		}
		p("\tVMOVUPD %s0, %d(SI)", f.R, 2*off)
	})
	next(name, nil, []string{"SI"})
	p(end)
}

// keepBelowLoop: x = 0 unless its draw is below the limit.
func (f form) keepBelowLoop() {
	name := f.fn("keepBelow", "n int, x *float64, draws *uint32, limit uint32", 28)
	p("\tMOVQ n+0(FP), CX\n\tMOVQ x+8(FP), SI\n\tMOVQ draws+16(FP), DX\n\tVBROADCASTSS limit+24(FP), %s14", f.H)
	if !f.zmm {
		// Signed comparisons order what had its highest bit turned.
		p("\tVBROADCASTSS lowest<>(SB), X15\n\tVPXOR X15, X14, X14")
	}
	p("%s_l:", name)
	f.each(func(off int) {
		p("\tVMOVDQU%s %d(DX), %s1", map[bool]string{true: "32"}[f.zmm], off, f.H)
		if f.zmm {
			p("\tVPCMPUD $1, Y14, Y1, K1\n\tVMOVUPD.Z %d(SI), K1, Z0", 2*off)
		} else {
			p("\tVPXOR X15, X1, X1\n\tVPCMPGTD X1, X14, X1\n\tVPMOVSXDQ X1, Y1\n\tVANDPD %d(SI), Y1, Y0", 2*off)
		}
		p("\tVMOVUPD %s0, %d(SI)", f.R, 2*off)
	})
	next(name, []string{"DX"}, []string{"SI"})
	p(end)
}

// addProductLoop: sum += by·x, the product rounded.
func (f form) addProductLoop() {
	name := f.fn("addProduct", "n int, sum *float64, by float64, x *float64", 32)
	p("\tMOVQ n+0(FP), CX\n\tMOVQ sum+8(FP), DI\n\tVBROADCASTSD by+16(FP), %s15\n\tMOVQ x+24(FP), SI\n%s_l:", f.R, name)
	f.each(func(off int) {
		p("\tVMOVUPD %d(DI), %s0\n\tVMULPD %d(SI), %s15, %s1\n\tVADDPD %s1, %s0, %s0\n\tVMOVUPD %s0, %d(DI)", 2*off, f.R, 2*off, f.R, f.R, f.R, f.R, f.R, f.R, 2*off)
	})
	next(name, nil, []string{"SI", "DI"})
	p(end)
}

// Predicates of comparisons: false for a NaN, but for the last two.
const (
	equal      = 0
	atMost     = 18
	notEqual   = 4
	notAtLeast = 25
	atLeast    = 29
	above      = 30
)

// addAgreeingLoop: where p = by·x is above zero and vote is zero or more, or
// neither, sum += p and weights += weight.
func (f form) addAgreeingLoop() {
	name := f.fn("addAgreeing", "n int, sum, weights, x, vote *float64, by, weight float64", 56)
	p("\tMOVQ n+0(FP), CX\n\tMOVQ sum+8(FP), DI\n\tMOVQ weights+16(FP), R8\n\tMOVQ x+24(FP), SI\n\tMOVQ vote+32(FP), DX")
	p("\tVBROADCASTSD by+40(FP), %s15\n\tVBROADCASTSD weight+48(FP), %s14\n\tVXORPD X13, X13, X13\n%s_l:", f.R, f.R, name)
	R := f.R
	f.each(func(off int) {
		p("\tVMULPD %d(SI), %s15, %s0\n\tVMOVUPD %d(DX), %s1", 2*off, R, R, 2*off, R)
		if f.zmm {
			p("\tVCMPPD $%d, Z13, Z1, K1\n\tKNOTW K1, K2\n\tVCMPPD $%d, Z13, Z0, K1, K3\n\tVCMPPD $%d, Z13, Z0, K2, K4\n\tKORW K3, K4, K1", atLeast, above, notAtLeast)
			p("\tVMOVAPD.Z Z0, K1, Z0\n\tVMOVAPD.Z Z14, K1, Z1")
		} else {
			p("\tVCMPPD $%d, Y13, Y1, Y1\n\tVCMPPD $%d, Y13, Y0, Y2\n\tVCMPPD $%d, Y13, Y0, Y3\n\tVBLENDVPD Y1, Y2, Y3, Y1", atLeast, above, notAtLeast)
			p("\tVANDPD Y1, Y0, Y0\n\tVANDPD Y1, Y14, Y1")
		}
		for i, r := range []string{"DI", "R8"} {
			p("\tVMOVUPD %d(%s), %s2\n\tVADDPD %s%d, %s2, %s2\n\tVMOVUPD %s2, %d(%s)", 2*off, r, R, R, i, R, R, R, 2*off, r)
		}
	})
	next(name, nil, []string{"SI", "DX", "DI", "R8"})
	p(end)
}

// divideByLoop: x /= by where by is not zero.
func (f form) divideByLoop() {
	name := f.fn("divideBy", "n int, x, by *float64", 24)
	p("\tMOVQ n+0(FP), CX\n\tMOVQ x+8(FP), SI\n\tMOVQ by+16(FP), DX\n\tVXORPD X13, X13, X13\n%s_l:", name)
	f.each(func(off int) {
		p("\tVMOVUPD %d(SI), %s0\n\tVMOVUPD %d(DX), %s1", 2*off, f.R, 2*off, f.R)
		if f.zmm {
			p("\tVCMPPD $%d, Z13, Z1, K1\n\tVDIVPD Z1, Z0, K1, Z0", notEqual)
		} else {
			p("\tVDIVPD Y1, Y0, Y2\n\tVCMPPD $%d, Y13, Y1, Y1\n\tVBLENDVPD Y1, Y2, Y0, Y0", notEqual)
		}
		p("\tVMOVUPD %s0, %d(SI)", f.R, 2*off)
	})
	next(name, nil, []string{"SI", "DX"})
	p(end)
}

// roundSumLoop: dst = base + by·x, rounded to float32 at last; base where the
// count is too low.
func (f form) roundSumLoop(where bool) {
	name, args, size := "roundSum", "n int, dst, base *float32, by float64, x *float64", 40
	doubles := []string{"SI"}
	if where {
		name, args, size = "roundSumWhere", "n int, dst, base *float32, by float64, x, count *float64, least float64", 56
		doubles = append(doubles, "R8")
	}
	name = f.fn(name, args, size)
	p("\tMOVQ n+0(FP), CX\n\tMOVQ dst+8(FP), DI\n\tMOVQ base+16(FP), DX\n\tVBROADCASTSD by+24(FP), %s15\n\tMOVQ x+32(FP), SI", f.R)
	if where {
		p("\tMOVQ count+40(FP), R8\n\tVBROADCASTSD least+48(FP), %s14", f.R)
	}
	p("%s_l:", name)
	f.each(func(off int) {
		p("\tVMOVUPS %d(DX), %s2\n\tVCVTPS2PD %s2, %s0\n\tVMULPD %d(SI), %s15, %s1\n\tVADDPD %s1, %s0, %s0", off, f.H, f.H, f.R, 2*off, f.R, f.R, f.R, f.R, f.R)
		f.narrow(0, 0)
		switch {
		case where && f.zmm:
			p("\tVMOVUPD %d(R8), Z3\n\tVCMPPD $%d, Z14, Z3, K1\n\tVMOVAPS Y0, K1, Y2\n\tVMOVAPS Y2, Y0", 2*off, atLeast)
		case where:
			p("\tVMOVUPD %d(R8), Y3\n\tVCMPPD $%d, Y14, Y3, Y3\n\tVEXTRACTF128 $1, Y3, X4\n\tVSHUFPS $0x88, X4, X3, X3\n\tVBLENDVPS X3, X0, X2, X0", 2*off, atLeast)
		}
		p("\tVMOVUPS %s0, %d(DI)", f.H, off)
	})
	next(name, []string{"DX", "DI"}, doubles)
	p(end)
}

// countLargerLoop: count += 1 where |x| > by·|all − x|.
func (f form) countLargerLoop() {
	name := f.fn("countLarger", "n int, count, x, all *float64, by float64", 40)
	p("\tMOVQ n+0(FP), CX\n\tMOVQ count+8(FP), DI\n\tMOVQ x+16(FP), SI\n\tMOVQ all+24(FP), DX\n\tVBROADCASTSD by+32(FP), %s15", f.R)
	p("\tLEAQ ·constants(SB), R8\n\tVMOVUPD %d(R8), %s14\n\tVMOVUPD %d(R8), %s13\n%s_l:", sign, f.R, one, f.R, name)
	R := f.R
	f.each(func(off int) {
		p("\tVMOVUPD %d(SI), %s0\n\tVMOVUPD %d(DX), %s1\n\tVSUBPD %s0, %s1, %s1\n\tVANDNPD %s0, %s14, %s0\n\tVANDNPD %s1, %s14, %s1\n\tVMULPD %s1, %s15, %s1", 2*off, R, 2*off, R, R, R, R, R, R, R, R, R, R, R, R, R)
		p("\tVMOVUPD %d(DI), %s2", 2*off, R)
		if f.zmm {
			p("\tVCMPPD $%d, Z1, Z0, K1\n\tVADDPD Z13, Z2, K1, Z2", above)
		} else {
			p("\tVCMPPD $%d, Y1, Y0, Y0\n\tVANDPD Y13, Y0, Y0\n\tVADDPD Y0, Y2, Y2", above)
		}
		p("\tVMOVUPD %s2, %d(DI)", R, 2*off)
	})
	next(name, nil, []string{"SI", "DX", "DI"})
	p(end)
}

// countEqualLoop returns how many elements equal v.
func (f form) countEqualLoop() {
	name := f.fn("countEqual", "n int, x *float64, v float64) (k int", 32)
	p("\tMOVQ n+0(FP), CX\n\tMOVQ x+8(FP), SI\n\tVBROADCASTSD v+16(FP), %s15\n\tXORL R8, R8\n%s_l:", f.R, name)
	f.each(func(off int) {
		if f.zmm {
			p("\tVCMPPD $%d, %d(SI), Z15, K1\n\tKMOVW K1, AX", equal, 2*off)
		} else {
			p("\tVCMPPD $%d, %d(SI), Y15, Y0\n\tVMOVMSKPD Y0, AX", equal, 2*off)
		}
		p("\tPOPCNTL AX, AX\n\tADDQ AX, R8")
	})
	next(name, nil, []string{"SI"})
	p("\tMOVQ R8, k+24(FP)\n" + end)
}

// elements are loops over float32s, each element by itself and each operation
// rounded.
func (f form) elements() {
	R := f.R
	load := func(v, off int, r string) { p("\tVMOVUPS %d(%s), %s%d", off, r, R, v) }
	store := func(v, off int, r string) { p("\tVMOVUPS %s%d, %d(%s)", R, v, off, r) }
	op := func(name string, to, a, b int) { p("\tV%sPS %s%d, %s%d, %s%d", name, R, b, R, a, R, to) }

	f.elementLoop("multiply", "n int, dst, x *float32", []string{"dst", "x"}, "", func(off int, r []string) {
		load(0, off, r[0])
		load(1, off, r[1])
		op("MUL", 0, 0, 1)
		store(0, off, r[0])
	})
	f.elementLoop("scaleGain", "n int, y, x, gain *float32, by float32", []string{"y", "x", "gain"}, "by", func(off int, r []string) {
		load(0, off, r[1])
		load(1, off, r[2])
		op("MUL", 0, 0, 15)
		op("MUL", 0, 0, 1)
		store(0, off, r[0])
	})
	for _, way := range []struct{ name, first, second string }{{"rotate", "SUB", "ADD"}, {"rotateBack", "ADD", "SUB"}} {
		f.elementLoop(way.name, "n int, a, b, cos, sin *float32", []string{"a", "b", "cos", "sin"}, "", func(off int, r []string) {
			for v := range r {
				load(v, off, r[v])
			}
			op("MUL", 4, 0, 2)
			op("MUL", 5, 1, 3)
			op(way.first, 4, 4, 5)
			store(4, off, r[0])
			op("MUL", 4, 1, 2)
			op("MUL", 5, 0, 3)
			op(way.second, 4, 4, 5)
			store(4, off, r[1])
		})
	}
	f.elementLoop("gateGradient", "n int, dMid, dGate, gate, up, e *float32", []string{"dMid", "dGate", "gate", "up", "e"}, "unit", func(off int, r []string) {
		load(0, off, r[4])
		op("ADD", 0, 15, 0)
		op("DIV", 0, 15, 0) // the sigmoid
		load(1, off, r[0])
		load(2, off, r[2])
		load(3, off, r[3])
		op("MUL", 3, 1, 3)
		op("SUB", 4, 15, 0)
		op("MUL", 4, 2, 4)
		op("ADD", 4, 15, 4)
		op("MUL", 4, 0, 4)
		op("MUL", 3, 3, 4)
		store(3, off, r[1])
		op("MUL", 2, 2, 0)
		op("MUL", 1, 1, 2)
		store(1, off, r[0])
	})
}

// elementLoop is a loop whose body handles a vector at an offset from the registers
// of its pointers. Register 15 is the last argument, or 1 for "unit", in all lanes.
func (f form) elementLoop(name, sig string, pointers []string, by string, body func(off int, r []string)) {
	size := 8 * (1 + len(pointers))
	if by == "by" {
		size += 4
	}
	name = f.fn(name, sig, size)
	registers := []string{"DI", "SI", "DX", "BX", "R8"}[:len(pointers)]
	p("\tMOVQ n+0(FP), CX")
	for i, arg := range pointers {
		p("\tMOVQ %s+%d(FP), %s", arg, 8*(i+1), registers[i])
	}
	switch by {
	case "by":
		p("\tVBROADCASTSS by+%d(FP), %s15", size-4, f.R)
	case "unit":
		p("\tVBROADCASTSS unit<>(SB), %s15", f.R)
	}
	p("%s_l:", name)
	for off := 0; off < 64; off += 8 * f.w {
		body(off, registers)
	}
	next(name, registers, nil)
	p(end)
}

// Where the arrays of a Panel begin, and how far apart its columns are.
const (
	panelD     = 4096
	panelNext  = 2 * panelD
	panelBase  = panelNext + 2048
	panelScale = panelBase + 2048
	panelZero  = panelScale + 2048
	panelOn    = panelZero + 2048
	panelLoss  = panelOn + 256
	panelTop   = panelLoss + 128
	column64   = 128
	column32   = 64
)

// on loads which rows of the vector v are on: K1, or the mask %s9.
func (f form) on(v int) {
	if f.zmm {
		p("\tKMOVB %d(R13), K1", v)
	} else {
		p("\tVPBROADCASTQ (R13), Y9\n\tVMOVDQU lane<>+%d(SB), Y10\n\tVPAND Y10, Y9, Y9\n\tVPCMPEQQ Y10, Y9, Y9", 32*v)
	}
}

// nearest replaces the float32 vector x by the codes nearest to it, less their zero
// points, and stores them. The grids are off beyond scale; y is scratch. An operand
// that comes first in the instruction is last in Intel's order: a NaN in x is kept.
func (f form) nearest(x, y, off int, scale string) {
	zero := strings.Replace(scale, "scale", "zero", 1)
	at := func(s string) string {
		for name, o := range map[string]int{"scale(R12)": panelScale - panelNext, "zero(R12)": panelZero - panelNext, "scale(DI)": panelScale, "zero(DI)": panelZero} {
			if s == name {
				return fmt.Sprintf("%d%s", o+off, s[strings.Index(s, "("):])
			}
		}
		panic(s)
	}
	H := f.H
	p("\tVDIVPS %s, %s%d, %s%d", at(scale), H, x, H, x)
	p("\tVXORPS %s%d, %s%d, %s%d\n\tVSUBPS %s, %s%d, %s%d\n\tVMAXPS %s%d, %s%d, %s%d", H, y, H, y, H, y, at(zero), H, y, H, y, H, x, H, y, H, x)
	p("\tVSUBPS %s, %s15, %s%d\n\tVMINPS %s%d, %s%d, %s%d", at(zero), H, H, y, H, x, H, y, H, x)
	p("\tVADDPS %s13, %s%d, %s%d\n\tVSUBPS %s13, %s%d, %s%d", H, H, x, H, x, H, H, x, H, x)
	p("\tVMOVUPS %s%d, %d(R12)", H, x, off)
	p("\tVMULPS %s, %s%d, %s%d", at(scale), H, x, H, x)
}

// behind changes the columns behind by the products of registers 4 and on with the
// row of the matrix at R9: R8 of them.
func (f form) behind(name, op string) {
	p("\tMOVQ R8, AX\n\tLEAQ %d(BX), SI\n\tLEAQ 8(R9), DX\n\tTESTQ AX, AX\n\tJZ %s_n", column64, name)
	p("%s_j:\n\tVBROADCASTSD (DX), %s8", name, f.R)
	for v := range f.vectors() {
		off := v * f.w * 8
		p("\tVMULPD %s8, %s%d, %s9\n\tVMOVUPD %d(SI), %s10\n\t%s %s9, %s10, %s10\n\tVMOVUPD %s10, %d(SI)", f.R, f.R, 4+v, f.R, off, f.R, op, f.R, f.R, f.R, f.R, off)
	}
	p("\tADDQ $%d, SI\n\tADDQ $8, DX\n\tDECQ AX\n\tJNZ %s_j\n%s_n:", column64, name, name)
}

func (f form) panelConstants() {
	p("\tVBROADCASTSS magic32<>(SB), %s13\n\tVBROADCASTSS %d(DI), %s15", f.H, panelTop, f.H)
}

// freezeLoop: see Panel.Freeze.
func (f form) freezeLoop(grid bool) {
	name := "freeze"
	if grid {
		name += "Grid"
	}
	name = f.fn(name, "p *Panel, from, to, width int, u *float64, ld int, inv *float64", 56)
	R := f.R
	p("\tMOVQ p+0(FP), DI\n\tMOVQ from+8(FP), AX\n\tMOVQ to+16(FP), CX\n\tSUBQ AX, CX\n\tMOVQ width+24(FP), R8\n\tSUBQ AX, R8\n\tDECQ R8")
	p("\tMOVQ ld+40(FP), R10\n\tINCQ R10\n\tSHLQ $3, R10\n\tMOVQ R10, R9\n\tIMULQ AX, R9\n\tADDQ u+32(FP), R9\n\tMOVQ inv+48(FP), R11\n\tLEAQ (R11)(AX*8), R11")
	p("\tLEAQ %d(DI)(AX*8), R13\n\tSHLQ $6, AX\n\tLEAQ %d(DI)(AX*1), R12\n\tLEAQ (DI)(AX*2), BX", panelOn, panelNext)
	if grid {
		f.panelConstants()
	}
	p("%s_k:\n\tVBROADCASTSD (R11), %s14", name, R)
	for v := range f.vectors() {
		off := v * f.w * 8
		f.on(v)
		p("\tVMOVUPD %d(BX), %s0", off, R)
		if f.zmm {
			p("\tVMOVAPD.Z Z0, K1, Z1")
		} else {
			p("\tVANDPD Y9, Y0, Y1")
		}
		if grid {
			f.narrow(1, 1)
			f.nearest(1, 2, off/2, "scale(R12)")
			p("\tVCVTPS2PD %s1, %s1", f.H, R)
		}
		p("\tVSUBPD %s1, %s0, %s2\n\tVMULPD %s14, %s2, %s%d\n\tVMOVUPD %s%d, %d(BX)\n\tVMOVUPD %s1, %d(BX)", R, R, R, R, R, R, 4+v, R, 4+v, panelD+off, R, off)
		p("\tVMULPD %s%d, %s%d, %s3\n\tVADDPD %d(DI), %s3, %s3\n\tVMOVUPD %s3, %d(DI)", R, 4+v, R, 4+v, R, panelLoss+off, R, R, R, panelLoss+off)
	}
	f.behind(name, "VSUBPD")
	p("\tADDQ $%d, BX\n\tADDQ $%d, R12\n\tADDQ $8, R13\n\tADDQ $8, R11\n\tADDQ R10, R9\n\tDECQ R8\n\tDECQ CX\n\tJNZ %s_k\n\tVZEROUPPER\n\tRET\n", column64, column32, name)
}

// descendLoop: see Panel.Descend.
func (f form) descendLoop(grid bool) {
	name := "descend"
	if grid {
		name += "Grid"
	}
	name = f.fn(name, "p *Panel, width int, h *float64, ld int", 32)
	R := f.R
	p("\tMOVQ p+0(FP), DI\n\tMOVQ width+8(FP), CX\n\tLEAQ -1(CX), R8\n\tMOVQ h+16(FP), R9\n\tMOVQ ld+24(FP), R10\n\tINCQ R10\n\tSHLQ $3, R10\n\tLEAQ ·constants(SB), R11")
	p("\tMOVQ DI, BX\n\tLEAQ %d(DI), R12\n\tLEAQ %d(DI), R13", panelNext, panelOn)
	if grid {
		f.panelConstants()
	}
	p("%s_k:\n\tVBROADCASTSD (R9), %s14\n\tVXORPD %d(R11), %s14, %s12", name, R, sign, R, R)
	for v := range f.vectors() {
		off := v * f.w * 8
		p("\tVMOVUPD %d(BX), %s0\n\tVDIVPD %s12, %s0, %s1", off, R, R, R, R)
		if grid {
			p("\tVMOVUPS %d(R12), %s2\n\tVMULPS %d(DI), %s2, %s2\n\tVCVTPS2PD %s2, %s2", panelBase-panelNext+off/2, f.H, panelScale+off/2, f.H, f.H, f.H, R)
			p("\tVADDPD %s2, %s1, %s3", R, R, R)
			f.narrow(3, 3)
			f.nearest(3, 1, off/2, "scale(DI)")
			p("\tVCVTPS2PD %s3, %s3\n\tVSUBPD %s2, %s3, %s1", f.H, R, R, R, R)
		}
		p("\tVADDPD %s0, %s0, %s2\n\tVMULPD %s14, %s1, %s3\n\tVADDPD %s2, %s3, %s3\n\tVMULPD %s1, %s3, %s3\n\tVXORPD %s2, %s2, %s2", R, R, R, R, R, R, R, R, R, R, R, R, R, R, R)
		f.on(v)
		if f.zmm {
			p("\tVCMPPD $17, Z2, Z3, K1, K2\n\tVMOVAPD.Z Z1, K2, Z%d\n\tVMOVAPD.Z Z3, K2, Z3", 4+v)
		} else {
			p("\tVCMPPD $17, Y2, Y3, Y2\n\tVANDPD Y9, Y2, Y2\n\tVANDPD Y2, Y1, Y%d\n\tVANDPD Y2, Y3, Y3", 4+v)
		}
		p("\tVMOVUPD %d(DI), %s2\n\tVSUBPD %s3, %s2, %s2\n\tVMOVUPD %s2, %d(DI)\n\tVMOVUPD %s%d, %d(BX)", panelLoss+off, R, R, R, R, R, panelLoss+off, R, 4+v, panelD+off)
	}
	f.behind(name, "VADDPD")
	p("\tADDQ $%d, BX\n\tADDQ $%d, R12\n\tADDQ $8, R13\n\tADDQ R10, R9\n\tDECQ R8\n\tDECQ CX\n\tJNZ %s_k\n\tVZEROUPPER\n\tRET\n", column64, column32, name)
}

// grids are the loops over weights, scores and codes of rows.
func (f form) grids() {
	f.widenLoop()
	f.narrowLoop()
	f.onlyLoop()
	f.extremesLoop()
	f.decodeLoop()
	f.encodeLoop(false)
	f.encodeLoop(true)
	f.scoresLoop()
	f.finiteLoop(false)
	f.finiteLoop(true)
	f.twoOfFourLoop()
	f.copyBlockLoop()
	f.valueBlockLoop(false)
	f.valueBlockLoop(true)
	f.dotBlockLoop()
	f.energyBlockLoop()
	f.acceptBlockLoop()
	f.settleLoop(false)
	f.settleLoop(true)
	f.chooseTwoOf4Loop()
	f.dropBlockLoop()
}

func (f form) widenLoop() {
	name := f.fn("widen", "n int, dst *float64, x *float32", 24)
	p("\tMOVQ n+0(FP), CX\n\tMOVQ dst+8(FP), DI\n\tMOVQ x+16(FP), SI\n%s_l:", name)
	f.each(func(off int) { p("\tVCVTPS2PD %d(SI), %s0\n\tVMOVUPD %s0, %d(DI)", off, f.R, f.R, 2*off) })
	next(name, []string{"SI"}, []string{"DI"})
	p(end)
}

func (f form) narrowLoop() {
	name := f.fn("narrow", "n int, dst *float32, x *float64", 24)
	p("\tMOVQ n+0(FP), CX\n\tMOVQ dst+8(FP), DI\n\tMOVQ x+16(FP), SI\n%s_l:", name)
	f.each(func(off int) {
		p("\tVMOVUPD %d(SI), %s0", 2*off, f.R)
		f.narrow(0, 0)
		p("\tVMOVUPS %s0, %d(DI)", f.H, off)
	})
	next(name, []string{"DI"}, []string{"SI"})
	p(end)
}

// onlyLoop: dst = x where the bits are set.
func (f form) onlyLoop() {
	name := f.fn("only", "n int, dst, x *float32, bits *byte", 32)
	p("\tMOVQ n+0(FP), CX\n\tMOVQ dst+8(FP), DI\n\tMOVQ x+16(FP), SI\n\tMOVQ bits+24(FP), BX")
	if f.zmm {
		p("%s_l:\n\tKMOVW (BX), K1\n\tVMOVUPS.Z (SI), K1, Z0\n\tVMOVUPS Z0, (DI)", name)
	} else {
		p("\tVMOVDQU masks<>(SB), Y14\n%s_l:", name)
		for i := range 2 {
			p("\tVPBROADCASTB %d(BX), Y%d\n\tVPAND Y14, Y%d, Y%d\n\tVPCMPEQD Y14, Y%d, Y%d\n\tVPAND %d(SI), Y%d, Y%d\n\tVMOVDQU Y%d, %d(DI)", i, i, i, i, i, i, 32*i, i, i, i, 32*i)
		}
	}
	p("\tADDQ $2, BX")
	next(name, []string{"SI", "DI"}, nil)
	p(end)
}

// extremesLoop: the accumulators come last in the instruction, first here: they are
// kept where x is a NaN.
func (f form) extremesLoop() {
	name := f.fn("extremes", "n int, x *float32, low, high float32) (least, most float32", 32)
	p("\tMOVQ n+0(FP), CX\n\tMOVQ x+8(FP), SI\n\tVBROADCASTSS low+16(FP), Y0\n\tVMOVAPS Y0, Y1\n\tVBROADCASTSS high+20(FP), Y2\n\tVMOVAPS Y2, Y3\n%s_l:", name)
	p("\tVMOVUPS (SI), Y4\n\tVMOVUPS 32(SI), Y5\n\tVMINPS Y0, Y4, Y0\n\tVMINPS Y1, Y5, Y1\n\tVMAXPS Y2, Y4, Y2\n\tVMAXPS Y3, Y5, Y3")
	next(name, []string{"SI"}, nil)
	for _, x := range []struct {
		op, to string
		r      int
	}{{"VMINPS", "least+24(FP)", 0}, {"VMAXPS", "most+28(FP)", 2}} {
		p("\t%s Y%d, Y%d, Y0\n\tVEXTRACTF128 $1, Y0, X1\n\t%s X0, X1, X0\n\tVPERMILPS $0x4e, X0, X1\n\t%s X0, X1, X0\n\tVPERMILPS $0xb1, X0, X1\n\t%s X0, X1, X0\n\tVMOVSS X0, %s", x.op, x.r, x.r+1, x.op, x.op, x.op, x.to)
	}
	p(end)
}

// decodeLoop: dst = scale·(codes − zero).
func (f form) decodeLoop() {
	name := f.fn("decode", "n int, dst *float32, codes *byte, scale, zero float32", 32)
	R := f.R
	p("\tMOVQ n+0(FP), CX\n\tMOVQ dst+8(FP), DI\n\tMOVQ codes+16(FP), SI\n\tVBROADCASTSS scale+24(FP), %s15\n\tVBROADCASTSS zero+28(FP), %s14\n%s_l:", R, R, name)
	for off := 0; off < 64; off += 8 * f.w {
		p("\tVPMOVZXBD %d(SI), %s0\n\tVCVTDQ2PS %s0, %s0\n\tVSUBPS %s14, %s0, %s0\n\tVMULPS %s0, %s15, %s0\n\tVMOVUPS %s0, %d(DI)", off/4, R, R, R, R, R, R, R, R, R, R, off)
	}
	p("\tADDQ $%d, SI", step)
	next(name, []string{"DI"}, nil)
	p(end)
}

// encodeLoop: codes = x + zero, with x what is nearest to x/scale from low to high
// for round.
func (f form) encodeLoop(round bool) {
	name, sig, size := "encode", "n int, codes *byte, x *float32, zero float32", 28
	if round {
		name, sig, size = "round", "n int, codes *byte, x *float32, scale, low, high, zero float32", 40
	}
	R := f.R
	name = f.fn(name, sig, size)
	p("\tMOVQ n+0(FP), CX\n\tMOVQ codes+8(FP), DI\n\tMOVQ x+16(FP), SI\n\tVBROADCASTSS zero+%d(FP), %s15", size-4, R)
	if round {
		p("\tVBROADCASTSS scale+24(FP), %s13\n\tVBROADCASTSS low+28(FP), %s12\n\tVBROADCASTSS high+32(FP), %s11\n\tVBROADCASTSS magic32<>(SB), %s10", R, R, R, R)
	}
	if !f.zmm {
		p("\tVPCMPEQD Y14, Y14, Y14\n\tVPSRLD $24, Y14, Y14")
	}
	p("%s_l:", name)
	for i := range 16 / (2 * f.w) {
		p("\tVMOVUPS %d(SI), %s%d", 8*f.w*i, R, i)
		if round {
			// What comes first in these is last in Intel's order: a NaN is kept.
			p("\tVDIVPS %s13, %s%d, %s%d\n\tVMAXPS %s%d, %s12, %s%d\n\tVMINPS %s%d, %s11, %s%d", R, R, i, R, i, R, i, R, R, i, R, i, R, R, i)
			p("\tVADDPS %s10, %s%d, %s%d\n\tVSUBPS %s10, %s%d, %s%d", R, R, i, R, i, R, R, i, R, i)
		}
		p("\tVADDPS %s%d, %s15, %s%d\n\tVCVTTPS2DQ %s%d, %s%d", R, i, R, R, i, R, i, R, i)
		if !f.zmm {
			p("\tVPAND Y14, Y%d, Y%d", i, i)
		}
	}
	if f.zmm {
		p("\tVPMOVDB Z0, (DI)")
	} else {
		p("\tVPACKUSDW Y1, Y0, Y0\n\tVPERMQ $0xd8, Y0, Y0\n\tVEXTRACTI128 $1, Y0, X1\n\tVPACKUSWB X1, X0, X0\n\tVMOVDQU X0, (DI)")
	}
	p("\tADDQ $%d, DI", step)
	next(name, []string{"SI"}, nil)
	p(end)
}

// finiteLoop: a number less itself is zero, but for those that are not finite.
func (f form) finiteLoop(double bool) {
	name, sig, kind, bytes := "finite", "n int, x *float32) (other int", "PS", 4*step
	if double {
		name, sig, kind, bytes = "finite64", "n int, x *float64) (other int", "PD", 8*step
	}
	name = f.fn(name, sig, 24)
	R := f.R
	p("\tMOVQ n+0(FP), CX\n\tMOVQ x+8(FP), SI\n\tVXORPS X15, X15, X15\n\tVXORPS X14, X14, X14\n%s_l:", name)
	for off := 0; off < bytes; off += 8 * f.w {
		p("\tVMOVU%s %d(SI), %s0\n\tVSUB%s %s0, %s0, %s0\n\tVORPD %s0, %s15, %s15", kind, off, R, kind, R, R, R, R, R, R)
	}
	p("\tADDQ $%d, SI\n\tSUBQ $%d, CX\n\tJNZ %s_l", bytes, step, name)
	if f.zmm {
		p("\tVPTESTMD Z15, Z15, K1\n\tKMOVW K1, AX")
	} else {
		p("\tVCMPPS $%d, Y14, Y15, Y0\n\tVMOVMSKPS Y0, AX", notEqual)
	}
	p("\tMOVQ AX, other+16(FP)\n" + end)
}

// scoresLoop: dst = |x|·by.
func (f form) scoresLoop() {
	name := f.fn("scores", "n int, dst *float64, x *float32, by *float64", 32)
	p("\tMOVQ n+0(FP), CX\n\tMOVQ dst+8(FP), DI\n\tMOVQ x+16(FP), SI\n\tMOVQ by+24(FP), DX\n\tVBROADCASTSS magnitude<>(SB), %s15\n%s_l:", f.H, name)
	f.each(func(off int) {
		p("\tVANDPS %d(SI), %s15, %s0\n\tVCVTPS2PD %s0, %s0\n\tVMULPD %d(DX), %s0, %s0\n\tVMOVUPD %s0, %d(DI)", off, f.H, f.H, f.H, f.R, 2*off, f.R, f.R, f.R, 2*off)
	})
	next(name, []string{"SI"}, []string{"DX", "DI"})
	p(end)
}

// twoOfFourLoop compares the lanes with those one, two and three further in their
// four: the elements that come later win ties. What loses twice is not kept.
func (f form) twoOfFourLoop() {
	name := f.fn("twoOfFour", "n int, bits *byte, x *float64) (nan int", 32)
	p("\tMOVQ n+0(FP), CX\n\tMOVQ bits+8(FP), DI\n\tMOVQ x+16(FP), SI\n\tXORL R8, R8\n%s_l:\n\tXORL R9, R9", name)
	to := []string{"AX", "BX", "DX"}
	for v := range f.vectors() {
		p("\tVMOVUPD %d(SI), %s0", v*f.w*8, f.R)
		if f.zmm {
			p("\tVCMPPD $3, Z0, Z0, K1\n\tKMOVB K1, R10\n\tORL R10, R8")
		} else {
			p("\tVCMPPD $3, Y0, Y0, Y1\n\tVMOVMSKPD Y1, R10\n\tORL R10, R8")
		}
		for i, turn := range []struct{ order, later int }{{0x39, 0x77}, {0x4e, 0x33}, {0x93, 0x11}} {
			p("\tVPERMPD $%d, %s0, %s1", turn.order, f.R, f.R)
			later := turn.later & (1<<f.w - 1)
			if f.zmm {
				p("\tVCMPPD $%d, Z0, Z1, K1\n\tVCMPPD $%d, Z0, Z1, K2\n\tKMOVB K1, %s\n\tKMOVB K2, R10", above, atLeast, to[i])
			} else {
				p("\tVCMPPD $%d, Y0, Y1, Y2\n\tVCMPPD $%d, Y0, Y1, Y3\n\tVMOVMSKPD Y2, %s\n\tVMOVMSKPD Y3, R10", above, atLeast, to[i])
			}
			p("\tANDL $%d, R10\n\tORL R10, %s", later, to[i])
		}
		p("\tMOVL AX, R10\n\tORL BX, R10\n\tANDL R10, DX\n\tANDL BX, AX\n\tORL DX, AX\n\tXORL $%d, AX", 1<<f.w-1)
		if v > 0 {
			p("\tSHLL $%d, AX", v*f.w)
		}
		p("\tORL AX, R9")
	}
	p("\tMOVW R9, (DI)\n\tADDQ $2, DI")
	next(name, nil, []string{"SI"})
	p("\tMOVQ R8, nan+24(FP)\n" + end)
}

// strided loads the pointers and the distances of columns of a block's matrices:
// their registers, and the number of columns in CX.
func strided(args ...string) {
	p("\tMOVQ columns+0(FP), CX")
	off := 8
	for _, a := range args {
		name, r, _ := strings.Cut(a, " ")
		p("\tMOVQ %s+%d(FP), %s", name, off, r)
		if strings.HasPrefix(name, "ld") {
			p("\tSHLQ $3, %s", r)
		}
		off += 8
	}
}

// columns ends a round: the first of each two registers goes on by the second, or by
// a number, and the loop name runs again while there are columns.
func columns(name string, pairs ...string) {
	for _, pair := range pairs {
		r, by, _ := strings.Cut(pair, " ")
		p("\tADDQ %s, %s", by, r)
	}
	p("\tDECQ CX\n\tJNZ %s_l\n"+end, name)
}

func (f form) copyBlockLoop() {
	name := f.fn("copyBlock", "columns int, dst *float64, ldd int, src *float64, lds int", 40)
	strided("dst DI", "ldd R8", "src SI", "lds R9")
	p("%s_l:", name)
	for v := range f.vectors() {
		p("\tVMOVUPD %d(SI), %s%d", v*f.w*8, f.R, v)
	}
	for v := range f.vectors() {
		p("\tVMOVUPD %s%d, %d(DI)", f.R, v, v*f.w*8)
	}
	columns(name, "DI R8", "SI R9")
}

// valueBlockLoop: dst = base·scale, less from.
func (f form) valueBlockLoop(less bool) {
	name, sig, size := "valueBlock", "columns int, dst *float64, ldd int, base, scale *float32", 40
	args, pairs := []string{"dst DI", "ldd R8", "base SI", "scale DX"}, []string{"DI R8", "SI $64"}
	if less {
		name, sig, size = "changeBlock", sig+", from *float64, ldf int", 56
		args, pairs = append(args, "from BX", "ldf R9"), append(pairs, "BX R9")
	}
	name = f.fn(name, sig, size)
	strided(args...)
	for v := range f.vectors() {
		p("\tVMOVUPS %d(DX), %s%d", v*f.w*4, f.H, 8+v)
	}
	p("%s_l:", name)
	for v := range f.vectors() {
		off := v * f.w * 8
		p("\tVMULPS %d(SI), %s%d, %s%d\n\tVCVTPS2PD %s%d, %s%d", off/2, f.H, 8+v, f.H, v, f.H, v, f.R, v)
		if less {
			p("\tVSUBPD %d(BX), %s%d, %s%d", off, f.R, v, f.R, v)
		}
		p("\tVMOVUPD %s%d, %d(DI)", f.R, v, off)
	}
	columns(name, pairs...)
}

// sums loads what is added to, at DI.
func (f form) sums() {
	p("\tMOVQ sum+8(FP), DI")
	for v := range f.vectors() {
		p("\tVMOVUPD %d(DI), %s%d", v*f.w*8, f.R, 8+v)
	}
}

// sumColumns ends a loop that adds to sums.
func (f form) sumColumns(name string, pairs ...string) {
	for _, pair := range pairs {
		r, by, _ := strings.Cut(pair, " ")
		p("\tADDQ %s, %s", by, r)
	}
	p("\tDECQ CX\n\tJNZ %s_l", name)
	for v := range f.vectors() {
		p("\tVMOVUPD %s%d, %d(DI)", f.R, 8+v, v*f.w*8)
	}
	p(end)
}

// dotBlockLoop: sum += x·y, the product rounded.
func (f form) dotBlockLoop() {
	name := f.fn("dotBlock", "columns int, sum, x *float64, ldx int, y *float64, ldy int", 48)
	strided("sum DI", "x SI", "ldx R8", "y DX", "ldy R9")
	f.sums()
	p("%s_l:", name)
	for v := range f.vectors() {
		off := v * f.w * 8
		p("\tVMOVUPD %d(SI), %s%d\n\tVMULPD %d(DX), %s%d, %s%d\n\tVADDPD %s%d, %s%d, %s%d", off, f.R, v, off, f.R, v, f.R, v, f.R, v, f.R, 8+v, f.R, 8+v)
	}
	f.sumColumns(name, "SI R8", "DX R9")
}

// energyBlockLoop: sum += change·(2g + product), each operation rounded.
func (f form) energyBlockLoop() {
	name := f.fn("energyBlock", "columns int, sum, change *float64, ldc int, grad *float64, ldg int, product *float64, ldp int", 64)
	strided("sum DI", "change SI", "ldc R8", "grad DX", "ldg R9", "product BX", "ldp R10")
	f.sums()
	p("%s_l:", name)
	for v := range f.vectors() {
		off, R := v*f.w*8, f.R
		p("\tVMOVUPD %d(DX), %s%d\n\tVADDPD %s%d, %s%d, %s%d\n\tVADDPD %d(BX), %s%d, %s%d\n\tVMULPD %d(SI), %s%d, %s%d\n\tVADDPD %s%d, %s%d, %s%d", off, R, v, R, v, R, v, R, v, off, R, v, R, v, off, R, v, R, v, R, v, R, 8+v, R, 8+v)
	}
	f.sumColumns(name, "SI R8", "DX R9", "BX R10")
}

// acceptBlockLoop: d += change and g += product in the rows of which all bits are
// set; in the others change becomes zero.
func (f form) acceptBlockLoop() {
	name := f.fn("acceptBlock", "columns int, rows *uint64, change *float64, ldc int, product *float64, ldp int, d *float64, ldd int, grad *float64, ldg int", 80)
	strided("rows AX", "change SI", "ldc R8", "product DX", "ldp R9", "d DI", "ldd R10", "grad BX", "ldg R11")
	for v := range f.vectors() {
		p("\tVMOVUPD %d(AX), %s%d", v*f.w*8, f.R, 8+v)
	}
	p("%s_l:", name)
	for v := range f.vectors() {
		off, R := v*f.w*8, f.R
		p("\tVANDPD %d(SI), %s%d, %s0\n\tVMOVUPD %s0, %d(SI)\n\tVADDPD %d(DI), %s0, %s0\n\tVMOVUPD %s0, %d(DI)", off, R, 8+v, R, R, off, off, R, R, R, off)
		p("\tVANDPD %d(DX), %s%d, %s1\n\tVADDPD %d(BX), %s1, %s1\n\tVMOVUPD %s1, %d(BX)", off, R, 8+v, R, off, R, R, R, off)
	}
	columns(name, "SI R8", "DX R9", "DI R10", "BX R11")
}

// settleLoop: see Panel.Settle.
func (f form) settleLoop(grid bool) {
	name, sig, size := "settle", "p *Panel, columns int, d *float64, ldd int", 40
	if grid {
		name, sig, size = "settleGrid", sig+", base *float32", 48
	}
	name = f.fn(name, sig+") (moved uint64", size)
	p("\tMOVQ p+0(FP), BX\n\tMOVQ columns+8(FP), CX\n\tMOVQ d+16(FP), DI\n\tMOVQ ldd+24(FP), R8\n\tSHLQ $3, R8")
	p("\tLEAQ %d(BX), R12\n\tADDQ $%d, BX\n\tXORL R9, R9\n\tVXORPD X15, X15, X15", panelNext, panelD)
	if grid {
		p("\tMOVQ base+32(FP), SI")
	}
	p("%s_l:", name)
	for v := range f.vectors() {
		off, R := v*f.w*8, f.R
		p("\tVMOVUPD %d(BX), %s0\n\tVADDPD %d(DI), %s0, %s1\n\tVMOVUPD %s1, %d(DI)", off, R, off, R, R, R, off)
		if f.zmm {
			p("\tVCMPPD $%d, Z15, Z0, K1\n\tKMOVB K1, AX", notEqual)
		} else {
			p("\tVCMPPD $%d, Y15, Y0, Y0\n\tVMOVMSKPD Y0, AX", notEqual)
		}
		if v > 0 {
			p("\tSHLQ $%d, AX", v*f.w)
		}
		p("\tORQ AX, R9")
		switch {
		case grid && f.zmm:
			p("\tVMOVUPS %d(R12), Y2\n\tVMOVUPS Y2, K1, %d(SI)", off/2, off/2)
		case grid:
			p("\tVEXTRACTF128 $1, Y0, X1\n\tVSHUFPS $0x88, X1, X0, X0\n\tVMOVUPS %d(SI), X2\n\tVBLENDVPS X0, %d(R12), X2, X2\n\tVMOVUPS X2, %d(SI)", off/2, off/2, off/2)
		}
	}
	if grid {
		p("\tADDQ $%d, SI\n\tADDQ $%d, R12", column32, column32)
	}
	p("\tADDQ $%d, BX\n\tADDQ R8, DI\n\tDECQ CX\n\tJNZ %s_l", column64, name)
	p("\tMOVQ R9, moved+%d(FP)\n"+end, size-8)
}

// chooseTwoOf4Loop: see Panel.ChooseTwoOf4. Of the six comparisons a row of four has
// three each; it is off where two of them are lost.
func (f form) chooseTwoOf4Loop() {
	name := f.fn("chooseTwoOf4", "p *Panel, from, to int, inv *float64", 32)
	p("\tMOVQ p+0(FP), BX\n\tMOVQ from+8(FP), AX\n\tMOVQ to+16(FP), CX\n\tSUBQ AX, CX\n\tMOVQ inv+24(FP), R11\n\tLEAQ (R11)(AX*8), R11\n\tLEAQ %d(BX)(AX*8), R13\n\tSHLQ $7, AX\n\tADDQ AX, BX\n%s_l:", panelOn, name)
	bits := []string{"AX", "DX", "SI", "DI", "R8", "R9"} // ab, ac, ad, bc, bd, cd: that the first is at most the second
	pairs := [][2]int{{0, 1}, {0, 2}, {0, 3}, {1, 2}, {1, 3}, {2, 3}}
	for v := range f.vectors() {
		for j := range 4 {
			p("\tVBROADCASTSD %d(R11), %s4\n\tVMULPD %d(BX), %s4, %s%d\n\tVMULPD %s%d, %s%d, %s%d", 8*j, f.R, j*column64+v*f.w*8, f.R, f.R, j, f.R, j, f.R, j, f.R, j)
		}
		for i, q := range pairs {
			if f.zmm {
				p("\tVCMPPD $%d, Z%d, Z%d, K1\n\tKMOVB K1, %s", atMost, q[1], q[0], bits[i])
			} else {
				p("\tVCMPPD $%d, Y%d, Y%d, Y4\n\tVMOVMSKPD Y4, %s", atMost, q[1], q[0], bits[i])
			}
		}
		for j := range 4 {
			var mine []string
			for i, q := range pairs {
				if j == q[0] || j == q[1] {
					mine = append(mine, bits[i])
				}
			}
			p("\tMOVQ %s, R10\n\tANDQ %s, R10\n\tMOVQ %s, R12\n\tORQ %s, R12\n\tANDQ %s, R12\n\tORQ R12, R10", mine[0], mine[1], mine[0], mine[1], mine[2])
			if v > 0 {
				p("\tSHLQ $%d, R10", v*f.w)
			}
			p("\tNOTQ R10\n\tANDQ R10, %d(R13)", 8*j)
			for i, q := range pairs { // what is left is about the second
				if j == q[0] {
					p("\tXORQ $%d, %s", 1<<f.w-1, bits[i])
				}
			}
		}
	}
	p("\tADDQ $32, R11\n\tADDQ $32, R13\n\tADDQ $%d, BX\n\tSUBQ $4, CX\n\tJNZ %s_l\n"+end, 4*column64, name)
}

// dropBlockLoop: see DropBlock.
func (f form) dropBlockLoop() {
	name := f.fn("dropBlock", "columns int, on *uint64, w *float64, ldw int, inv *float64, limit float64", 48)
	strided("on DI", "w SI", "ldw R8", "inv DX")
	p("\tVBROADCASTSD limit+40(FP), %s15\n%s_l:\n\tVBROADCASTSD (DX), %s14\n\tXORL R9, R9", f.R, name, f.R)
	for v := range f.vectors() {
		p("\tVMULPD %d(SI), %s14, %s0\n\tVMULPD %s0, %s0, %s0", v*f.w*8, f.R, f.R, f.R, f.R, f.R)
		if f.zmm {
			p("\tVCMPPD $%d, Z15, Z0, K1\n\tKMOVB K1, AX", atMost)
		} else {
			p("\tVCMPPD $%d, Y15, Y0, Y0\n\tVMOVMSKPD Y0, AX", atMost)
		}
		if v > 0 {
			p("\tSHLQ $%d, AX", v*f.w)
		}
		p("\tORQ AX, R9")
	}
	p("\tNOTQ R9\n\tANDQ R9, (DI)")
	columns(name, "SI R8", "DX $8", "DI $8")
}

func main() {
	gp("// Code generated by gen/main.go. DO NOT EDIT.\n\npackage vmath\n")
	p("// Code generated by gen/main.go. DO NOT EDIT.\n\n#include \"textflag.h\"\n")
	p("DATA unit<>+0(SB)/4, $0x3f800000\nGLOBL unit<>(SB), RODATA|NOPTR, $4")
	for i := range 8 {
		p("DATA masks<>+%d(SB)/4, $%d", 4*i, 1<<i)
	}
	p("GLOBL masks<>(SB), RODATA|NOPTR, $32")
	p("DATA magnitude<>+0(SB)/4, $0x7fffffff\nGLOBL magnitude<>(SB), RODATA|NOPTR, $4")
	p("DATA lowest<>+0(SB)/4, $0x80000000\nGLOBL lowest<>(SB), RODATA|NOPTR, $4")
	p("DATA magic32<>+0(SB)/4, $0x4b400000\nGLOBL magic32<>(SB), RODATA|NOPTR, $4")
	for i := range step {
		p("DATA lane<>+%d(SB)/8, $%d", 8*i, 1<<i)
	}
	p("GLOBL lane<>(SB), RODATA|NOPTR, $128\n")
	for _, f := range forms {
		f.expLoop()
		f.siluLoop()
		f.geluLoop()
		f.expShiftLoop()
		f.scaleLoop()
		f.maxLoop()
		f.dotLoop()
		f.addToLoop()
		f.momentsLoop()
		f.keepLoop()
		f.addScaledLoop()
		f.elements()
		f.deltas()
		f.grids()
		f.freezeLoop(false)
		f.freezeLoop(true)
		f.descendLoop(false)
		f.descendLoop(true)
	}
	for name, s := range map[string]string{"vector_amd64.s": asm.String(), "vector_amd64.go": strings.TrimRight(decl.String(), "\n") + "\n"} {
		if err := os.WriteFile(name, []byte(s), 0o644); err != nil {
			panic(err)
		}
	}
}
