//go:build ignore

package main

// NEON forms of the loops over weights, scores and codes of rows, and over blocks.

var (
	ucvtf  = two("ucvtf", 0x6e21d800, "")  // of integers, to nearest
	fcvtzs = two("fcvtzs", 0x4ea1b800, "") // to integers, of a NaN 0
)

// B is a register as bytes, to be moved.
var B = form{"16b", "B16", 16, 0}

func not(d, n int)    { word(0x6e205800|n<<5|d, "mvn v%d.16b, v%d.16b", d, n) }
func or(d, n, m int)  { p("\tVORR V%d.B16, V%d.B16, V%d.B16", m, n, d) }
func eor(d, n, m int) { p("\tVEOR V%d.B16, V%d.B16, V%d.B16", m, n, d) }

func setRegister(d int) { p("\tVCMEQ V%d.D2, V%d.D2, V%d.D2", d, d, d) }

// choose replaces mask by n where it is set and by m elsewhere.
func choose(mask, n, m int) { p("\tVBSL V%d.B16, V%d.B16, V%d.B16", m, n, mask) }

// evens makes d of the even elements of lo and hi, which are the low halves of elements
// twice as wide.
func evens(plan9 string, d, lo, hi int) {
	p("\tVUZP1 V%d.%s, V%d.%s, V%d.%s", hi, plan9, lo, plan9, d, plan9)
}

// less replaces the float32s to by x where x is less, and more where it is more: not
// where one of them is a NaN.
func less(mask, to, x int) {
	fcmgt(S, mask, to, x)
	where(mask, to, x)
}

func more(mask, to, x int) {
	fcmgt(S, mask, x, to)
	where(mask, to, x)
}

// anyBit leaves 0 in R8 unless there is a bit in the register v.
func anyBit(v int) {
	p("\tVMOV V%d.D[0], R8\n\tVMOV V%d.D[1], R9\n\tORR R9, R8, R8", v, v)
}

// orAll leaves in v what is set in any of count registers from v on, a power of two.
func orAll(v, count int) {
	for count >>= 1; count > 0; count >>= 1 {
		each(count, func(i int) { or(v+i, v+i, v+count+i) })
	}
}

// grids are the loops of the table of that name.
func grids() {
	widenLoop()
	narrowLoop()
	onlyLoop()
	extremesLoop()
	decodeLoop()
	encodeLoop(false)
	encodeLoop(true)
	scoresLoop()
	finiteLoop("finite", "float32", S)
	finiteLoop("finite64", "float64", D)
	twoOfFourLoop()
	copyBlockLoop()
	valueBlockLoop(false)
	valueBlockLoop(true)
	dotBlockLoop()
	energyBlockLoop()
	acceptBlockLoop()
	settleLoop(false)
	settleLoop(true)
	chooseTwoOf4Loop()
	dropBlockLoop()
}

func widenLoop() {
	l := open("widen", "n int, dst *float64, x *float32")
	l.rounds(func() {
		take(S, "R2", 0, 4)
		widenRound(16, 0)
		put(D, "R1", 16, 4)
		put(D, "R1", 20, 4)
	})
	ret()
}

func narrowLoop() {
	l := open("narrow", "n int, dst *float32, x *float64")
	l.rounds(func() {
		take(D, "R2", 0, 4)
		take(D, "R2", 4, 4)
		narrowRound(16, [8]int{0, 1, 2, 3, 4, 5, 6, 7})
		put(S, "R1", 16, 4)
	})
	ret()
}

// onlyLoop: dst = x where the bits are set.
func onlyLoop() {
	l := open("only", "n int, dst, x *float32, bits *byte")
	p("\tMOVD $bits32<>(SB), R9")
	load(S, "R9", 24, 4)
	l.rounds(func() {
		take(S, "R2", 0, 4)
		p("\tMOVHU.P 2(R3), R8\n\tVDUP R8, V20.S4")
		each(4, func(i int) { p("\tVCMTST V20.S4, V%d.S4, V%d.S4", 24+i, 16+i) })
		each(4, func(i int) { and(i, i, 16+i) })
		put(S, "R1", 0, 4)
	})
	ret()
}

