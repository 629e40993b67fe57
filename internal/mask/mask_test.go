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
		flags := make([]bool, cols)
		for r := range rows {
			m.RowFlags(flags, r)
			for c := range cols {
				want := w[r*cols+c] != 0
				if want {
					nonZero++
				}
				if m.Keep(r, c) != want || flags[c] != want {
					t.Fatalf("[%d,%d]: kept %v, flag %v, expected %v", r, c, m.Keep(r, c), flags[c], want)
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

// Dropping flagged columns of a row is setting them one by one.
func TestDrop(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows, cols := rapid.IntRange(1, 3).Draw(t, "rows"), rapid.IntRange(1, 40).Draw(t, "cols")
		row := rapid.IntRange(0, rows-1).Draw(t, "row")
		columns := rapid.Permutation(seq(cols)).Draw(t, "columns")[:rapid.IntRange(0, cols).Draw(t, "n")]
		flags := rapid.SliceOfN(rapid.Bool(), len(columns), len(columns)).Draw(t, "flags")
		got, want := New(rows, cols), New(rows, cols)
		if rapid.Bool().Draw(t, "dropped before") {
			got.Set(row, cols-1, false)
			want.Set(row, cols-1, false)
		}
		got.Drop(row, columns, flags)
		for i, c := range columns {
			if flags[i] {
				want.Set(row, c, false)
			}
		}
		if !got.Equal(want) {
			t.Fatalf("%v, expected %v", got.Bytes(), want.Bytes())
		}
	})
	defer func() {
		if recover() == nil {
			t.Fatal("a column outside is taken")
		}
	}()
	New(1, 9).Drop(0, []int{9}, []bool{true})
}

func seq(n int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = i
	}
	return s
}
