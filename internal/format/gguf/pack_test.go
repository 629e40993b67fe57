package gguf

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/compressc/compressc/internal/format/half"
)

// exact returns scale·(code − zero), which float32 holds exactly.
func exact(c *Codes) []float32 {
	out := make([]float32, len(c.Values))
	for i, v := range c.Values {
		g := c.group(i / 32)
		out[i] = half.FromF16(c.Scales[g]) * float32(int(v)-c.zero(g))
	}
	return out
}

// Codes with a constant or per-group zero point come back bit for bit from
// every symmetric block type, whatever the group size.
func TestPackExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		blocks := rapid.IntRange(1, 9).Draw(t, "blocks")
		rows := rapid.IntRange(0, 3).Draw(t, "rows")
		c := &Codes{Cols: 32 * blocks, GroupSize: 32 * rapid.IntRange(1, 12).Draw(t, "group")}
		if rapid.Bool().Draw(t, "a row a group") {
			c.GroupSize = c.Cols + rapid.IntRange(0, 5).Draw(t, "more")
		}
		bits := rapid.IntRange(2, 7).Draw(t, "bits")
		c.Zero = 1 << (bits - 1)
		c.Values = make([]uint8, rows*c.Cols)
		for i := range c.Values {
			c.Values[i] = uint8(r.IntN(1 << bits))
		}
		c.Scales = make([]uint16, rows*c.groups())
		for i := range c.Scales {
			c.Scales[i] = half.ToF16((r.Float32() - 0.3) * 0.02)
		}
		want := exact(c)
		for _, e := range []struct {
			encoding string
			bits     int
			pack     func([]byte, *Codes) error
		}{{"q4_0", 4, PackQ4_0}, {"q5_0", 5, PackQ5_0}, {"q8_0", 8, PackQ8_0}} {
			_, size, _ := BlockSize(e.encoding)
			dst := make([]byte, len(c.Values)/32*size)
			err := e.pack(dst, c)
			if bits > e.bits {
				// Most random matrices then have a code that does not fit.
				if err == nil && slices.ContainsFunc(c.Values, func(v uint8) bool { return int(v)-int(c.Zero) >= 1<<(e.bits-1) }) {
					t.Fatalf("%s takes %d-bit codes", e.encoding, bits)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			got := make([]float32, len(want))
			if err := Dequantize(e.encoding, got, dst); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, want) {
				t.Fatalf("%s: weights differ", e.encoding)
			}
		}
		// Unsigned 8-bit codes with a zero point a group, in Q8_0.
		c.Zeros = make([]uint8, len(c.Scales))
		for i := range c.Zeros {
			c.Zeros[i] = uint8(r.IntN(128))
		}
		want = exact(c)
		dst := make([]byte, len(c.Values)/32*34)
		if err := PackQ8_0(dst, c); err != nil {
			t.Fatal(err)
		}
		got := make([]float32, len(want))
		if err := Dequantize("q8_0", got, dst); err != nil || !slices.Equal(got, want) {
			t.Fatalf("q8_0 with zero points: weights differ (%v)", err)
		}
	})
}

// The packed block is the one the encoder makes of the same weights: the
// golden Q4_0 bytes from codes.
func TestPackMatchesEncoder(t *testing.T) {
	c := &Codes{Cols: 32, GroupSize: 64, Zero: 8, Scales: []uint16{half.ToF16(0.125)}}
	for i := range 32 {
		c.Values = append(c.Values, uint8(7*i%16))
	}
	packed, encoded := make([]byte, 18), make([]byte, 18)
	if err := PackQ4_0(packed, c); err != nil {
		t.Fatal(err)
	}
	if err := Quantize("q4_0", encoded, exact(c)); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(packed, encoded) {
		t.Errorf("packed %x, encoded %x", packed, encoded)
	}
}

