package tokenizer

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// randomVocabulary draws a vocabulary over a few letters, its merges in random
// order of rank.
func randomVocabulary(t *rapid.T) *vocabulary {
	v := newVocabulary(0)
	letters := []string{"a", "b", "c"}
	for i, l := range letters {
		v.mustAdd(l, i, true)
	}
	names := slices.Clone(letters)
	var pairs [][2]string
	for range rapid.IntRange(0, 30).Draw(t, "merges") {
		p := [2]string{rapid.SampledFrom(names).Draw(t, "left"), rapid.SampledFrom(names).Draw(t, "right")}
		if len(p[0]+p[1]) > 12 {
			continue
		}
		if _, ok := v.ids[p[0]+p[1]]; !ok {
			v.mustAdd(p[0]+p[1], len(v.names), true)
			names = append(names, p[0]+p[1])
		}
		pairs = append(pairs, p)
	}
	pairs = rapid.Permutation(pairs).Draw(t, "ranks")
	if err := v.finish(pairs, func(int32) bool { return false }); err != nil {
		t.Fatal(err)
	}
	return v
}

// definition is byte-pair encoding as Sennrich et al. (2016) define it.
func (v *vocabulary) definition(ids []int32) []int32 {
	for {
		at, best := -1, int32(noRank)
		for i := range len(ids) - 1 {
			if r, _ := v.join(ids[i], ids[i+1]); r < best {
				at, best = i, r
			}
		}
		if at < 0 {
			return ids
		}
		_, to := v.join(ids[at], ids[at+1])
		ids = slices.Concat(ids[:at], []int32{to}, ids[at+2:])
	}
}

func TestJoinsMatchDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := randomVocabulary(t)
		ids := rapid.SliceOfN(rapid.Int32Range(0, 2), 2, 150).Draw(t, "word")
		want := v.definition(slices.Clone(ids))
		var sc mergeScratch
		for range 2 { // the second time with used scratch memory
			if got := v.joinLinear(slices.Clone(ids), &sc); !slices.Equal(got, want) {
				t.Fatalf("linear: got %v, want %v", got, want)
			}
			if got := v.joinHeap(slices.Clone(ids), &sc); !slices.Equal(got, want) {
				t.Fatalf("heap: got %v, want %v", got, want)
			}
		}
	})
}

// A word of a megabyte takes a second at most; quadratic work would take hours.
func TestLongWord(t *testing.T) {
	tok := goldenTokenizer(t, "gpt2")
	word := strings.Repeat("thereturned", 1<<20/11)
	start := time.Now()
	ids := tok.Encode(word)
	if d := time.Since(start); d > 20*time.Second {
		t.Errorf("took %v", d)
	}
	if tok.Decode(ids) != word {
		t.Error("does not decode to itself")
	}
	if len(ids) > len(word)/2 {
		t.Errorf("%d ids for %d bytes: nothing was merged", len(ids), len(word))
	}
}

func TestDuplicateMergeCountsAtLastRank(t *testing.T) {
	v := newVocabulary(0)
	for i, n := range []string{"a", "b", "c", "ab", "bc"} {
		v.mustAdd(n, i, true)
	}
	if err := v.finish([][2]string{{"a", "b"}, {"b", "c"}, {"a", "b"}}, func(int32) bool { return false }); err != nil {
		t.Fatal(err)
	}
	if got := v.appendWord(nil, "abc", &mergeScratch{}); !slices.Equal(got, []int32{0, 4}) {
		t.Errorf("got %v, want a, bc", got)
	}
	if len(v.merges) != 2 {
		t.Errorf("%d merges kept, want 2", len(v.merges))
	}
}
