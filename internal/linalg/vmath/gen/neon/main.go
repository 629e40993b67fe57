//go:build ignore

// gen/neon writes vector_arm64.s and vector_arm64.go: NEON forms of the loops over
// exp37, of the reductions, and of the loops over elements, differences, panels, grids
// and blocks. They execute the Go code's operations one for one, so that their bits are
// the same.
package main

import (
	"fmt"
	"os"
	"strings"
)

var asm, decl strings.Builder

func p(f string, a ...any)  { fmt.Fprintf(&asm, f+"\n", a...) }
func gp(f string, a ...any) { fmt.Fprintf(&decl, f+"\n", a...) }

// Rows of the constant table, 16 bytes each.
const (
	log2e = 16 * iota
	magic
	negLn2
	limit
	negLimit
	one
	poly // ten rows
)

const (
	gelu1 = poly + 16*(10+iota)
	gelu3
)

// The assembler of Go knows few of the floating point instructions on vectors; the
// others are written as their encodings (Arm Architecture Reference Manual, C7.2),
// with what a disassembler makes of them as comment. Their operands are in Arm's
// order, the result first; in Go's mnemonics it is last.

func word(op int, comment string, a ...any) {
	p("\tWORD $0x%08x // %s", op, fmt.Sprintf(comment, a...))
}

// form is the shape of a vector register.
type form struct {
	arm, plan9 string
	width      int // elements
	code       int // what its size is in an encoding
}

var (
	S = form{"4s", "S4", 4, 0}
	D = form{"2d", "D2", 2, 1 << 22}
)

// three is an instruction d = n op m on vectors of one form.
func three(name string, op int) func(f form, d, n, m int) {
	return func(f form, d, n, m int) {
		word(op|f.code|m<<16|n<<5|d, "%s v%d.%s, v%d.%s, v%d.%s", name, d, f.arm, n, f.arm, m, f.arm)
	}
}

// two is an instruction d = op n, with the comparisons with zero among them.
func two(name string, op int, zero string) func(f form, d, n int) {
	return func(f form, d, n int) {
		word(op|f.code|n<<5|d, "%s v%d.%s, v%d.%s%s", name, d, f.arm, n, f.arm, zero)
	}
}

var (
	fadd  = three("fadd", 0x4e20d400)
	fsub  = three("fsub", 0x4ea0d400)
	fmul  = three("fmul", 0x6e20dc00)
	fdiv  = three("fdiv", 0x6e20fc00)
	fmax  = three("fmax", 0x4e20f400) // a NaN where either is one
	fmin  = three("fmin", 0x4ea0f400)
	fabd  = three("fabd", 0x6ea0d400) // |n − m|
	fcmeq = three("fcmeq", 0x4e20e400)
	fcmge = three("fcmge", 0x6e20e400)
	fcmgt = three("fcmgt", 0x6ea0e400)

	fneg   = two("fneg", 0x6ea0f800, "")
	fabs   = two("fabs", 0x4ea0f800, "")
	fcmeq0 = two("fcmeq", 0x4ea0d800, ", #0")
	fcmge0 = two("fcmge", 0x6ea0c800, ", #0")
	fcmgt0 = two("fcmgt", 0x4ea0c800, ", #0")
	fcmlt0 = two("fcmlt", 0x4ea0e800, ", #0")
)

// cmgt and cmhi compare integers of 32 bits, with sign and without.
func cmgt(d, n, m int) {
	word(0x4ea03400|m<<16|n<<5|d, "cmgt v%d.4s, v%d.4s, v%d.4s", d, n, m)
}
func cmhi(d, n, m int) {
	word(0x6ea03400|m<<16|n<<5|d, "cmhi v%d.4s, v%d.4s, v%d.4s", d, n, m)
}

// bic is d = n &^ m.
func bic(d, n, m int) {
	word(0x4e601c00|m<<16|n<<5|d, "bic v%d.16b, v%d.16b, v%d.16b", d, n, m)
}

// sadalp adds the four 32-bit integers of n to the two 64-bit integers of d.
func sadalp(d, n int) { word(0x4ea06800|n<<5|d, "sadalp v%d.2d, v%d.4s", d, n) }

// widen makes the float64s lo and hi of the four float32s of n; lo and hi differ
// from it.
func widen(lo, hi, n int) {
	word(0x0e617800|n<<5|lo, "fcvtl v%d.2d, v%d.2s", lo, n)
	word(0x4e617800|n<<5|hi, "fcvtl2 v%d.2d, v%d.4s", hi, n)
}

// narrow makes the float32s d of the float64s lo and hi; d differs from hi.
func narrow(d, lo, hi int) {
	word(0x0e616800|lo<<5|d, "fcvtn v%d.2s, v%d.2d", d, lo)
	word(0x4e616800|hi<<5|d, "fcvtn2 v%d.4s, v%d.2d", d, hi)
}

// extend makes masks lo and hi of 64 bits of the four of 32 bits of n.
func extend(lo, hi, n int) {
	word(0x0f20a400|n<<5|lo, "sxtl v%d.2d, v%d.2s", lo, n)
	word(0x4f20a400|n<<5|hi, "sxtl2 v%d.2d, v%d.4s", hi, n)
}

// fmla is d += n·m, rounded once.
func fmla(f form, d, n, m int) {
	p("\tVFMLA V%d.%s, V%d.%s, V%d.%s", m, f.plan9, n, f.plan9, d, f.plan9)
}

func and(d, n, m int) { p("\tVAND V%d.B16, V%d.B16, V%d.B16", m, n, d) }

