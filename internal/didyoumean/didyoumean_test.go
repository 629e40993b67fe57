package didyoumean

import "testing"

func TestNearest(t *testing.T) {
	names := []string{"model", "data", "sparsity", "damping", "bits"}
	for given, want := range map[string]string{
		"modle": "model", "spasity": "sparsity", "SPARSITY": "sparsity", "bit": "bits", "dta": "data",
		"learning_rate": "", "x": "", "": "",
	} {
		if got := Nearest(given, names); got != want {
			t.Errorf("%q: %q, want %q", given, got, want)
		}
	}
	if got := Hint("bots", names); got != ` Did you mean "bits"?` {
		t.Errorf("hint %q", got)
	}
	if got := Nearest("modle", []string{"module", "model", "mode"}); got != "model" {
		t.Errorf("letters in the wrong order: %q", got)
	}
	// Of equally near names the first in order, however they are listed.
	if got := Nearest("b", []string{"d", "c", "a"}); got != "a" {
		t.Errorf("tie went to %q", got)
	}
}

func TestJoin(t *testing.T) {
	for want, words := range map[string][]string{"": nil, "a": {"a"}, "a or b": {"a", "b"}, "a, b or c": {"a", "b", "c"}} {
		if got := Join(words); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
