//go:build unix

package vmath

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/compressc/compressc/internal/linalg/kernel"
	"github.com/compressc/compressc/internal/linalg/kernel/kerneltest"
)

// guarded copies x to where memory ends.
func guarded[T float32 | float64 | uint32 | uint64 | byte](t *testing.T, x []T) []T {
	t.Helper()
	g := kerneltest.Guarded[T](t, len(x))
	copy(g, x)
	return g
}

// Every path against the definitions, every length around the vector step, nothing
// read or written past the end.
func TestGrids(t *testing.T) {
	r := rand.New(rand.NewPCG(21, 21))
	for n := range 70 {
		for _, share := range []int{0, 3, 40, 100} {
			x, wide, by := hostile(r, n, share), hostile64(r, n, share), hostile64(r, n, share)
			bits, codes := make([]byte, (n+7)/8), make([]byte, n)
			for i := range bits {
				bits[i] = byte(r.Uint32())
			}
			for i := range wide { // with float32s that are denormal or too large, and halfway between two
				wide[i] = math.Ldexp(wide[i], r.IntN(320)-160)
				if r.IntN(4) == 0 {
					wide[i] = math.Float64frombits(math.Float64bits(float64(float32(wide[i]))) | 1<<28)
				}
			}
			scale, zero := float32(math.Exp(r.NormFloat64())), uint8(r.IntN(256))
			if r.IntN(3) == 0 { // and codes halfway between two
				scale = 4
				for i := range x {
					if r.IntN(2) == 0 {
						x[i] = float32(2 * (r.IntN(40) - 20))
					}
				}
			}
			by32 := []float32{scale, hostile(r, 1, 80)[0]}[r.IntN(2)]
			whole := make([]float32, n)
			for i := range codes {
				codes[i] = byte(r.Uint32())
				whole[i] = float32(codes[i]) - float32(zero)
			}
			low, high := float32(-r.IntN(3)), float32(r.IntN(3))
			wider, narrower, only, decoded, scores := make([]float64, n), make([]float32, n), make([]float32, n), make([]float32, n), make([]float64, n)
			least, most := low, high
			top := uint8(1<<(2+r.IntN(7)) - 1)
			at := uint8(r.IntN(int(top) + 1))
			rounded, finite, finite64 := make([]byte, n), true, true
			for i, v := range x {
				wider[i] = float64(v)
				narrower[i] = float32(wide[i])
				if bits[i/8]>>(i%8)&1 == 1 {
					only[i] = v
				}
				if y := math.RoundToEven(float64(v/scale)) + float64(at); y == y {
					rounded[i] = uint8(min(max(y, 0), float64(top)))
				}
				finite64 = finite64 && !math.IsNaN(wide[i]) && !math.IsInf(wide[i], 0)
				finite = finite && !math.IsNaN(float64(v)) && !math.IsInf(float64(v), 0)
				if v < least {
					least = v
				}
				if v > most {
					most = v
				}
				decoded[i] = by32 * float32(int(codes[i])-int(zero))
				scores[i] = math.Abs(float64(v)) * by[i]
			}
			for _, path := range kernel.Paths() {
				restore := kernel.Use(path)
				gx, g64, g32, gBits := guarded(t, x), kerneltest.Guarded[float64](t, n), kerneltest.Guarded[float32](t, n), guarded(t, bits)
				Widen(g64, gx)
				equal64(t, path, "Widen", g64, wider)
				Narrow(g32, guarded(t, wide))
				equal(t, path, "Narrow", n, g32, narrower)
				Only(g32, gx, gBits)
				equal(t, path, "Only", n, g32, only)
				if a, b := Extremes(gx, low, high); a != least || b != most {
					t.Fatalf("%s Extremes of %d: %v and %v, want %v and %v", path, n, a, b, least, most)
				}
				Decode(g32, guarded(t, codes), by32, zero)
				equal(t, path, "Decode", n, g32, decoded)
				gCodes := kerneltest.Guarded[byte](t, n)
				Encode(gCodes, guarded(t, whole), zero)
				if !slices.Equal(gCodes, codes) {
					t.Fatalf("%s Encode of %d: %v, want %v", path, n, gCodes, codes)
				}
				Round(gCodes, gx, scale, at, top)
				if !slices.Equal(gCodes, rounded) {
					t.Fatalf("%s Round of %v: %v, want %v", path, x, gCodes, rounded)
				}
				if Finite(gx) != finite {
					t.Fatalf("%s Finite of %v is not %v", path, x, finite)
				}
				if Finite64(guarded(t, wide)) != finite64 {
					t.Fatalf("%s Finite64 of %v is not %v", path, wide, finite64)
				}
				Scores(g64, gx, guarded(t, by))
				equal64(t, path, "Scores", g64, scores)
				Only(gx, gx, gBits)
				equal(t, path, "Only in place", n, gx, only)
				restore()
			}
		}
	}
}