// where replaces d by n where the mask is set.
func where(mask, d, n int) { p("\tVBIT V%d.B16, V%d.B16, V%d.B16", mask, n, d) }

func clearRegister(d int) { p("\tVEOR V%d.B16, V%d.B16, V%d.B16", d, d, d) }

// registers is a list of count vector registers from v on.
func registers(f form, v, count int) string {
	var s []string
	for i := range count {
		s = append(s, fmt.Sprintf("V%d.%s", v+i, f.plan9))
	}
	return "[" + strings.Join(s, ", ") + "]"
}

// load and store move count registers, at most four, from v on; take and put let
// the pointer r go on as well.
func load(f form, r string, v, count int) { p("\tVLD1 (%s), %s", r, registers(f, v, count)) }
func take(f form, r string, v, count int) {
	p("\tVLD1.P %d(%s), %s", 16*count, r, registers(f, v, count))
}
func put(f form, r string, v, count int) {
	p("\tVST1.P %s, %d(%s)", registers(f, v, count), 16*count, r)
}

// inPlace makes R11 of R1, and R12 of R2, a pointer to store through: a processor may
// let a store move its pointer on only when the values are there, and the loads of
// the next round need not wait for that.
func inPlace(pointers ...string) {
	for _, r := range pointers {
		p("\tMOVD %s, R1%s", r, r[1:])
	}
}

func loadAt(r string, off, v int)  { p("\tFMOVQ %d(%s), F%d", off, r, v) }
func storeAt(r string, off, v int) { p("\tFMOVQ F%d, %d(%s)", v, off, r) }

// loop is a function that is being written.
type loop struct {
	name string
	at   map[string]string // arguments and results as operands
	kind map[string]string
}

// open begins a function: its integers and pointers are in R0, R1 and so on.
func open(name, sig string) loop {
	l := loop{name + "NEON", map[string]string{}, map[string]string{}}
	var body []string
	off, register := 0, 0
	for i, part := range strings.Split(sig, ") (") {
		if i > 0 {
			off = (off + 7) &^ 7
		}
		fields := strings.Split(part, ", ")
		kinds := make([]string, len(fields))
		for i := len(fields) - 1; i >= 0; i-- {
			var typed bool
			if fields[i], kinds[i], typed = strings.Cut(fields[i], " "); !typed {
				kinds[i] = kinds[i+1]
			}
		}
		for j, arg := range fields {
			size := 8
			if strings.HasSuffix(kinds[j], "32") && kinds[j][0] != '*' {
				size = 4
			}
			off = (off + size - 1) / size * size
			l.at[arg], l.kind[arg] = fmt.Sprintf("%s+%d(FP)", arg, off), kinds[j]
			off += size
			if i == 0 && (kinds[j] == "int" || kinds[j][0] == '*') {
				body = append(body, fmt.Sprintf("\tMOVD %s, R%d", l.at[arg], register))
				register++
			}
		}
	}
	gp("//go:noescape\nfunc %s(%s)\n", l.name, sig)
	p("// func %s(%s)", l.name, sig)
	p("TEXT ·%s(SB), NOSPLIT, $0-%d\n%s", l.name, off, strings.Join(body, "\n"))
	return l
}

// spread fills the register v with an argument.
func (l loop) spread(arg string, v int) {
	switch l.kind[arg] {
	case "float64":
		p("\tFMOVD %s, F%d\n\tVDUP V%d.D[0], V%d.D2", l.at[arg], v, v, v)
	case "float32":
		p("\tFMOVS %s, F%d\n\tVDUP V%d.S[0], V%d.S4", l.at[arg], v, v, v)
	default:
		p("\tMOVWU %s, R8\n\tVDUP R8, V%d.S4", l.at[arg], v)
	}
}

// step is the number of elements of one loop round: n of every loop is a multiple
// of 16.
const step = 16

// rounds runs body while there are elements, R0 of them.
func (l loop) rounds(body func()) { l.repeat("R0", step, body) }

// repeat runs body until the number in the register r, less by every time, is 0.
func (l loop) repeat(r string, by int, body func()) {
	p("%s_l:", l.name)
	body()
	p("\tSUBS $%d, %s, %s\n\tBNE %s_l", by, r, r, l.name)
}

func ret() { p("\tRET\n") }

func unit(v int) { p("\tFMOVS $1.0, F%d\n\tVDUP V%d.S[0], V%d.S4", v, v, v) }

// magnitude is the mask that takes a float32's sign away.
func magnitude(v int) { p("\tMOVD $0x7fffffff, R8\n\tVDUP R8, V%d.S4", v) }

// each runs body for the first count numbers.
func each(count int, body func(i int)) {
	for i := range count {
		body(i)
	}
}

// What the registers hold in loops over exp37, which have all eight vectors of a round
// in flight: the latency of the polynomial is what they would wait for. What is the
// same in all rounds comes from memory, and V24 and V25 are what is left.
const (
	expX     = 0
	expPower = 8 // the exponents
	expQ     = 16
	expSpare = 24
	constant = 25
	lanes    = 26 // the eight partial sums
	expTop   = 30
)

func constants() { p("\tMOVD $·constants(SB), R9") }