func extremesLoop() {
	l := open("extremes", "n int, x *float32, low, high float32) (least, most float32")
	l.spread("low", 0)
	l.spread("high", 4)
	each(3, func(i int) { p("\tVMOV V0.B16, V%d.B16\n\tVMOV V4.B16, V%d.B16", 1+i, 5+i) })
	l.rounds(func() {
		take(S, "R1", 16, 4)
		each(4, func(i int) { less(20+i, i, 16+i) })
		each(4, func(i int) { more(24+i, 4+i, 16+i) })
	})
	for _, end := range []struct {
		v      int
		better func(mask, to, x int)
		result string
	}{{0, less, "least"}, {4, more, "most"}} {
		v := end.v
		end.better(20, v, v+1)
		end.better(21, v+2, v+3)
		end.better(20, v, v+2)
		p("\tVDUP V%d.D[1], V%d.D2", v, v+1)
		end.better(20, v, v+1)
		p("\tVDUP V%d.S[1], V%d.S4", v, v+1)
		end.better(20, v, v+1)
		p("\tFMOVS F%d, %s", v, l.at[end.result])
	}
	ret()
}

// decodeLoop: dst = scale·(codes − zero).
func decodeLoop() {
	l := open("decode", "n int, dst *float32, codes *byte, scale, zero float32")
	l.spread("scale", 30)
	l.spread("zero", 31)
	l.rounds(func() {
		take(B, "R2", 0, 1)
		p("\tVUXTL V0.B8, V1.H8\n\tVUXTL2 V0.B16, V2.H8")
		each(2, func(i int) { p("\tVUXTL V%d.H4, V%d.S4\n\tVUXTL2 V%d.H8, V%d.S4", 1+i, 16+2*i, 1+i, 17+2*i) })
		each(4, func(i int) { ucvtf(S, 16+i, 16+i) })
		each(4, func(i int) { fsub(S, 16+i, 16+i, 31) })
		each(4, func(i int) { fmul(S, 16+i, 30, 16+i) })
		put(S, "R1", 16, 4)
	})
	ret()
}

// encodeLoop: codes = x + zero, with x what is nearest to x/scale from low to high
// for round.
func encodeLoop(round bool) {
	name, sig := "encode", "n int, codes *byte, x *float32, zero float32"
	if round {
		name, sig = "round", "n int, codes *byte, x *float32, scale, low, high, zero float32"
	}
	l := open(name, sig)
	l.spread("zero", 31)
	if round {
		l.spread("scale", 30)
		l.spread("low", 29)
		l.spread("high", 28)
		p("\tMOVD $0x4b400000, R8\n\tVDUP R8, V27.S4")
	}
	l.rounds(func() {
		take(S, "R2", 0, 4)
		if round {
			each(4, func(i int) { fdiv(S, i, i, 30) })
			each(4, func(i int) { more(16+i, i, 29) })
			each(4, func(i int) { less(16+i, i, 28) })
			each(4, func(i int) { fadd(S, i, i, 27) })
			each(4, func(i int) { fsub(S, i, i, 27) })
		}
		each(4, func(i int) { fadd(S, i, i, 31) })
		each(4, func(i int) { fcvtzs(S, i, i) })
		each(2, func(i int) { evens("H8", 4+i, 2*i, 2*i+1) })
		evens("B16", 4, 4, 5)
		put(B, "R1", 4, 1)
	})
	ret()
}

// scoresLoop: dst = |x|·by.
func scoresLoop() {
	l := open("scores", "n int, dst *float64, x *float32, by *float64")
	l.rounds(func() {
		take(S, "R2", 0, 4)
		each(4, func(i int) { fabs(S, i, i) })
		widenRound(16, 0)
		take(D, "R3", 0, 4)
		take(D, "R3", 4, 4)
		each(8, func(i int) { fmul(D, 16+i, 16+i, i) })
		put(D, "R1", 16, 4)
		put(D, "R1", 20, 4)
	})
	ret()
}

// finiteLoop: a number less itself is zero, but for those that are not finite.
func finiteLoop(name, kind string, f form) {
	l := open(name, "n int, x *"+kind+") (other int")
	each(4, func(i int) { clearRegister(16 + i) })
	l.rounds(func() {
		for range 4 / f.width {
			take(f, "R1", 0, 4)
			each(4, func(i int) { fsub(f, i, i, i) })
			each(4, func(i int) { or(16+i, 16+i, i) })
		}
	})
	orAll(16, 4)
	anyBit(16)
	p("\tMOVD R8, %s", l.at["other"])
	ret()
}