// Asymmetric codes: groups reported as exact are exact, the others are off by
// the rounding of the minimum alone, and zero points that are powers of two
// never round.
func TestPackAffine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 5))
		c := &Codes{Cols: 128, GroupSize: 64, Values: make([]uint8, 256), Scales: make([]uint16, 4), Zeros: make([]uint8, 4)}
		for _, e := range []struct {
			encoding string
			top      int
			pack     func([]byte, *Codes) (int, error)
		}{{"q4_1", 15, PackQ4_1}, {"q5_1", 31, PackQ5_1}} {
			for i := range c.Values {
				c.Values[i] = uint8(r.IntN(e.top + 1))
			}
			for i := range c.Scales {
				c.Scales[i] = half.ToF16(0.001 + r.Float32()*0.01)
				c.Zeros[i] = uint8(r.IntN(e.top + 1))
			}
			want := exact(c)
			_, size, _ := BlockSize(e.encoding)
			dst := make([]byte, 8*size)
			inexact, err := e.pack(dst, c)
			if err != nil {
				t.Fatal(err)
			}
			got := make([]float32, 256)
			if err := Dequantize(e.encoding, got, dst); err != nil {
				t.Fatal(err)
			}
			moved := map[int]bool{}
			for i := range want {
				g := c.group(i / 32)
				m := half.FromF16(c.Scales[g]) * float32(c.Zeros[g])
				if d := got[i] - want[i]; d != 0 {
					moved[g] = true
					if max(d, -d) > m/1024 {
						t.Fatalf("%s[%d]: %v, expected about %v", e.encoding, i, got[i], want[i])
					}
				}
			}
			if len(moved) != inexact {
				t.Fatalf("%s: %d groups moved, %d reported", e.encoding, len(moved), inexact)
			}
			for i := range c.Zeros {
				c.Zeros[i] = 1 << r.IntN(4)
			}
			if inexact, err := e.pack(dst, c); err != nil || inexact != 0 {
				t.Fatalf("%s: %d inexact groups with zero points %v (%v)", e.encoding, inexact, c.Zeros, err)
			}
		}
	})
}

func TestPackErrors(t *testing.T) {
	codes := func(change func(*Codes)) *Codes {
		c := &Codes{Cols: 64, GroupSize: 32, Zero: 8, Values: make([]uint8, 64), Scales: make([]uint16, 2)}
		for i := range c.Values {
			c.Values[i] = 8
		}
		change(c)
		return c
	}
	for _, e := range []struct {
		name   string
		change func(*Codes)
		want   string
	}{
		{"columns", func(c *Codes) { c.Cols = 48 }, "multiple of 32"},
		{"no columns", func(c *Codes) { c.Cols = 0 }, "multiple of 32"},
		{"group", func(c *Codes) { c.GroupSize = 16 }, "group size 16"},
		{"no group", func(c *Codes) { c.GroupSize = 0 }, "group size 0"},
		{"rows", func(c *Codes) { c.Values = c.Values[1:] }, "not whole rows"},
		{"scales", func(c *Codes) { c.Scales = c.Scales[1:] }, "1 scales"},
		{"zeros", func(c *Codes) { c.Zeros = []uint8{1} }, "1 zero points"},
		{"infinite scale", func(c *Codes) { c.Scales[1] = 0x7c00 }, "scale 1 is +Inf"},
		{"code", func(c *Codes) { c.Values[40] = 16 }, "row 0, column 40"},
		{"below", func(c *Codes) { c.Zero = 17 }, "code 8 with zero point 17"},
		{"destination", func(c *Codes) { c.Values, c.Scales = append(c.Values, c.Values...), append(c.Scales, c.Scales...) }, "destination of 36 bytes"},
	} {
		err := PackQ4_0(make([]byte, 36), codes(e.change))
		if err == nil || !strings.Contains(err.Error(), e.want) {
			t.Errorf("%s: %v, expected %q", e.name, err, e.want)
		}
	}
	for _, e := range []struct {
		name   string
		change func(*Codes)
		want   string
	}{
		{"code", func(c *Codes) { c.Values[40] = 16 }, "code 16 at row 0, column 40"},
		{"zero", func(c *Codes) { c.Zero = 16 }, "zero point 16"},
		{"minimum", func(c *Codes) { c.Scales[0] = 0x7bff }, "does not fit F16"},
	} {
		_, err := PackQ4_1(make([]byte, 40), codes(e.change))
		if err == nil || !strings.Contains(err.Error(), e.want) {
			t.Errorf("q4_1 %s: %v, expected %q", e.name, err, e.want)
		}
	}
}
