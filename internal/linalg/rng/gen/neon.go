//go:build ignore

package main

// What Go's assembler does not know is written as its encoding (Arm Architecture
// Reference Manual, C7.2), with what a disassembler makes of it as comment.

// umull makes the 64-bit products lo and hi of the four lanes of n and m.
func umull(lo, hi, n, m int) {
	p("\tWORD $0x%08x // umull v%d.2d, v%d.2s, v%d.2s", 0x2ea0c000|m<<16|n<<5|lo, lo, n, m)
	p("\tWORD $0x%08x // umull2 v%d.2d, v%d.4s, v%d.4s", 0x6ea0c000|m<<16|n<<5|hi, hi, n, m)
}

// lower and upper make a vector of the lower or upper halves of the 64-bit lanes of x
// and y.
func lower(d, x, y int) { p("\tVUZP1 V%d.S4, V%d.S4, V%d.S4", y, x, d) }
func upper(d, x, y int) { p("\tVUZP2 V%d.S4, V%d.S4, V%d.S4", y, x, d) }

// neon has four groups of four counters under way: word w of group g, one counter a
// lane, is in V(4g+w), so that VST4 writes a group's numbers in order. Two groups at
// a time have their products in V16 to V23. All registers are in use.
func neon() {
	const (
		groups, product  = 4, 16
		mul0, mul1       = 24, 25
		key0, key1       = 26, 27
		weyl0, weyl1     = 28, 29
		counter, further = 30, 31 // the next two counters, and 2
	)
	name := function("NEON")
	p("\tMOVD n+0(FP), R0\n\tMOVD dst+8(FP), R1\n\tMOVD block+16(FP), R2\n\tMOVD key+24(FP), R3\n\tLSR $32, R3, R4")
	constant := func(v int, what string) { p("\tMOVD $const_%s, R5\n\tVDUP R5, V%d.S4", what, v) }
	constant(mul0, "mul0")
	constant(mul1, "mul1")
	constant(weyl0, "weyl0")
	constant(weyl1, "weyl1")
	p("\tVMOV R2, V%d.D[0]\n\tADD $1, R2, R2\n\tVMOV R2, V%d.D[1]", counter, counter)
	p("\tMOVD $2, R5\n\tVDUP R5, V%d.D2", further)
	p("%s_l:\n\tVDUP R3, V%d.S4\n\tVDUP R4, V%d.S4", name, key0, key1)
	for g := range groups {
		p("\tVADD V%d.D2, V%d.D2, V%d.D2", further, counter, product)
		lower(4*g, counter, product)
		upper(4*g+1, counter, product)
		p("\tVADD V%d.D2, V%d.D2, V%d.D2", further, product, counter)
		for w := 2; w < 4; w++ {
			p("\tVEOR V%d.B16, V%d.B16, V%d.B16", 4*g+w, 4*g+w, 4*g+w)
		}
	}
	eor := func(d, n int) { p("\tVEOR V%d.B16, V%d.B16, V%d.B16", n, d, d) }
	for round := range 10 {
		if round > 0 {
			p("\tVADD V%d.S4, V%d.S4, V%d.S4", weyl0, key0, key0)
			p("\tVADD V%d.S4, V%d.S4, V%d.S4", weyl1, key1, key1)
		}
		for pair := 0; pair < groups; pair += 2 {
			each := func(body func(a, b, c, d, s int)) {
				for i := range 2 {
					g := 4 * (pair + i)
					body(g, g+1, g+2, g+3, product+4*i)
				}
			}
			each(func(a, _, c, _, s int) {
				umull(s, s+1, a, mul0)
				umull(s+2, s+3, c, mul1)
			})
			each(func(a, _, c, _, s int) {
				upper(a, s+2, s+3)
				upper(c, s, s+1)
			})
			each(func(a, b, c, d, _ int) {
				eor(a, b)
				eor(c, d)
			})
			each(func(a, _, c, _, _ int) {
				eor(a, key0)
				eor(c, key1)
			})
			each(func(_, b, _, d, s int) {
				lower(b, s+2, s+3)
				lower(d, s, s+1)
			})
		}
	}
	for g := range groups {
		p("\tVST4.P [V%d.S4, V%d.S4, V%d.S4, V%d.S4], 64(R1)", 4*g, 4*g+1, 4*g+2, 4*g+3)
	}
	p("\tSUBS $%d, R0, R0\n\tBNE %s_l\n\tRET\n", 4*groups, name)
}
