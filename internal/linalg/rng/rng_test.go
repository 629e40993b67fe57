package rng

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/compressc/compressc/internal/linalg/kernel"
)

// The known answers of Random123's kat_vectors for philox4x32 10.
func TestPhiloxKnownAnswers(t *testing.T) {
	for _, c := range []struct {
		ctr  [4]uint32
		key  [2]uint32
		want [4]uint32
	}{
		{[4]uint32{}, [2]uint32{}, [4]uint32{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
		{[4]uint32{^uint32(0), ^uint32(0), ^uint32(0), ^uint32(0)}, [2]uint32{^uint32(0), ^uint32(0)}, [4]uint32{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
		{[4]uint32{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, [2]uint32{0xa4093822, 0x299f31d0}, [4]uint32{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
	} {
		if got := philox(c.ctr, c.key); got != c.want {
			t.Errorf("philox(%x, %x) = %x, want %x", c.ctr, c.key, got, c.want)
		}
	}
}

// Values of the standard normal quantile to 16 digits (AS 241's own checks and
// symmetric ones).
func TestQuantile(t *testing.T) {
	for _, c := range []struct{ p, want float64 }{
		{0.5, 0}, {0.25, -0.6744897501960817}, {0.001, -3.090232306167814}, {1e-20, -9.262340089798408}, {0.975, 1.959963984540054},
	} {
		if got := quantile(c.p); math.Abs(got-c.want) > 4e-16*math.Abs(c.want) {
			t.Errorf("quantile(%g) = %.17g, want %.17g", c.p, got, c.want)
		}
	}
}

func TestQuantileInvertsTheDistribution(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.Float64Range(1e-16, 1-1e-15).Draw(t, "p")
		back := 0.5 * math.Erfc(-quantile(p)/math.Sqrt2)
		if math.Abs(back-p) > 1e-14*math.Min(p, 1-p)+2e-16 {
			t.Fatalf("Φ(quantile(%g)) = %g", p, back)
		}
	})
}

func TestStreams(t *testing.T) {
	a, b := New(1, "weights"), New(1, "order")
	same := 0
	for i := range uint64(1000) {
		if a.Uint64At(i) == b.Uint64At(i) || a.Uint64At(i) == New(2, "weights").Uint64At(i) {
			same++
		}
		if got := a.Next(); got != a.Uint64At(i) {
			t.Fatalf("Next at %d is %x, not %x", i, got, a.Uint64At(i))
		}
	}
	if same != 0 {
		t.Errorf("%d of 1000 elements are shared by different streams", same)
	}
	// Frozen: results of users depend on these numbers.
	if got := New(42, "golden").Uint64At(7); got != goldenElement {
		t.Errorf("element 7 of stream golden under 42 is %#x, was %#x", got, goldenElement)
	}
}

// Every path draws the numbers of the plain one, wherever a stretch begins and
// ends, and writes nothing beside it.
func TestUint32sOnEveryPath(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := New(rapid.Uint64().Draw(t, "seed"), "paths")
		from := 2 * rapid.OneOf(rapid.Uint64Range(0, 200), rapid.Uint64Range(1<<33-100, 1<<33+100), rapid.Uint64Range(0, 1<<62)).Draw(t, "from")
		n := rapid.IntRange(0, 300).Draw(t, "n")
		want := make([]uint32, n)
		for i := range want {
			want[i] = uint32(s.Uint64At((from+uint64(i))/2) >> (32 * (uint(i) % 2)))
		}
		for _, path := range kernel.Paths() {
			got := make([]uint32, n+2)
			got[0], got[n+1] = 1, 2
			restore := kernel.Use(path)
			s.Uint32s(got[1:n+1], from)
			restore()
			if !slices.Equal(got[1:n+1], want) || got[0] != 1 || got[n+1] != 2 {
				t.Fatalf("%s: %d numbers from %d are %x, want %x", path, n, from, got, want)
			}
		}
	})
}

func TestMoments(t *testing.T) {
	const n = 200_000
	s := New(7, "moments")
	var m, v, m4, u float64
	for i := range uint64(n) {
		x := s.NormAt(i)
		m += x
		v += x * x
		m4 += x * x * x * x
		u += s.Float64At(i)
	}
	// Five standard errors of each mean.
	if math.Abs(m/n) > 5/math.Sqrt(n) || math.Abs(v/n-1) > 5*math.Sqrt(2.0/n) || math.Abs(m4/n-3) > 5*math.Sqrt(96.0/n) || math.Abs(u/n-0.5) > 5*math.Sqrt(1.0/12/n) {
		t.Errorf("means of x, x², x⁴, u: %g %g %g %g", m/n, v/n, m4/n, u/n)
	}
}

func TestPerm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 300).Draw(t, "n")
		p := New(rapid.Uint64().Draw(t, "seed"), "perm").Perm(n)
		slices.Sort(p)
		for i, v := range p {
			if i != v {
				t.Fatalf("not a permutation of %d: %v", n, p)
			}
		}
	})
	// Every permutation of three is about equally likely.
	count := map[[3]int]int{}
	for seed := range uint64(6000) {
		p := New(seed, "three").Perm(3)
		count[[3]int{p[0], p[1], p[2]}]++
	}
	for p, c := range count {
		if c < 850 || c > 1150 {
			t.Errorf("permutation %v came %d times of 6000", p, c)
		}
	}
	if len(count) != 6 {
		t.Errorf("%d different permutations of three", len(count))
	}
}

const goldenElement = 0x485d7142cacf3072

func TestUint32s(t *testing.T) {
	s := New(3, "halves")
	rapid.Check(t, func(t *rapid.T) {
		from := 2 * rapid.Uint64Range(0, 1<<40).Draw(t, "from")
		got := make([]uint32, rapid.IntRange(0, 21).Draw(t, "length"))
		s.Uint32s(got, from)
		for i, v := range got {
			at := from + uint64(i)
			if want := uint32(s.Uint64At(at/2) >> (32 * (at & 1))); v != want {
				t.Fatalf("value %d is %x, want %x", at, v, want)
			}
		}
	})
	defer func() {
		if recover() == nil {
			t.Error("no panic for an odd position")
		}
	}()
	s.Uint32s(make([]uint32, 1), 3)
}
