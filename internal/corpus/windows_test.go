package corpus

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func count(n int) []int32 {
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = int32(i)
	}
	return ids
}

func TestWindows(t *testing.T) {
	for _, tt := range []struct {
		name      string
		ids       int
		spec      Spec
		positions []int
	}{
		{"all", 11, Spec{SequenceLength: 3}, []int{0, 1, 2}},
		{"first", 11, Spec{SequenceLength: 3, Samples: 2}, []int{0, 1}},
		{"offset", 11, Spec{SequenceLength: 3, Offset: 1}, []int{1, 2}},
		{"offset and samples", 12, Spec{SequenceLength: 3, Offset: 1, Samples: 2, Select: SelectFirst}, []int{1, 2}},
		{"exact", 12, Spec{SequenceLength: 3, Samples: 4}, []int{0, 1, 2, 3}},
		// Known answers: the choice is part of every result made with it.
		{"random", 100, Spec{SequenceLength: 10, Samples: 4, Select: SelectRandom}, []int{6, 3, 8, 4}},
		{"random, other seed", 100, Spec{SequenceLength: 10, Samples: 4, Select: SelectRandom, Seed: 1}, []int{4, 2, 8, 1}},
		{"random, offset", 100, Spec{SequenceLength: 10, Samples: 4, Offset: 5, Select: SelectRandom}, []int{7, 8, 5, 9}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ids := count(tt.ids)
			w, err := Windows(ids, tt.spec)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(w.Positions, tt.positions) {
				t.Errorf("positions %v, want %v", w.Positions, tt.positions)
			}
			if len(w.IDs) != w.Len()*tt.spec.SequenceLength {
				t.Fatalf("%d ids in %d windows", len(w.IDs), w.Len())
			}
			for i := range w.Len() {
				from := w.Positions[i] * tt.spec.SequenceLength
				if want := ids[from : from+tt.spec.SequenceLength]; !slices.Equal(w.At(i), want) {
					t.Errorf("window %d is %v, want %v", i, w.At(i), want)
				}
			}
			w.IDs[0] = -1
			if slices.Contains(ids, -1) {
				t.Error("windows alias the stream")
			}
		})
	}
}

func TestWindowsErrors(t *testing.T) {
	for _, tt := range []struct {
		ids  int
		spec Spec
		want string
	}{
		{10, Spec{SequenceLength: 3, Samples: 4}, "4 samples are asked for, but 10 tokens make 3 windows of 3; ask for at most 3"},
		{10, Spec{SequenceLength: 3, Samples: 3, Offset: 1}, "3 windows of 3, of which 2 remain after an offset of 1; ask for at most 2"},
		{10, Spec{SequenceLength: 3, Offset: 5}, "of which 0 remain after an offset of 5; give more text"},
		{2, Spec{SequenceLength: 3}, "2 tokens make 0 windows of 3; give more text"},
		{10, Spec{SequenceLength: 1}, "sequence_length is 1"},
		{10, Spec{SequenceLength: 3, Samples: -1}, "samples is -1"},
		{10, Spec{SequenceLength: 3, Offset: -1}, "offset is -1"},
		{10, Spec{SequenceLength: 3, Select: "last"}, "select is \"last\""},
	} {
		_, err := Windows(count(tt.ids), tt.spec)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: error %v, want %q", tt.spec, err, tt.want)
		}
	}
}

// A random choice holds no window twice, none before the offset, and begins
// with every smaller choice of the same seed.
func TestWindowsRandom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 5).Draw(t, "sequence length")
		ids := count(rapid.IntRange(2*n, 60*n).Draw(t, "ids"))
		offset := rapid.IntRange(0, len(ids)/n-2).Draw(t, "offset")
		spec := Spec{SequenceLength: n, Offset: offset, Select: SelectRandom, Seed: rapid.Uint64().Draw(t, "seed")}
		all, err := Windows(ids, spec)
		if err != nil {
			t.Fatal(err)
		}
		sorted := slices.Clone(all.Positions)
		slices.Sort(sorted)
		for i, p := range sorted {
			if p != offset+i {
				t.Fatalf("positions %v do not cover %d…", all.Positions, offset)
			}
		}
		spec.Samples = rapid.IntRange(1, all.Len()).Draw(t, "samples")
		some, err := Windows(ids, spec)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(some.Positions, all.Positions[:spec.Samples]) {
			t.Fatalf("%v is not the beginning of %v", some.Positions, all.Positions)
		}
	})
}

func TestOverlap(t *testing.T) {
	ids := make([]int32, 4096)
	for i := range ids {
		ids[i] = int32(scramble(uint64(i)) % 5000)
	}
	cut := func(ids []int32, spec Spec) WindowSet {
		t.Helper()
		w, err := Windows(ids, spec)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	all := cut(ids, Spec{SequenceLength: 128})
	tail := cut(ids, Spec{SequenceLength: 128, Offset: 24})
	if n := Shared(OverlapDigest(all), OverlapDigest(tail)); n != 8 {
		t.Errorf("%d shared windows, want 8", n)
	}
	head := cut(ids, Spec{SequenceLength: 128, Samples: 24})
	if n := Shared(OverlapDigest(head), OverlapDigest(tail)); n != 0 {
		t.Errorf("%d shared windows, want 0", n)
	}
	// The same text cut elsewhere shares no window, but most passages: those
	// that do not cross a cut.
	shifted := cut(ids[50:], Spec{SequenceLength: 128, Samples: 20})
	if n := Shared(OverlapDigest(all), OverlapDigest(shifted)); n != 0 {
		t.Errorf("%d shared windows, want 0", n)
	}
	p, q := PassagesOf(all), PassagesOf(shifted)
	// 128-31 passages lie in a window; a shift by 50 cuts 31 of them.
	if share := q.ShareIn(p); share < 0.55 || share > 0.8 {
		t.Errorf("share of shifted text %.3f, want about 0.68", share)
	}
	if share := PassagesOf(tail).ShareIn(PassagesOf(head)); share != 0 {
		t.Errorf("share of unrelated text %.3f, want 0", share)
	}
	if share := p.ShareIn(p); share != 1 || len(p) < 100 {
		t.Errorf("share with itself %.3f of %d passages", share, len(p))
	}
	if share := (Passages{}).ShareIn(p); share != 0 {
		t.Errorf("share of nothing %.3f", share)
	}
}

// The protocol's calibration and test texts are read, and do not overlap.
func TestReferenceCorpora(t *testing.T) {
	dir := os.Getenv("COMPRESSC_REFERENCE")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "reference")
	}
	if _, err := os.Stat(filepath.Join(dir, "text")); err != nil {
		t.Skipf("no reference texts at %s (set COMPRESSC_REFERENCE)", dir)
	}
	passages := map[string]Passages{}
	for _, name := range []string{"calib.txt", "test.txt"} {
		c, err := Open(filepath.Join(dir, "text", name), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if len(c.Documents) != 1 || c.Replaced != 0 {
			t.Fatalf("%s: %d documents, %d replacements", name, len(c.Documents), c.Replaced)
		}
		ids := make([]int32, len(c.Documents[0]))
		for i := range ids {
			ids[i] = int32(c.Documents[0][i])
		}
		w, err := Windows(ids, Spec{SequenceLength: 2048})
		if err != nil {
			t.Fatal(err)
		}
		passages[name] = PassagesOf(w)
	}
	share := passages["test.txt"].ShareIn(passages["calib.txt"])
	t.Logf("%.4f of the test text's passages of %d bytes stand in the calibration text", share, passageLength)
	if share > 0.1 {
		t.Errorf("test and calibration texts overlap: %.3f", share)
	}
}