// contests compares the float64s a, b, c and d in V0 to V3, and those in V4 to V7. It
// leaves masks where they were: of a and b where at least two of the other three
// win over them, of c and d where not. Those that come later win ties. V8 to V19
// are scratch: the six comparisons, of which each number has a part in three.
func contests() {
	const ab, ac, ad, bc, bd, cd = 8, 10, 12, 14, 16, 18
	two := func(body func(i, x int)) { each(2, func(i int) { body(i, 4*i) }) }
	for k, pair := range [][2]int{{0, 1}, {0, 2}, {0, 3}, {1, 2}, {1, 3}, {2, 3}} {
		two(func(i, x int) { fcmge(D, ab+2*k+i, x+pair[1], x+pair[0]) })
	}
	// Two or three of p, q and r are what r is where p and q differ, and p elsewhere.
	two(func(i, x int) { eor(x, ab+i, ac+i) })
	two(func(i, x int) { eor(x+1, bc+i, bd+i) })
	two(func(i, x int) { eor(x+2, ac+i, bc+i) })
	two(func(i, x int) { eor(x+3, ad+i, bd+i) })
	two(func(i, x int) { choose(x, ad+i, ab+i) })
	two(func(i, x int) { choose(x+3, cd+i, ad+i) })
	two(func(i, _ int) { not(ab+i, ab+i) })
	two(func(i, _ int) { not(cd+i, cd+i) })
	two(func(i, x int) { choose(x+1, ab+i, bc+i) })
	two(func(i, x int) { choose(x+2, cd+i, ac+i) })
}

// twoOfFourLoop takes fours apart, so that a register holds one number each of two.
func twoOfFourLoop() {
	l := open("twoOfFour", "n int, bits *byte, x *float64) (nan int")
	p("\tMOVD $fours<>(SB), R9")
	take(D, "R9", 20, 4)
	take(D, "R9", 24, 4)
	each(2, func(i int) { setRegister(30 + i) }) // set where all were numbers
	l.rounds(func() {
		each(2, func(i int) { p("\tVLD4.P 64(R2), %s", registers(D, 4*i, 4)) })
		each(8, func(i int) { fcmeq(D, 8+i, i, i) })
		each(8, func(i int) { and(30+i/4, 30+i/4, 8+i) })
		contests()
		each(8, func(i int) {
			if i%4 < 2 {
				bic(i, 20+i, i)
			} else {
				and(i, 20+i, i)
			}
		})
		orAll(0, 8)
		p("\tVADDP V0.D2, V0.D2, V0.D2\n\tVST1.P V0.H[0], 2(R1)")
	})
	and(30, 30, 31)
	not(30, 30)
	anyBit(30)
	p("\tMOVD R8, %s", l.at["nan"])
	ret()
}

// Columns of a block are eight registers.

// apart makes bytes of distances between columns, from behind the first half of one.
func apart(registers ...string) {
	for _, r := range registers {
		p("\tLSL $3, %s, %s\n\tSUB $64, %s, %s", r, r, r, r)
	}
}

// takeColumn and putColumn move a column of float64s, and let the pointer r go on to
// the next by a distance that apart made.
func takeColumn(r, distance string, v int) {
	take(D, r, v, 4)
	p("\tVLD1.P (%s)(%s), %s", r, distance, registers(D, v+4, 4))
}

func putColumn(r, distance string, v int) {
	put(D, r, v, 4)
	p("\tVST1.P %s, (%s)(%s)", registers(D, v+4, 4), r, distance)
}

func copyBlockLoop() {
	l := open("copyBlock", "columns int, dst *float64, ldd int, src *float64, lds int")
	apart("R2", "R4")
	l.repeat("R0", 1, func() {
		takeColumn("R3", "R4", 0)
		putColumn("R1", "R2", 0)
	})
	ret()
}