// Codes of what is no number are 0 everywhere.
func TestEncodeNaN(t *testing.T) {
	x := make([]float32, 17)
	for i := range x {
		x[i] = float32(math.NaN())
	}
	for _, path := range kernel.Paths() {
		restore := kernel.Use(path)
		codes := slices.Repeat([]byte{7}, len(x))
		Encode(codes, x, 3)
		restore()
		if slices.ContainsFunc(codes, func(c byte) bool { return c != 0 }) {
			t.Fatalf("%s: %v", path, codes)
		}
	}
}

// Extremes passes over NaNs of either kind, and keeps what it is given where that is one.
func TestExtremesOfNaNs(t *testing.T) {
	quiet, signalling := math.Float32frombits(0x7fc00000), math.Float32frombits(0x7f800001)
	for _, path := range kernel.Paths() {
		restore := kernel.Use(path)
		for _, nan := range []float32{quiet, -quiet, signalling, -signalling} {
			x := slices.Repeat([]float32{nan}, 48)
			for i := range x {
				for _, v := range []float32{nan, -7, 7} {
					x[i] = v
					for _, start := range [][2]float32{{-3, 3}, {3, -3}} {
						least, most := start[0], start[1]
						if v < least {
							least = v
						}
						if v > most {
							most = v
						}
						if a, b := Extremes(x, start[0], start[1]); a != least || b != most {
							t.Errorf("%s: Extremes of %v, of %v at %d and NaNs %x are %v and %v", path, start, v, i, math.Float32bits(nan), a, b)
						}
					}
				}
				x[i] = nan
			}
			if a, b := Extremes(slices.Repeat([]float32{7}, 48), nan, nan); a == a || b == b {
				t.Errorf("%s: Extremes of NaN %x and 7 are %v and %v", path, math.Float32bits(nan), a, b)
			}
		}
		restore()
	}
}

// The two largest of four, by sorting.
func TestTwoOfFour(t *testing.T) {
	r := rand.New(rand.NewPCG(22, 22))
	for round := range 300 {
		n := 8 * r.IntN(9)
		x := make([]float64, n)
		for i := range x {
			// Few numbers make ties, of zeros too.
			x[i] = []float64{0, math.Copysign(0, -1), 1, 2, math.Inf(1), -1, r.Float64(), math.Inf(-1)}[r.IntN(2+round%7)]
		}
		want := make([]byte, n/8)
		for g := 0; g < n; g += 4 {
			order := []int{g, g + 1, g + 2, g + 3}
			slices.SortStableFunc(order, func(a, b int) int {
				switch {
				case x[a] < x[b]:
					return -1
				case x[a] > x[b]:
					return 1
				}
				return 0
			})
			for _, i := range order[2:] {
				want[i/8] |= 1 << (i % 8)
			}
		}
		bad := slices.Clone(x)
		if n > 0 {
			bad[r.IntN(n)] = math.NaN()
		}
		for _, path := range kernel.Paths() {
			restore := kernel.Use(path)
			got := kerneltest.Guarded[byte](t, n/8)
			numbers := TwoOfFour(got, guarded(t, x))
			if !numbers || !slices.Equal(got, want) {
				t.Fatalf("%s: %08b of %v, want %08b", path, got, x, want)
			}
			if n > 0 && TwoOfFour(got, bad) {
				t.Fatalf("%s: no NaN in %v", path, bad)
			}
			restore()
		}
	}
}

