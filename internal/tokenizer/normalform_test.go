package tokenizer

import (
	"strings"
	"testing"

	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"
)

var forms = []norm.Form{norm.NFC, norm.NFD, norm.NFKC, norm.NFKD}

// Text of characters that compose, decompose and reorder.
func markedText(most int) *rapid.Generator[string] {
	runes := []rune("aeo \u00c5\u00e9\u1e69ﬁ각\u1100\u1161\u11a8\u0915\u093c\u0958\u09c7\u09be\u0344\u0301\u0308\u0304\u0323\u0327\u0307\u0345\u05b0\u3099か\u0f71\u0f72\u0f73")
	return rapid.StringOfN(rapid.SampledFrom(runes), 0, most, -1)
}

// The definition, run on whole texts, gives what x/text gives where x/text does
// not break runs of marks up.
func TestNormalizeRunMatchesDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := markedText(20).Draw(t, "text")
		for _, f := range forms {
			if got, want := normalizeRun(f, s), f.String(s); got != want {
				t.Fatalf("form %d of %+q: got %+q, want %+q", f, s, got, want)
			}
			if got, want := normalForm(f, s), f.String(s); got != want {
				t.Fatalf("form %d of %+q: normalForm gives %+q, want %+q", f, s, got, want)
			}
		}
	})
}

// No form inserts the combining grapheme joiner, however long the run, and each
// is idempotent.
func TestNormalFormOfLongRuns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		marks := rapid.StringOfN(rapid.SampledFrom([]rune("\u0301\u0308\u0323\u0344\u0345")), 31, 120, -1).Draw(t, "marks")
		s := markedText(8).Draw(t, "before") + "e" + marks + markedText(8).Draw(t, "after")
		for _, f := range forms {
			got := normalForm(f, s)
			if strings.Contains(got, "\u034f") {
				t.Fatalf("form %d of %+q has a joiner: %+q", f, s, got)
			}
			if again := normalForm(f, got); again != got {
				t.Fatalf("form %d of %+q changes again: %+q, %+q", f, s, got, again)
			}
			if want := normalizeRun(f, s); got != want {
				t.Fatalf("form %d of %+q: got %+q, want %+q", f, s, got, want)
			}
		}
	})
}

func TestNormalFormKeepsIllFormedBytes(t *testing.T) {
	s := "e\u0301\xffe\u0301" + strings.Repeat("\u0301", 40) + "\xe2\x82 A\u030a"
	want := "\u00e9\xff\u00e9" + strings.Repeat("\u0301", 40) + "\xe2\x82 \u00c5"
	if got := normalForm(norm.NFC, s); got != want {
		t.Errorf("got %+q, want %+q", got, want)
	}
}

func TestLowercase(t *testing.T) {
	for in, want := range map[string]string{"": "", "abc": "abc", "AbC É": "abc é", "İI": "i\u0307i", "ẞ": "ß", "A\xffB": "a\xffb"} {
		if got := lowercase(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}