// valueBlockLoop: dst = base·scale, less from.
func valueBlockLoop(change bool) {
	name, sig := "valueBlock", "columns int, dst *float64, ldd int, base, scale *float32"
	if change {
		name, sig = "changeBlock", sig+", from *float64, ldf int"
	}
	l := open(name, sig)
	apart("R2")
	if change {
		apart("R6")
	}
	load(S, "R4", 16, 4)
	l.repeat("R0", 1, func() {
		take(S, "R3", 20, 4)
		each(4, func(i int) { fmul(S, 20+i, 20+i, 16+i) })
		widenRound(0, 20)
		if change {
			takeColumn("R5", "R6", 24)
			each(8, func(i int) { fsub(D, i, i, 24+i) })
		}
		putColumn("R1", "R2", 0)
	})
	ret()
}

// sums runs body for each column, of which there are R0, with the sums that R1 points
// to in V16 to V23.
func (l loop) sums(body func()) {
	p("\tMOVD R1, R8")
	take(D, "R8", 16, 4)
	load(D, "R8", 20, 4)
	l.repeat("R0", 1, body)
	put(D, "R1", 16, 4)
	p("\tVST1 %s, (R1)", registers(D, 20, 4))
	ret()
}

// dotBlockLoop: sum += x·y, the product rounded.
func dotBlockLoop() {
	l := open("dotBlock", "columns int, sum, x *float64, ldx int, y *float64, ldy int")
	apart("R3", "R5")
	l.sums(func() {
		takeColumn("R2", "R3", 0)
		takeColumn("R4", "R5", 24)
		each(8, func(i int) { fmul(D, i, i, 24+i) })
		each(8, func(i int) { fadd(D, 16+i, 16+i, i) })
	})
}

// energyBlockLoop: sum += change·(2g + product), each operation rounded.
func energyBlockLoop() {
	l := open("energyBlock", "columns int, sum, change *float64, ldc int, grad *float64, ldg int, product *float64, ldp int")
	apart("R3", "R5", "R7")
	l.sums(func() {
		takeColumn("R4", "R5", 0)
		takeColumn("R6", "R7", 24)
		each(8, func(i int) { fadd(D, i, i, i) })
		each(8, func(i int) { fadd(D, i, i, 24+i) })
		takeColumn("R2", "R3", 24)
		each(8, func(i int) { fmul(D, i, 24+i, i) })
		each(8, func(i int) { fadd(D, 16+i, 16+i, i) })
	})
}

// acceptBlockLoop: d += change and g += product in the rows of which all bits are
// set; in the others change becomes zero.
func acceptBlockLoop() {
	l := open("acceptBlock", "columns int, rows *uint64, change *float64, ldc int, product *float64, ldp int, d *float64, ldd int, grad *float64, ldg int")
	apart("R3", "R5", "R7", "R9")
	take(D, "R1", 16, 4)
	load(D, "R1", 20, 4)
	// Pointers to store through, as inPlace makes them.
	p("\tMOVD R2, R10\n\tMOVD R6, R11\n\tMOVD R8, R12")
	add := func(from, by, to, toBy, store string) {
		takeColumn(to, toBy, 24)
		each(8, func(i int) { fadd(D, 24+i, 24+i, i) })
		putColumn(store, toBy, 24)
	}
	l.repeat("R0", 1, func() {
		takeColumn("R2", "R3", 0)
		each(8, func(i int) { and(i, i, 16+i) })
		putColumn("R10", "R3", 0)
		add("R2", "R3", "R6", "R7", "R11")
		takeColumn("R4", "R5", 0)
		each(8, func(i int) { and(i, i, 16+i) })
		add("R4", "R5", "R8", "R9", "R12")
	})
	ret()
}