// exp computes exp37 of the vectors x and returns the registers of the results; all
// others but the last six are free then.
func exp() (q [8]int) {
	with := func(row int, body func(i int)) {
		loadAt("R9", row, constant)
		each(8, body)
	}
	for i := range q {
		q[i] = expQ + i
	}
	with(negLimit, func(i int) { fmax(D, expX+i, expX+i, constant) })
	with(limit, func(i int) { fmin(D, expX+i, expX+i, constant) })
	with(log2e, func(i int) { fmul(D, q[i], expX+i, constant) })
	with(magic, func(i int) { fadd(D, q[i], q[i], constant) })
	// The low twelve bits are those of the integer, which the exponent is to grow by.
	// In a NaN that was a float32 they are zeros, so that it stays one.
	each(8, func(i int) { p("\tVSHL $52, V%d.D2, V%d.D2", q[i], expPower+i) })
	each(8, func(i int) { fsub(D, q[i], q[i], constant) })
	with(negLn2, func(i int) { fmla(D, expX+i, q[i], constant) })
	with(poly, func(i int) {
		loadAt("R9", poly+16, q[i])
		fmla(D, q[i], constant, expX+i)
	})
	spare := expSpare
	for c := 2; c < 10; c++ {
		each(8, func(i int) {
			loadAt("R9", poly+16*c, spare)
			fmla(D, spare, q[i], expX+i)
			q[i], spare = spare, q[i]
		})
	}
	each(8, func(i int) { p("\tVADD V%d.D2, V%d.D2, V%d.D2", expPower+i, q[i], q[i]) })
	return q
}

// widenRound and narrowRound go from four vectors to eight and back.
func widenRound(to, from int) {
	each(4, func(i int) { widen(to+2*i, to+2*i+1, from+i) })
}

func narrowRound(to int, from [8]int) {
	each(4, func(i int) { narrow(to+i, from[2*i], from[2*i+1]) })
}

// expLoop: dst = exp37(x).
func expLoop() {
	l := open("exp", "n int, dst, x *float32")
	constants()
	l.rounds(func() {
		take(S, "R2", expPower, 4)
		widenRound(expX, expPower)
		q := exp()
		narrowRound(expPower, q)
		put(S, "R1", expPower, 4)
	})
	ret()
}

// quotients: dst = x/(1+e^p) for the vectors p.
func quotients() {
	q := exp()
	loadAt("R9", one, constant)
	each(8, func(i int) { fadd(D, q[i], q[i], constant) })
	take(S, "R2", expPower, 4)
	widenRound(expX, expPower)
	each(8, func(i int) { fdiv(D, q[i], expX+i, q[i]) })
	narrowRound(expPower, q)
	put(S, "R1", expPower, 4)
}

func siluLoop() {
	l := open("silu", "n int, dst, x *float32")
	constants()
	l.rounds(func() {
		load(S, "R2", expPower, 4)
		widenRound(expX, expPower)
		each(8, func(i int) { fneg(D, expX+i, expX+i) })
		quotients()
	})
	ret()
}

// geluLoop: dst = x/(1+e^-p), p = x·(gelu1 + gelu3·x²).
func geluLoop() {
	l := open("gelu", "n int, dst, x *float32")
	constants()
	l.rounds(func() {
		load(S, "R2", expPower, 4)
		widenRound(expX, expPower)
		loadAt("R9", gelu3, constant)
		each(8, func(i int) { fmul(D, expPower+i, expX+i, expX+i) })
		each(8, func(i int) { loadAt("R9", gelu1, expQ+i) })
		each(8, func(i int) { fmla(D, expQ+i, expPower+i, constant) })
		each(8, func(i int) { fmul(D, expX+i, expX+i, expQ+i) })
		each(8, func(i int) { fneg(D, expX+i, expX+i) })
		quotients()
	})
	ret()
}

// expShiftLoop: x = exp37(x - top), lanes += x.
func expShiftLoop() {
	l := open("expShift", "n int, x *float32, top float64, lanes *[8]float64")
	constants()
	l.spread("top", expTop)
	load(D, "R2", lanes, 4)
	inPlace("R1")
	l.rounds(func() {
		take(S, "R1", expPower, 4)
		widenRound(expX, expPower)
		each(8, func(i int) { fsub(D, expX+i, expX+i, expTop) })
		q := exp()
		narrowRound(expPower, q)
		put(S, "R11", expPower, 4)
		widenRound(expX, expPower)
		each(8, func(i int) { fadd(D, lanes+i%4, lanes+i%4, expX+i) })
	})
	p("\tVST1 %s, (R2)", registers(D, lanes, 4))
	ret()
}

// scaleLoop: x = float32(float64(x)·by).
func scaleLoop() {
	l := open("scale", "n int, x *float32, by float64")
	l.spread("by", 31)
	inPlace("R1")
	l.rounds(func() {
		take(S, "R1", 0, 4)
		each(4, func(i int) { widen(16+2*i, 17+2*i, i) })
		each(8, func(i int) { fmul(D, 16+i, 16+i, 31) })
		each(4, func(i int) { narrow(i, 16+2*i, 17+2*i) })
		put(S, "R11", 0, 4)
	})
	ret()
}

// maximumLoop: numbers that are larger replace the largest so far; a NaN is not. (Of
// a NaN that signals, fmaxnm would make one.)
func maximumLoop() {
	l := open("maximum", "n int, x *float32, low float32) (m float32")
	l.spread("low", 0)
	each(3, func(i int) { p("\tVMOV V0.B16, V%d.B16", 1+i) })
	larger := func(to, x int) {
		fcmgt(S, 8+to, x, to)
		where(8+to, to, x)
	}
	l.rounds(func() {
		take(S, "R1", 4, 4)
		each(4, func(i int) { larger(i, 4+i) })
	})
	larger(0, 1)
	larger(2, 3)
	larger(0, 2)
	p("\tVDUP V0.D[1], V1.D2")
	larger(0, 1)
	p("\tVDUP V0.S[1], V1.S4")
	larger(0, 1)
	p("\tFMOVS F0, %s", l.at["m"])
	ret()
}