// Every path against the definitions, blocks that end where memory ends.
func TestBlocks(t *testing.T) {
	r := rand.New(rand.NewPCG(23, 23))
	for round := range 200 {
		columns, share := 1+r.IntN(40), []int{0, 3, 40}[round%3]
		type matrix struct {
			ld   int
			x    []float64
			want []float64
		}
		draw := func() *matrix {
			ld := PanelRows + r.IntN(20)
			x := hostile64(r, (columns-1)*ld+PanelRows, share)
			return &matrix{ld, x, slices.Clone(x)}
		}
		x, y, z, copied, values, changes, d, g, change := draw(), draw(), draw(), draw(), draw(), draw(), draw(), draw(), draw()
		base, scale := hostile(r, columns*PanelRows, share), hostile(r, PanelRows, share)
		var dots, energies, dotsWant, energiesWant [PanelRows]float64
		var rows [PanelRows]uint64
		for i := range rows {
			dots[i], energies[i] = r.NormFloat64(), r.NormFloat64()
			rows[i] = -uint64(r.IntN(2))
		}
		dotsWant, energiesWant = dots, energies
		on, inv := make([]uint64, columns), hostile64(r, columns, share)
		score := float64(x.x[0] * inv[0])
		limit := []float64{0, 1e-4, math.Inf(1), math.NaN(), -1, score * score}[r.IntN(6)]
		for k := range on {
			on[k] = r.Uint64()
		}
		kept := slices.Clone(on)
		for k := range columns {
			for i := range PanelRows {
				at := func(m *matrix) float64 { return m.x[k*m.ld+i] }
				set := func(m *matrix, v float64) { m.want[k*m.ld+i] = v }
				set(copied, at(x))
				if t := float64(at(x) * inv[k]); t*t <= limit {
					kept[k] &^= 1 << i
				}
				v := float64(float32(base[k*PanelRows+i] * scale[i]))
				set(values, v)
				set(changes, v-at(y))
				dotsWant[i] += float64(at(x) * at(y))
				energiesWant[i] += float64(at(x) * (float64(2*at(y)) + at(z)))
				c, product := at(change), at(z)
				if rows[i] == 0 {
					c, product = 0, 0
				}
				set(change, c)
				set(d, at(d)+c)
				set(g, at(g)+product)
			}
		}
		for _, path := range kernel.Paths() {
			restore := kernel.Use(path)
			check := func(what string, m *matrix, got []float64) {
				t.Helper()
				equal64(t, path, what, got, m.want)
			}
			xs, ys, zs := guarded(t, x.x), guarded(t, y.x), guarded(t, z.x)
			got := guarded(t, copied.x)
			CopyBlock(columns, got, copied.ld, xs, x.ld)
			check("CopyBlock", copied, got)
			got = guarded(t, values.x)
			ValueBlock(columns, got, values.ld, guarded(t, base), guarded(t, scale))
			check("ValueBlock", values, got)
			got = guarded(t, changes.x)
			ChangeBlock(columns, got, changes.ld, guarded(t, base), guarded(t, scale), ys, y.ld)
			check("ChangeBlock", changes, got)
			sum := guarded(t, dots[:])
			DotBlock(columns, (*[PanelRows]float64)(sum), xs, x.ld, ys, y.ld)
			equal64(t, path, "DotBlock", sum, dotsWant[:])
			copy(sum, energies[:])
			EnergyBlock(columns, (*[PanelRows]float64)(sum), xs, x.ld, ys, y.ld, zs, z.ld)
			equal64(t, path, "EnergyBlock", sum, energiesWant[:])
			cs, ds, gs := guarded(t, change.x), guarded(t, d.x), guarded(t, g.x)
			AcceptBlock(columns, (*[PanelRows]uint64)(guarded(t, rows[:])), cs, change.ld, zs, z.ld, ds, d.ld, gs, g.ld)
			check("change of AcceptBlock", change, cs)
			check("d of AcceptBlock", d, ds)
			check("g of AcceptBlock", g, gs)
			check("product of AcceptBlock", &matrix{want: z.x}, zs)
			bits := guarded(t, on)
			DropBlock(bits, xs, x.ld, guarded(t, inv), limit)
			if !slices.Equal(bits, kept) {
				t.Fatalf("%s DropBlock: %b, want %b", path, bits, kept)
			}
			restore()
		}
	}
}

