package planner

import "testing"

// A lock file spells numbers in its own way; config.json of many models says
// 0.0, which comes back as 0.
func TestSameJSON(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{`{"attention_dropout": 0.0, "eps": 1e-05}`, `{"eps": 0.00001, "attention_dropout": 0}`, true},
		{`{"layerdrop": 0.0}`, `{"layerdrop": 0.1}`, false},
		{`{"layerdrop": 0.0}`, `{}`, false},
		{`{"n_inner": null}`, `{"n_inner": 0}`, false},
		{`{`, `{`, false},
	} {
		if got := sameJSON([]byte(c.a), []byte(c.b)); got != c.want {
			t.Errorf("%s and %s: %v; expected %v", c.a, c.b, got, c.want)
		}
	}
}