// dotLoop: lanes += a·b, the products exact.
func dotLoop() {
	l := open("dot", "n int, a, b *float32, lanes *[8]float64")
	load(D, "R3", lanes, 4)
	l.rounds(func() {
		take(S, "R1", 0, 4)
		take(S, "R2", 4, 4)
		for half := 0; half < 4; half += 2 {
			each(2, func(i int) {
				widen(16+2*i, 17+2*i, half+i)
				widen(20+2*i, 21+2*i, 4+half+i)
			})
			each(4, func(i int) { fmla(D, lanes+i, 16+i, 20+i) })
		}
	})
	p("\tVST1 %s, (R3)", registers(D, lanes, 4))
	ret()
}

// addToLoop: sum += float64(x).
func addToLoop() {
	l := open("addTo", "n int, sum *float64, x *float32")
	inPlace("R1")
	l.rounds(func() {
		take(S, "R2", 0, 4)
		for half := 0; half < 4; half += 2 {
			take(D, "R1", 20, 4)
			widen(16, 17, half)
			widen(18, 19, half+1)
			each(4, func(i int) { fadd(D, 20+i, 20+i, 16+i) })
			put(D, "R11", 20, 4)
		}
	})
	ret()
}

// momentsLoop goes down 16 columns, with all accumulators of half of them in
// registers.
func momentsLoop() {
	l := open("moments", "rows int, x *float32, ld int, acc *[64]float64")
	p("\tLSL $2, R2, R2")
	accumulators := []int{0, 4, 16, 20} // four registers each
	for part := 0; part < step; part += 8 {
		p("\tMOVD R0, R4\n\tADD $%d, R1, R5", 4*part)
		for k, v := range accumulators {
			each(4, func(i int) { loadAt("R3", 8*(step*k+part)+16*i, v+i) })
		}
		p("%s_%d:", l.name, part)
		load(S, "R5", 28, 2)
		widen(24, 25, 28)
		widen(26, 27, 29)
		each(4, func(i int) { fadd(D, 0+i, 0+i, 24+i) })
		each(4, func(i int) { fmla(D, 4+i, 24+i, 24+i) }) // the square is exact
		each(4, func(i int) { fabs(D, 24+i, 24+i) })
		each(4, func(i int) { fadd(D, 16+i, 16+i, 24+i) })
		each(4, func(i int) { fmax(D, 20+i, 20+i, 24+i) })
		p("\tADD R2, R5, R5\n\tSUBS $1, R4, R4\n\tBNE %s_%d", l.name, part)
		for k, v := range accumulators {
			each(4, func(i int) { storeAt("R3", 8*(step*k+part)+16*i, v+i) })
		}
	}
	ret()
}

// keepLoop: x *= 0 or 1, by the bits.
func keepLoop() {
	l := open("keep", "n int, x *float32, bits *byte")
	unit(31)
	p("\tMOVD $bits32<>(SB), R9")
	load(S, "R9", 24, 4)
	inPlace("R1")
	l.rounds(func() {
		take(S, "R1", 0, 4)
		p("\tMOVHU.P 2(R2), R8\n\tVDUP R8, V20.S4")
		each(4, func(i int) { p("\tVCMTST V20.S4, V%d.S4, V%d.S4", 24+i, 16+i) })
		each(4, func(i int) { and(16+i, 16+i, 31) })
		each(4, func(i int) { fmul(S, i, i, 16+i) })
		put(S, "R11", 0, 4)
	})
	ret()
}

// addScaledLoop: x = base + by·x, each operation rounded.
func addScaledLoop() {
	l := open("addScaled", "n int, x, base *float32, by float32")
	l.spread("by", 31)
	inPlace("R1")
	l.rounds(func() {
		take(S, "R1", 0, 4)
		take(S, "R2", 4, 4)
		each(4, func(i int) { fmul(S, i, i, 31) })
		each(4, func(i int) { fadd(S, i, 4+i, i) })
		put(S, "R11", 0, 4)
	})
	ret()
}

// elements are loops over float32s, each element by itself and each operation
// rounded.
func elements() {
	op := func(f func(form, int, int, int), d, n, m int) {
		each(4, func(i int) { f(S, d+i, n+i, m+i) })
	}
	by := func(f func(form, int, int, int), d, n, m int) { // m is one register
		each(4, func(i int) { f(S, d+i, n+i, m) })
	}

	l := open("multiply", "n int, dst, x *float32")
	inPlace("R1")
	l.rounds(func() {
		take(S, "R1", 0, 4)
		take(S, "R2", 4, 4)
		op(fmul, 0, 0, 4)
		put(S, "R11", 0, 4)
	})
	ret()

	l = open("scaleGain", "n int, y, x, gain *float32, by float32")
	l.spread("by", 31)
	l.rounds(func() {
		take(S, "R2", 0, 4)
		take(S, "R3", 4, 4)
		by(fmul, 0, 0, 31)
		op(fmul, 0, 0, 4)
		put(S, "R1", 0, 4)
	})
	ret()

	for _, way := range []struct {
		name          string
		first, second func(form, int, int, int)
	}{{"rotate", fsub, fadd}, {"rotateBack", fadd, fsub}} {
		l = open(way.name, "n int, a, b, cos, sin *float32")
		inPlace("R1", "R2")
		l.rounds(func() {
			take(S, "R1", 0, 4)
			take(S, "R2", 4, 4)
			take(S, "R3", 16, 4)
			take(S, "R4", 20, 4)
			op(fmul, 24, 0, 16)
			op(fmul, 28, 4, 20)
			op(way.first, 24, 24, 28)
			put(S, "R11", 24, 4)
			op(fmul, 4, 4, 16)
			op(fmul, 0, 0, 20)
			op(way.second, 4, 4, 0)
			put(S, "R12", 4, 4)
		})
		ret()
	}

	l = open("gateGradient", "n int, dMid, dGate, gate, up, e *float32")
	unit(31)
	inPlace("R1")
	l.rounds(func() {
		take(S, "R1", 0, 4)
		take(S, "R3", 4, 4)
		take(S, "R4", 16, 4)
		take(S, "R5", 20, 4)
		by(fadd, 20, 20, 31)
		each(4, func(i int) { fdiv(S, 20+i, 31, 20+i) }) // the sigmoid
		op(fmul, 16, 0, 16)
		each(4, func(i int) { fsub(S, 24+i, 31, 20+i) })
		op(fmul, 24, 4, 24)
		by(fadd, 24, 24, 31)
		op(fmul, 24, 20, 24)
		op(fmul, 16, 16, 24)
		put(S, "R2", 16, 4)
		op(fmul, 4, 4, 20)
		op(fmul, 0, 0, 4)
		put(S, "R11", 0, 4)
	})
	ret()
}