// What is done with a Panel's columns, on every path.
func TestPanelBlocks(t *testing.T) {
	r := rand.New(rand.NewPCG(24, 24))
	for round := range 200 {
		columns, ld := 1+r.IntN(PanelColumns), PanelRows+r.IntN(20)
		start := panel(r, []int{0, 3, 40}[round%3])
		still := r.Uint64()
		for k := range start.D {
			steps := hostile64(r, PanelRows, []int{0, 3, 40}[round/3%3])
			copy(start.Next[k][:], hostile(r, PanelRows, 0))
			for i := range start.D[k] {
				switch {
				case still>>i&1 == 1:
					start.D[k][i] = math.Copysign(0, r.NormFloat64())
				case r.IntN(2) == 0:
					start.D[k][i] = steps[i]
				case r.IntN(2) == 0:
					start.D[k][i] = 0
				}
			}
		}
		from := r.IntN(PanelColumns)
		to := from + (PanelColumns-from)/4*4
		inv := hostile64(r, to, 0)
		if round%4 == 0 { // scores that are equal
			for k := range to {
				inv[k] = 1
				for i := range PanelRows {
					start.W[k][i] = float64(r.IntN(5) - 2)
				}
			}
		}
		x := hostile64(r, (columns-1)*ld+PanelRows, 3)
		base := hostile(r, columns*PanelRows, 0)
		loaded, stored, storedD, settled, codes := *start, slices.Clone(x), slices.Clone(x), slices.Clone(x), slices.Clone(base)
		var moved uint64
		for k := range columns {
			for i := range PanelRows {
				loaded.W[k][i] = x[k*ld+i]
				stored[k*ld+i], storedD[k*ld+i] = start.W[k][i], start.D[k][i]
				settled[k*ld+i] += start.D[k][i]
				if start.D[k][i] != 0 {
					moved |= 1 << i
					codes[k*PanelRows+i] = start.Next[k][i]
				}
			}
		}
		chosen := *start
		for k := from; k < to; k += 4 {
			for i := range PanelRows {
				score := func(j int) float64 {
					v := float64(start.W[j][i] * inv[j])
					return v * v
				}
				for a := k; a < k+4; a++ {
					larger, nan := 0, false
					for b := k; b < k+4; b++ {
						nan = nan || score(b) != score(b)
						if b < a && score(b) > score(a) || b > a && score(b) >= score(a) {
							larger++
						}
					}
					if !nan && larger >= 2 {
						chosen.On[a] &^= 1 << i
					} else if nan { // as the paths agree, below
						chosen.On[a] = chosen.On[a]&^(1<<i) | goChoice(start, k, inv).On[a]&(1<<i)
					}
				}
			}
		}
		for _, path := range kernel.Paths() {
			restore := kernel.Use(path)
			p := *start
			p.Load(columns, guarded(t, x), ld)
			samePanel(t, path, "Load", &p, &loaded)
			p = *start
			got := guarded(t, x)
			p.Store(columns, got, ld)
			equal64(t, path, "Store", got, stored)
			copy(got, x)
			p.StoreD(columns, got, ld)
			equal64(t, path, "StoreD", got, storedD)
			copy(got, x)
			if m := p.Settle(columns, got, ld, nil); m != moved {
				t.Fatalf("%s Settle: rows %b moved, want %b", path, m, moved)
			}
			equal64(t, path, "Settle", got, settled)
			copy(got, x)
			b := guarded(t, base)
			if m := p.Settle(columns, got, ld, b); m != moved {
				t.Fatalf("%s Settle with codes: rows %b moved, want %b", path, m, moved)
			}
			equal64(t, path, "Settle with codes", got, settled)
			equal(t, path, "codes of Settle", columns, b, codes)
			samePanel(t, path, "Settle", &p, start)
			p.ChooseTwoOf4(from, to, guarded(t, inv))
			for k := range p.On {
				if p.On[k] != chosen.On[k] {
					t.Fatalf("%s ChooseTwoOf4 of [%d, %d): column %d is %016b, want %016b", path, from, to, k, p.On[k], chosen.On[k])
				}
			}
			restore()
		}
	}
}

// goChoice is what plain Go makes of the four columns from k on.
func goChoice(p *Panel, k int, inv []float64) *Panel {
	q := *p
	chooseTwoOf4Go(&q, k, k+4, &inv[0])
	return &q
}

func BenchmarkGrids(b *testing.B) {
	const n, ld = 1536, 520
	r := rand.New(rand.NewPCG(25, 25))
	x, wide, by, bits, codes := hostile(r, n, 0), hostile64(r, n, 0), hostile64(r, n, 0), make([]byte, n/8), make([]byte, n)
	dst, dst64 := make([]float32, n), make([]float64, n)
	block, other := hostile64(r, 64*ld, 0), hostile64(r, 64*ld, 0)
	var sum [PanelRows]float64
	p := panel(r, 0)
	for name, f := range map[string]func(){
		"Widen":        func() { Widen(dst64, x) },
		"Narrow":       func() { Narrow(dst, wide) },
		"Only":         func() { Only(dst, x, bits) },
		"Extremes":     func() { Extremes(x, 0, 0) },
		"Decode":       func() { Decode(dst, codes, 2, 8) },
		"Encode":       func() { Encode(codes, dst, 8) },
		"Round":        func() { Round(codes, x, 2, 8, 15) },
		"Finite":       func() { Finite(x) },
		"Scores":       func() { Scores(dst64, x, by) },
		"TwoOfFour":    func() { TwoOfFour(bits, wide) },
		"ValueBlock":   func() { ValueBlock(64, block, ld, x, x) },
		"DotBlock":     func() { DotBlock(64, &sum, block, ld, other, ld) },
		"Load":         func() { p.Load(16, block, ld) },
		"Settle":       func() { p.Settle(16, block, ld, x) },
		"ChooseTwoOf4": func() { p.ChooseTwoOf4(0, 16, by) },
	} {
		for _, path := range kernel.Paths() {
			b.Run(name+"/"+string(path), func(b *testing.B) {
				defer kernel.Use(path)()
				b.ReportAllocs()
				for b.Loop() {
					f()
				}
			})
		}
	}
}