// settleLoop: see Panel.Settle.
func settleLoop(grid bool) {
	name, sig := "settle", "p *Panel, columns int, d *float64, ldd int"
	if grid {
		name, sig = "settleGrid", sig+", base *float32"
	}
	l := open(name, sig+") (moved uint64")
	apart("R3")
	p("\tADD $%d, R0, R5", panelD)
	if grid {
		p("\tADD $%d, R0, R6", panelNext)
		inPlace("R2", "R4")
	} else {
		inPlace("R2")
	}
	each(8, func(i int) { setRegister(16 + i) }) // set where nothing moved
	l.repeat("R1", 1, func() {
		take(D, "R5", 0, 4)
		take(D, "R5", 4, 4)
		takeColumn("R2", "R3", 24)
		each(8, func(i int) { fcmeq0(D, 8+i, i) })
		each(8, func(i int) { fadd(D, 24+i, 24+i, i) })
		each(8, func(i int) { and(16+i, 16+i, 8+i) })
		putColumn("R12", "R3", 24)
		if grid {
			take(S, "R6", 0, 4)
			take(S, "R4", 4, 4)
			each(4, func(i int) { evens("S4", 24+i, 8+2*i, 9+2*i) })
			each(4, func(i int) { where(24+i, i, 4+i) })
			put(S, "R14", 0, 4)
		}
	})
	p("\tMOVD $bits64<>(SB), R9")
	take(D, "R9", 0, 4)
	load(D, "R9", 4, 4)
	each(8, func(i int) { bic(i, i, 16+i) })
	orAll(0, 8)
	p("\tVADDP V0.D2, V0.D2, V0.D2\n\tVMOV V0.D[0], R8\n\tMOVD R8, %s", l.at["moved"])
	ret()
}

// chooseTwoOf4Loop: see Panel.ChooseTwoOf4.
func chooseTwoOf4Loop() {
	l := open("chooseTwoOf4", "p *Panel, from, to int, inv *float64")
	p("\tSUB R1, R2, R2\n\tADD R1<<3, R3, R3\n\tMOVD $%d, R8\n\tADD R0, R8, R5\n\tADD R1<<3, R5, R5\n\tADD R1<<7, R0, R4", panelOn)
	inPlace("R5")
	p("\tMOVD $bits64<>(SB), R9")
	const by, off, row = 20, 24, 28
	l.repeat("R2", 4, func() {
		each(4, func(j int) { p("\tVLD1R.P 8(R3), [V%d.D2]", by+j) })
		each(4, func(j int) { clearRegister(off + j) })
		for quad := range 4 {
			each(8, func(k int) { loadAt("R4", k%4*column64+32*quad+16*(k/4), k) })
			each(2, func(i int) { loadAt("R9", 32*quad+16*i, row+i) })
			each(8, func(k int) { fmul(D, k, k, by+k%4) })
			each(8, func(k int) { fmul(D, k, k, k) })
			contests()
			each(8, func(k int) {
				if k%4 < 2 {
					and(k, row+k/4, k)
				} else {
					bic(k, row+k/4, k)
				}
			})
			each(8, func(k int) { or(off+k%4, off+k%4, k) })
		}
		take(D, "R5", 0, 2)
		each(2, func(i int) {
			p("\tVADDP V%d.D2, V%d.D2, V%d.D2", off+2*i+1, off+2*i, off+2*i)
			bic(i, i, off+2*i)
		})
		put(D, "R15", 0, 2)
		p("\tADD $%d, R4, R4", 4*column64)
	})
	ret()
}

// dropBlockLoop: see DropBlock.
func dropBlockLoop() {
	l := open("dropBlock", "columns int, on *uint64, w *float64, ldw int, inv *float64, limit float64")
	apart("R3")
	l.spread("limit", 31)
	p("\tMOVD $bits64<>(SB), R9")
	take(D, "R9", 16, 4)
	load(D, "R9", 20, 4)
	inPlace("R1")
	l.repeat("R0", 1, func() {
		p("\tVLD1R.P 8(R4), [V30.D2]")
		takeColumn("R2", "R3", 0)
		each(8, func(i int) { fmul(D, i, i, 30) })
		each(8, func(i int) { fmul(D, i, i, i) })
		each(8, func(i int) { fcmge(D, i, 31, i) })
		each(8, func(i int) { and(i, i, 16+i) })
		orAll(0, 8)
		p("\tVADDP V0.D2, V0.D2, V0.D2\n\tFMOVD.P 8(R1), F1")
		bic(0, 1, 0)
		p("\tFMOVD.P F0, 8(R11)")
	})
	ret()
}

// fourBits is the table of bits of twoOfFourLoop: of a, b, c and d in two fours, and in the
// next two.
func fourBits() (bits []uint64) {
	for i := range 2 {
		for j := range 4 {
			bits = append(bits, 1<<(8*i+j), 1<<(8*i+4+j))
		}
	}
	return bits
}