// deltas are the loops over differences and their magnitudes: those over float64s
// take eight elements at a time.
func deltas() {
	differenceLoop()
	magnitudesLoop()
	betweenLoop()
	keepOverLoop()
	keepBelowLoop()
	addProductLoop()
	addAgreeingLoop()
	divideByLoop()
	roundSumLoop(false)
	roundSumLoop(true)
	countLargerLoop()
	countEqualLoop()
}

// differenceLoop: dst = float64(x) − float64(y).
func differenceLoop() {
	l := open("difference", "n int, dst *float64, x, y *float32")
	l.rounds(func() {
		take(S, "R2", 0, 4)
		take(S, "R3", 4, 4)
		for half := 0; half < 4; half += 2 {
			each(2, func(i int) {
				widen(16+2*i, 17+2*i, half+i)
				widen(20+2*i, 21+2*i, 4+half+i)
			})
			each(4, func(i int) { fsub(D, 16+i, 16+i, 20+i) })
			put(D, "R1", 16, 4)
		}
	})
	ret()
}

// magnitudesLoop: the bits of x − y without the sign.
func magnitudesLoop() {
	l := open("magnitudes", "n int, dst *uint32, x, y *float32")
	l.rounds(func() {
		take(S, "R2", 0, 4)
		take(S, "R3", 4, 4)
		each(4, func(i int) { fabd(S, i, i, 4+i) })
		put(S, "R1", 0, 4)
	})
	ret()
}

// betweenLoop: what is above over and not above hi goes to dst, four elements at a
// time by a table of shuffles. A sum over the lanes of what they are worth is the
// place in the table and, eight bits higher, how many they are.
func betweenLoop() {
	l := open("between", "n int, dst, x *uint32, over, hi int32) (kept, above int")
	l.spread("over", 30)
	l.spread("hi", 31)
	p("\tMOVD $worth<>(SB), R9")
	load(S, "R9", 29, 1)
	p("\tMOVD $shuffles<>(SB), R9\n\tMOVD R1, R10")
	clearRegister(28)
	l.rounds(func() {
		take(S, "R2", 0, 4)
		each(4, func(i int) { cmgt(4+i, i, 31) })
		each(4, func(i int) { cmgt(16+i, i, 30) })
		each(4, func(i int) { bic(16+i, 16+i, 4+i) })
		each(4, func(i int) { and(16+i, 16+i, 29) })
		each(4, func(i int) { p("\tVADDV V%d.S4, V%d", 16+i, 16+i) })
		each(4, func(i int) { p("\tVMOV V%d.S[0], R%d", 16+i, 11+i) })
		each(4, func(i int) {
			p("\tAND $15, R%d, R8\n\tADD R8<<4, R9, R8", 11+i)
			loadAt("R8", 0, 20)
			p("\tVTBL V20.B16, [V%d.B16], V20.B16\n\tVST1 [V20.S4], (R1)\n\tLSR $8, R%d, R8\n\tADD R8<<2, R1, R1", i, 11+i)
		})
		each(3, func(i int) { p("\tVADD V%d.S4, V4.S4, V4.S4", 5+i) })
		sadalp(28, 4) // each of them is −1
	})
	p("\tSUB R10, R1, R1\n\tLSR $2, R1, R1\n\tMOVD R1, %s", l.at["kept"])
	p("\tVADDP V28.D2, V28.D2, V28.D2\n\tVMOV V28.D[0], R1\n\tNEG R1, R1\n\tMOVD R1, %s", l.at["above"])
	ret()
}

// keepOverLoop: x = 0 unless its magnitude is above over.
func keepOverLoop() {
	l := open("keepOver", "n int, x *float64, over int32")
	l.spread("over", 30)
	magnitude(31)
	inPlace("R1")
	l.rounds(func() {
		for range 2 {
			take(D, "R1", 0, 4)
			narrow(16, 0, 1)
			narrow(17, 2, 3)
			each(2, func(i int) { and(16+i, 16+i, 31) })
			each(2, func(i int) { cmgt(16+i, 16+i, 30) })
			extend(4, 5, 16)
			extend(6, 7, 17)
			each(4, func(i int) { and(i, i, 4+i) })
			put(D, "R11", 0, 4)
		}
	})
	ret()
}

