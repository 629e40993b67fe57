package compressedtensors

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// packPadded packs as releases before 0.18 did: ⌊32/bits⌋ codes a word.
func packPadded(codes []uint8, rows, cols, bits int) []int32 {
	per := 32 / bits
	words := (cols + per - 1) / per
	out := make([]int32, rows*words)
	for r := range rows {
		for c := range cols {
			out[r*words+c/per] |= int32(codes[r*cols+c]) << (c % per * bits)
		}
	}
	return out
}

func transposed[T any](x []T, rows, cols int) []T {
	out := make([]T, len(x))
	for r := range rows {
		for c := range cols {
			out[c*rows+r] = x[r*cols+c]
		}
	}
	return out
}

func hex(words []int32) string {
	s := ""
	for i, w := range words {
		if i > 0 {
			s += " "
		}
		s += fmt.Sprintf("%08x", uint32(w))
	}
	return s
}

// The words are what the reference packer makes of these codes.
func TestPackGoldens(t *testing.T) {
	four := make([]uint8, 32)
	for i := range four {
		four[i] = uint8(7*i%16) & 15
	}
	if got, want := hex(PackRows(four, 1, 32, 4)), "1a3c5e70 92b4d6f8 1a3c5e70 92b4d6f8"; got != want {
		t.Errorf("4 bits: %s, expected %s", got, want)
	}
	three := make([]uint8, 32)
	for i := range three {
		three[i] = uint8(5*i) & 7
	}
	if got, want := hex(PackRows(three, 1, 32, 3)), "a878cea8 cea878ce 78cea878"; got != want {
		t.Errorf("3 bits: %s, expected %s", got, want)
	}
	if got, want := hex(packPadded(three, 1, 32, 3)), "2878cea8 3aa1e33a 0cea878c 0000001e"; got != want {
		t.Errorf("3 bits, padded: %s, expected %s", got, want)
	}
	// Zero points z[o][0] = o, z[o][1] = o+5 of 8 rows.
	zeros := make([]uint8, 16)
	for o := range 8 {
		zeros[2*o], zeros[2*o+1] = uint8(o), uint8(o+5)
	}
	if got, want := hex(PackColumns(zeros, 8, 2, 4)), "76543210 cba98765"; got != want {
		t.Errorf("zero points: %s, expected %s", got, want)
	}
	if got, want := hex(PackColumns(slices.Repeat([]uint8{4}, 32), 32, 1, 3)), "24924924 49249249 92492492"; got != want {
		t.Errorf("3-bit zero points: %s, expected %s", got, want)
	}
}

func TestPackRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bits := rapid.IntRange(1, 8).Draw(t, "bits")
		rows, cols := rapid.IntRange(1, 40).Draw(t, "rows"), rapid.IntRange(1, 70).Draw(t, "cols")
		codes := rapid.SliceOfN(rapid.Uint8Range(0, uint8(1<<bits-1)), rows*cols, rows*cols).Draw(t, "codes")
		words := PackRows(codes, rows, cols, bits)
		if len(words) != rows*Words(cols, bits) {
			t.Fatalf("%d words", len(words))
		}
		back, err := unpackRows(words, rows, cols, layout{bits: bits})
		if err != nil || !slices.Equal(back, codes) {
			t.Fatalf("rows come back as %v (%v), were %v", back, err, codes)
		}
		back, err = unpackRows(packPadded(codes, rows, cols, bits), rows, cols, layout{bits, true})
		if err != nil || !slices.Equal(back, codes) {
			t.Fatalf("padded rows come back as %v (%v), were %v", back, err, codes)
		}
		down := PackColumns(codes, rows, cols, bits)
		if want := transposed(PackRows(transposed(codes, rows, cols), cols, rows, bits), cols, Words(rows, bits)); !slices.Equal(down, want) {
			t.Fatalf("columns are packed as %x, expected %x", down, want)
		}
		back, err = unpackColumns(down, rows, cols, layout{bits: bits})
		if err != nil || !slices.Equal(back, codes) {
			t.Fatalf("columns come back as %v (%v), were %v", back, err, codes)
		}
		if 32%bits == 0 && !slices.Equal(words, packPadded(codes, rows, cols, bits)) {
			t.Fatal("the two layouts differ for a width that divides 32")
		}
	})
}

func TestCodesThatDoNotFitPanic(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a code of 4 bits was packed into 3")
		}
	}()
	PackRows([]uint8{8}, 1, 1, 3)
}
