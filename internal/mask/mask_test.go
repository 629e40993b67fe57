package mask

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestBitOrderIsThatOfSparseBitmasks(t *testing.T) {
	// The example row of the sparse-24-bitmask format: its bytes are 156, 204.
	m := none(1, 16)
	for c, ch := range "0011100100110011" {
		m.Set(0, c, ch == '1')
	}
	if got := m.Bytes(); !bytes.Equal(got, []byte{156, 204}) {
		t.Fatalf("bytes %v, expected [156 204]", got)
	}
}

func TestNewKeepsAllAndLeavesPaddingClear(t *testing.T) {
	m := New(2, 10)
	if m.CountKept() != 20 || m.Sparsity() != 0 {
		t.Fatalf("kept %d, sparsity %v", m.CountKept(), m.Sparsity())
	}
	if want := []byte{0xff, 3, 0xff, 3}; !bytes.Equal(m.Bytes(), want) {
		t.Fatalf("bytes %v, expected %v", m.Bytes(), want)
	}
}

func TestApplyWritesPositiveZero(t *testing.T) {
	m := New(1, 3)
	m.Set(0, 1, false)
	w := []float32{-1, float32(math.Inf(-1)), 2}
	m.Apply(w)
	if w[0] != -1 || w[2] != 2 || math.Float32bits(w[1]) != 0 {
		t.Fatalf("got %v (bits %#x)", w, math.Float32bits(w[1]))
	}
}

func TestMaskRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows, cols := rapid.IntRange(0, 5).Draw(t, "rows"), rapid.IntRange(0, 40).Draw(t, "cols")
		w := rapid.SliceOfN(rapid.SampledFrom([]float32{0, float32(math.Copysign(0, -1)), 1, -2, 1e-45}), rows*cols, rows*cols).Draw(t, "w")
		m := FromNonZero(w, rows, cols)
		nonZero := 0
		for r := range rows {
			for c := range cols {
				want := w[r*cols+c] != 0
				if want {
					nonZero++
				}
				if m.Keep(r, c) != want {
					t.Fatalf("[%d,%d]: kept %v, expected %v", r, c, m.Keep(r, c), want)
				}
			}
		}
		if m.CountKept() != nonZero {
			t.Fatalf("kept %d of %d", m.CountKept(), nonZero)
		}
		back, err := FromBytes(rows, cols, m.Bytes())
		if err != nil || !back.Equal(m) {
			t.Fatalf("round trip: %v", err)
		}
		before := append([]float32(nil), w...)
		m.Apply(w)
		for i := range w {
			if w[i] != before[i] {
				t.Fatalf("applying a mask of non-zeros changed entry %d", i)
			}
		}
	})
}

func FuzzFromBytes(f *testing.F) {
	f.Add(1, 16, []byte{156, 204})
	f.Add(2, 3, []byte{7, 8})
	f.Add(1<<40, 1<<40, []byte{})
	f.Add(0, 9, []byte{})
	f.Add(3, 0, []byte{1})
	f.Fuzz(func(t *testing.T, rows, cols int, b []byte) {
		m, err := FromBytes(rows, cols, b)
		if err != nil {
			return
		}
		if !bytes.Equal(m.Bytes(), b) {
			t.Fatalf("bytes changed: %v to %v", b, m.Bytes())
		}
		if cols > 0 && rows > 0 && m.CountKept() > rows*cols {
			t.Fatalf("%d kept of %d", m.CountKept(), rows*cols)
		}
	})
}

func TestAnd(t *testing.T) {
	a, b := none(1, 9), none(1, 9)
	a.Set(0, 0, true)
	a.Set(0, 8, true)
	b.Set(0, 8, true)
	b.Set(0, 3, true)
	c, err := a.And(b)
	if err != nil || c.CountKept() != 1 || !c.Keep(0, 8) {
		t.Fatalf("%v, kept %d", err, c.CountKept())
	}
	if _, err := a.And(New(9, 1)); !errors.Is(err, ErrShape) {
		t.Fatalf("shapes differ: got %v", err)
	}
}

func TestViolation(t *testing.T) {
	p := Pattern{N: 2, M: 4}
	m := New(2, 6)
	for _, c := range []int{0, 1, 5} {
		m.Set(0, c, false)
		m.Set(1, c, false)
	}
	if _, _, bad := m.Violation(p); bad {
		t.Fatal("2:4 with a tail of one of two was refused")
	}
	m.Set(1, 5, true)
	if r, c, bad := m.Violation(p); !bad || r != 1 || c != 4 {
		t.Fatalf("violation at [%d,%d] (%v), expected [1,4]", r, c, bad)
	}
	if _, _, bad := m.Violation(Pattern{Fraction: .5}); bad {
		t.Fatal("a fraction has no groups to break")
	}
}

// Bits by column are those by row, there and back; other rows stay as they are.
func TestColumnBits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows, cols := rapid.IntRange(1, 90).Draw(t, "rows"), rapid.IntRange(1, 40).Draw(t, "cols")
		r := rapid.IntRange(0, rows-1).Draw(t, "row")
		n := rapid.IntRange(0, min(ColumnRows, rows-r)).Draw(t, "n")
		draw := func(name string) *Mask {
			m := New(rows, cols)
			for i, b := range rapid.SliceOfN(rapid.Byte(), len(m.bits), len(m.bits)).Draw(t, name) {
				m.bits[i] &= b // no padding is set
			}
			return m
		}
		from, to := draw("from"), draw("to")
		want := to.Clone()
		columns := make([]uint64, cols)
		columns[0] = 1 << 63
		from.ColumnBits(columns, r, n)
		for c, bits := range columns {
			for i := range ColumnRows {
				if kept := bits>>i&1 == 1; kept != (i < n && from.Keep(min(r+i, rows-1), c)) {
					t.Fatalf("bit %d of column %d is %v", i, c, kept)
				}
			}
		}
		for i := range n {
			for c := range cols {
				want.Set(r+i, c, from.Keep(r+i, c))
			}
		}
		to.SetColumnBits(r, n, columns)
		if !to.Equal(want) {
			t.Fatalf("%v, expected %v", to.Bytes(), want.Bytes())
		}
	})
	for name, f := range map[string]func(){
		"columns":       func() { New(1, 9).ColumnBits(make([]uint64, 8), 0, 1) },
		"rows outside":  func() { New(3, 9).SetColumnBits(2, 2, make([]uint64, 9)) },
		"too many rows": func() { New(99, 9).ColumnBits(make([]uint64, 9), 0, ColumnRows+1) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}