// keepBelowLoop: x = 0 unless its draw is below the limit.
func keepBelowLoop() {
	l := open("keepBelow", "n int, x *float64, draws *uint32, limit uint32")
	l.spread("limit", 30)
	inPlace("R1")
	l.rounds(func() {
		take(S, "R2", 16, 4)
		for half := 0; half < 4; half += 2 {
			take(D, "R1", 0, 4)
			each(2, func(i int) { cmhi(16+half+i, 30, 16+half+i) })
			extend(4, 5, 16+half)
			extend(6, 7, 17+half)
			each(4, func(i int) { and(i, i, 4+i) })
			put(D, "R11", 0, 4)
		}
	})
	ret()
}

// addProductLoop: sum += by·x, the product rounded.
func addProductLoop() {
	l := open("addProduct", "n int, sum *float64, by float64, x *float64")
	l.spread("by", 31)
	inPlace("R1")
	l.rounds(func() {
		for range 2 {
			take(D, "R1", 0, 4)
			take(D, "R2", 4, 4)
			each(4, func(i int) { fmul(D, 4+i, 4+i, 31) })
			each(4, func(i int) { fadd(D, i, i, 4+i) })
			put(D, "R11", 0, 4)
		}
	})
	ret()
}

// addAgreeingLoop: where p = by·x is above zero and vote is zero or more, or
// neither, sum += p and weights += weight.
func addAgreeingLoop() {
	l := open("addAgreeing", "n int, sum, weights, x, vote *float64, by, weight float64")
	l.spread("by", 31)
	l.spread("weight", 30)
	inPlace("R1", "R2")
	l.rounds(func() {
		for range 2 {
			take(D, "R3", 0, 4)
			take(D, "R4", 4, 4)
			each(4, func(i int) { fmul(D, i, i, 31) })
			each(4, func(i int) { fcmge0(D, 4+i, 4+i) })
			each(4, func(i int) { fcmgt0(D, 16+i, i) })
			each(4, func(i int) { fcmge0(D, 20+i, i) })
			// Where vote is below zero or a NaN: p is not zero or more.
			each(4, func(i int) { and(16+i, 16+i, 4+i) })
			each(4, func(i int) { p("\tVORR V%d.B16, V%d.B16, V%d.B16", 4+i, 20+i, 20+i) })
			each(4, func(i int) {
				word(0x4ee01c00|(20+i)<<16|(16+i)<<5|(16+i), "orn v%d.16b, v%d.16b, v%d.16b", 16+i, 16+i, 20+i)
			})
			each(4, func(i int) { and(i, i, 16+i) })
			each(4, func(i int) { and(16+i, 30, 16+i) })
			take(D, "R1", 20, 4)
			take(D, "R2", 24, 4)
			each(4, func(i int) { fadd(D, 20+i, 20+i, i) })
			each(4, func(i int) { fadd(D, 24+i, 24+i, 16+i) })
			put(D, "R11", 20, 4)
			put(D, "R12", 24, 4)
		}
	})
	ret()
}

// divideByLoop: x /= by where by is not zero.
func divideByLoop() {
	l := open("divideBy", "n int, x, by *float64")
	inPlace("R1")
	l.rounds(func() {
		for range 2 {
			take(D, "R1", 0, 4)
			take(D, "R2", 4, 4)
			each(4, func(i int) { fdiv(D, 16+i, i, 4+i) })
			each(4, func(i int) { fcmeq0(D, 4+i, 4+i) })
			each(4, func(i int) { where(4+i, 16+i, i) })
			put(D, "R11", 16, 4)
		}
	})
	ret()
}

// roundSumLoop: dst = base + by·x, rounded to float32 at last; base where the
// count is too low.
func roundSumLoop(counted bool) {
	name, sig := "roundSum", "n int, dst, base *float32, by float64, x *float64"
	if counted {
		name, sig = "roundSumWhere", "n int, dst, base *float32, by float64, x, count *float64, least float64"
	}
	l := open(name, sig)
	l.spread("by", 31)
	if counted {
		l.spread("least", 30)
	}
	l.rounds(func() {
		for range 2 {
			take(S, "R2", 16, 2)
			take(D, "R3", 4, 4)
			widen(0, 1, 16)
			widen(2, 3, 17)
			each(4, func(i int) { fmul(D, 4+i, 4+i, 31) })
			each(4, func(i int) { fadd(D, i, i, 4+i) })
			narrow(18, 0, 1)
			narrow(19, 2, 3)
			if counted {
				take(D, "R4", 4, 4)
				each(4, func(i int) { fcmge(D, 4+i, 4+i, 30) })
				each(2, func(i int) { p("\tVUZP1 V%d.S4, V%d.S4, V%d.S4", 5+2*i, 4+2*i, 20+i) })
				each(2, func(i int) { where(20+i, 16+i, 18+i) })
				put(S, "R1", 16, 2)
			} else {
				put(S, "R1", 18, 2)
			}
		}
	})
	ret()
}

// countLargerLoop: count += 1 where |x| > by·|all − x|.
func countLargerLoop() {
	l := open("countLarger", "n int, count, x, all *float64, by float64")
	l.spread("by", 31)
	p("\tFMOVD $1.0, F30\n\tVDUP V30.D[0], V30.D2")
	inPlace("R1")
	l.rounds(func() {
		for range 2 {
			take(D, "R2", 0, 4)
			take(D, "R3", 4, 4)
			take(D, "R1", 16, 4)
			each(4, func(i int) { fabd(D, 4+i, 4+i, i) })
			each(4, func(i int) { fabs(D, i, i) })
			each(4, func(i int) { fmul(D, 4+i, 4+i, 31) })
			each(4, func(i int) { fcmgt(D, i, i, 4+i) })
			each(4, func(i int) { and(i, i, 30) })
			each(4, func(i int) { fadd(D, 16+i, 16+i, i) })
			put(D, "R11", 16, 4)
		}
	})
	ret()
}

