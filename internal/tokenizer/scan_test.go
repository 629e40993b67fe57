package tokenizer

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// hostileText draws text rich in what the pre-tokenizers look at.
func hostileText() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		word := rapid.OneOf(
			rapid.SampledFrom([]string{
				" ", "  ", "\n", "\r\n", "\t", "\u00a0", "\u3000", "\u2028", "\u0085", "a", "the", "Ab", "é", "e\u0301", "ſ", "\u212a", "ß", "你", "١", "²", "Ⅷ",
				"1", "12", "2024", ".", ",", "!?", "'", "'s", "'S", "'ll", "'LL", "'ſ", "'t", "’", "-", "_", "👍", "\u200d", "<|endoftext|>", "<|im_start|>", "<", "|>",
			}),
			rapid.StringN(0, 4, -1),
		)
		return strings.Join(rapid.SliceOfN(word, 0, 24).Draw(t, "words"), "")
	})
}

func pieces(split func(string, func(string)), s string) []string {
	var out []string
	split(s, func(p string) { out = append(out, p) })
	return out
}

// The scanners cut as the regexes they stand for, run by the general engine.
// The long s and the Kelvin sign are left to the golden files: the engine folds
// case differently from Oniguruma there.
func TestScannersMatchRegexes(t *testing.T) {
	for _, tt := range []struct {
		name, regex string
		scan        func(string, func(string))
	}{
		{"gpt2", gpt2Regex, scanGPT2},
		{"gpt2 factored", gpt2RegexFactored, scanGPT2},
		{"llama3", llama3Regex, scanLlama3(3)},
		{"qwen2", qwen2Regex, scanLlama3(1)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			find, err := regexFinder(tt.regex)
			if err != nil {
				t.Fatal(err)
			}
			general := splitter("Isolated", find)
			rapid.Check(t, func(t *rapid.T) {
				s := strings.NewReplacer("ſ", "", "\u212a", "").Replace(hostileText().Draw(t, "text"))
				if got, want := pieces(tt.scan, s), pieces(general, s); !slices.Equal(got, want) {
					t.Fatalf("%q:\n got %q\nwant %q", s, got, want)
				}
			})
		})
	}
}

func TestScanContractionsFoldCase(t *testing.T) {
	// Oniguruma's (?i) lets the long s match s; ids of the Rust library agree.
	if got := pieces(scanLlama3(3), "it'ſ IT'LL"); !slices.Equal(got, []string{"it", "'ſ", " IT", "'LL"}) {
		t.Errorf("got %q", got)
	}
	if got := pieces(scanGPT2, "it'S it's"); !slices.Equal(got, []string{"it", "'", "S", " it", "'s"}) {
		t.Errorf("got %q", got)
	}
}

func TestSplitBehaviors(t *testing.T) {
	const text = "the-final--countdown"
	for _, tt := range []struct {
		behavior string
		want     []string
		inverted []string
	}{
		// The examples of the Rust library's documentation.
		{"Removed", []string{"the", "final", "countdown"}, []string{"-", "-", "-"}},
		{"Isolated", []string{"the", "-", "final", "-", "-", "countdown"}, []string{"the", "-", "final", "--", "countdown"}},
		{"MergedWithPrevious", []string{"the-", "final-", "-", "countdown"}, nil},
		{"MergedWithNext", []string{"the", "-final", "-", "-countdown"}, nil},
		{"Contiguous", []string{"the", "-", "final", "--", "countdown"}, nil},
	} {
		if got := pieces(splitter(tt.behavior, stringFinder("-")), text); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %q, want %q", tt.behavior, got, tt.want)
		}
	}
}

// Whatever the stages, nothing is lost or moved unless they remove text.
func TestPiecesJoinToText(t *testing.T) {
	for _, kind := range goldenKinds(t) {
		if kind == "removed" || kind == "prefix" {
			continue
		}
		tok := goldenTokenizer(t, kind)
		rapid.Check(t, func(t *rapid.T) {
			s := hostileText().Draw(t, "text")
			texts := []string{s}
			for _, st := range tok.stages {
				var next []string
				for _, x := range texts {
					next = append(next, pieces(st.split, x)...)
				}
				texts = next
			}
			if got := strings.Join(texts, ""); got != s {
				t.Fatalf("%s: %q became %q", kind, s, got)
			}
		})
	}
}