// countEqualLoop returns how many elements equal v.
func countEqualLoop() {
	l := open("countEqual", "n int, x *float64, v float64) (k int")
	l.spread("v", 31)
	each(4, func(i int) { clearRegister(4 + i) })
	l.rounds(func() {
		for range 2 {
			take(D, "R1", 0, 4)
			each(4, func(i int) { fcmeq(D, i, i, 31) })
			each(4, func(i int) { p("\tVSUB V%d.D2, V%d.D2, V%d.D2", i, 4+i, 4+i) }) // less −1
		}
	})
	p("\tVADD V5.D2, V4.D2, V4.D2\n\tVADD V7.D2, V6.D2, V6.D2\n\tVADD V6.D2, V4.D2, V4.D2")
	p("\tVADDP V4.D2, V4.D2, V4.D2\n\tVMOV V4.D[0], R1\n\tMOVD R1, %s", l.at["k"])
	ret()
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

// What the registers hold in loops over a panel: the steps of the 16 rows are in V16
// to V23.
const (
	panelSteps   = 16
	vTop         = 10
	vPanelMagic  = 11
	vZero        = 12
	vNegDiagonal = 13
	vDiagonal    = 14
	vOn          = 15
)

func panelConstants(grid bool) {
	p("\tMOVD $bits64<>(SB), R14")
	if grid {
		p("\tMOVD $%d, R8\n\tADD R0, R8, R8\n\tVLD1R (R8), [V%d.S4]", panelTop, vTop)
		p("\tMOVD $0x4b400000, R8\n\tVDUP R8, V%d.S4", vPanelMagic)
		clearRegister(vZero)
	}
}

// on makes masks v and v+1 of which of the four rows that are off bytes in are on.
func on(off, v int) {
	for i := range 2 {
		loadAt("R14", off+16*i, v+i)
		p("\tVCMTST V%d.D2, V%d.D2, V%d.D2", vOn, v+i, v+i)
	}
}

// nearest replaces the float32s x by the codes nearest to them, less their zero
// points, and stores them; then it multiplies them by the scale. The grids are at
// off of R8. V28 to V31 are scratch.
func nearest(x int, grids string, off, next int) {
	loadAt(grids, off, 28)
	loadAt(grids, off+panelZero-panelScale, 29)
	fdiv(S, x, x, 28)
	fsub(S, 30, vZero, 29)
	fcmgt(S, 31, 30, x)
	where(31, x, 30)
	fsub(S, 30, vTop, 29)
	fcmgt(S, 31, x, 30)
	where(31, x, 30)
	fadd(S, x, x, vPanelMagic)
	fsub(S, x, x, vPanelMagic)
	storeAt("R6", next, x)
	fmul(S, x, x, 28)
}

// behind changes the columns behind the one at R5 by the products of the steps with
// the row of the matrix at R4: R3 of them.
func (l loop) behind(op func(form, int, int, int)) {
	p("\tCBZ R3, %s_n\n\tMOVD R3, R8\n\tADD $8, R4, R10\n\tADD $%d, R5, R11\n\tMOVD R11, R15", l.name, column64)
	p("%s_j:\n\tVLD1R.P 8(R10), [V8.D2]", l.name)
	for half := 0; half < 8; half += 4 {
		take(D, "R11", 0, 4)
		each(4, func(i int) { fmul(D, 24+i, panelSteps+half+i, 8) })
		each(4, func(i int) { op(D, i, i, 24+i) })
		put(D, "R15", 0, 4)
	}
	p("\tSUBS $1, R8, R8\n\tBNE %s_j\n%s_n:", l.name, l.name)
}

// next goes on to the next column, of which R2 are left.
func (l loop) next() {
	p("\tADD $%d, R5, R5\n\tADD $%d, R6, R6\n\tADD R12, R4, R4\n\tSUB $1, R3, R3\n\tSUBS $1, R2, R2\n\tBNE %s_k", column64, column32, l.name)
}

// freezeLoop: see Panel.Freeze.
func freezeLoop(grid bool) {
	name := "freeze"
	if grid {
		name += "Grid"
	}
	l := open(name, "p *Panel, from, to, width int, u *float64, ld int, inv *float64")
	p("\tSUB R1, R2, R2\n\tSUB R1, R3, R3\n\tSUB $1, R3, R3")
	p("\tADD $1, R5, R12\n\tLSL $3, R12, R12\n\tMUL R12, R1, R8\n\tADD R8, R4, R4")
	p("\tADD R1<<3, R6, R7\n\tADD R1<<7, R0, R5\n\tADD $%d, R0, R6\n\tADD R1<<6, R6, R6", panelNext)
	p("\tMOVD $%d, R13\n\tADD R0, R13, R13\n\tADD R1<<3, R13, R13", panelOn)
	panelConstants(grid)
	p("%s_k:\n\tVLD1R.P 8(R7), [V%d.D2]\n\tVLD1R.P 8(R13), [V%d.D2]", l.name, vDiagonal, vOn)
	each(4, func(quad int) {
		off, steps := 32*quad, panelSteps+2*quad
		on(off, 2)
		each(2, func(i int) { loadAt("R5", off+16*i, i) })
		each(2, func(i int) { and(2+i, 2+i, i) })
		if grid {
			narrow(4, 2, 3)
			nearest(4, "R6", panelScale-panelNext+off/2, off/2)
			widen(2, 3, 4)
		}
		each(2, func(i int) { fsub(D, i, i, 2+i) })
		each(2, func(i int) { fmul(D, steps+i, i, vDiagonal) })
		each(2, func(i int) { storeAt("R5", panelD+off+16*i, steps+i) })
		each(2, func(i int) { storeAt("R5", off+16*i, 2+i) })
		each(2, func(i int) { loadAt("R0", panelLoss+off+16*i, i) })
		each(2, func(i int) { fmul(D, 2+i, steps+i, steps+i) })
		each(2, func(i int) { fadd(D, i, i, 2+i) })
		each(2, func(i int) { storeAt("R0", panelLoss+off+16*i, i) })
	})
	l.behind(fsub)
	l.next()
	ret()
}

// descendLoop: see Panel.Descend.
func descendLoop(grid bool) {
	name := "descend"
	if grid {
		name += "Grid"
	}
	l := open(name, "p *Panel, width int, h *float64, ld int")
	p("\tADD $1, R3, R12\n\tLSL $3, R12, R12\n\tMOVD R2, R4\n\tMOVD R1, R2\n\tSUB $1, R1, R3")
	p("\tMOVD R0, R5\n\tADD $%d, R0, R6\n\tMOVD $%d, R13\n\tADD R0, R13, R13", panelNext, panelOn)
	panelConstants(grid)
	p("%s_k:\n\tVLD1R (R4), [V%d.D2]\n\tVLD1R.P 8(R13), [V%d.D2]", l.name, vDiagonal, vOn)
	fneg(D, vNegDiagonal, vDiagonal)
	each(4, func(quad int) {
		off, steps := 32*quad, panelSteps+2*quad
		each(2, func(i int) { loadAt("R5", off+16*i, i) })
		each(2, func(i int) { fdiv(D, steps+i, i, vNegDiagonal) })
		if grid {
			loadAt("R6", panelBase-panelNext+off/2, 4)
			loadAt("R0", panelScale+off/2, 5)
			fmul(S, 4, 4, 5)
			widen(2, 3, 4)
			each(2, func(i int) { fadd(D, steps+i, 2+i, steps+i) })
			narrow(4, steps, steps+1)
			nearest(4, "R0", panelScale+off/2, off/2)
			widen(steps, steps+1, 4)
			each(2, func(i int) { fsub(D, steps+i, steps+i, 2+i) })
		}
		// V4 and V5 become the change of the loss.
		each(2, func(i int) { fadd(D, i, i, i) })
		each(2, func(i int) { fmul(D, 4+i, steps+i, vDiagonal) })
		each(2, func(i int) { fadd(D, 4+i, i, 4+i) })
		each(2, func(i int) { fmul(D, 4+i, 4+i, steps+i) })
		each(2, func(i int) { fcmlt0(D, i, 4+i) })
		on(off, 2)
		each(2, func(i int) { and(i, i, 2+i) })
		each(2, func(i int) { and(steps+i, steps+i, i) })
		each(2, func(i int) { and(4+i, 4+i, i) })
		each(2, func(i int) { loadAt("R0", panelLoss+off+16*i, i) })
		each(2, func(i int) { fsub(D, i, i, 4+i) })
		each(2, func(i int) { storeAt("R0", panelLoss+off+16*i, i) })
		each(2, func(i int) { storeAt("R5", panelD+off+16*i, steps+i) })
	})
	l.behind(fadd)
	l.next()
	ret()
}

// data writes a table of words of size bytes.
func data(name string, size int, words ...uint64) {
	for i, w := range words {
		p("DATA %s<>+%d(SB)/%d, $0x%x", name, i*size, size, w)
	}
	p("GLOBL %s<>(SB), RODATA|NOPTR, $%d", name, size*len(words))
}

func tables() {
	var single []uint64
	for i := range step {
		single = append(single, 1<<i)
	}
	data("bits32", 4, single...)
	data("bits64", 8, single...)
	data("worth", 4, 0x101, 0x102, 0x104, 0x108)
	var shuffles []uint64
	for set := range 16 {
		var bytes [16]uint64
		kept := 0
		for i := range 4 {
			if set>>i&1 == 1 {
				for b := range 4 {
					bytes[kept] = uint64(4*i + b)
					kept++
				}
			}
		}
		for half := 0; half < 16; half += 8 {
			var w uint64
			for b := range 8 {
				w |= bytes[half+b] << (8 * b)
			}
			shuffles = append(shuffles, w)
		}
	}
	data("shuffles", 8, shuffles...)
	data("fours", 8, fourBits()...)
	p("")
}

func main() {
	gp("// Code generated by gen/neon/main.go. DO NOT EDIT.\n\npackage vmath\n")
	p("// Code generated by gen/neon/main.go. DO NOT EDIT.\n\n#include \"textflag.h\"\n")
	tables()
	expLoop()
	siluLoop()
	geluLoop()
	expShiftLoop()
	scaleLoop()
	maximumLoop()
	dotLoop()
	addToLoop()
	momentsLoop()
	keepLoop()
	addScaledLoop()
	elements()
	deltas()
	freezeLoop(false)
	freezeLoop(true)
	descendLoop(false)
	descendLoop(true)
	grids()
	for name, s := range map[string]string{"vector_arm64.s": asm.String(), "vector_arm64.go": decl.String()} {
		if err := os.WriteFile(name, []byte(strings.TrimRight(s, "\n")+"\n"), 0o644); err != nil {
			panic(err)
		}
	}
}
