package transform

import (
	"encoding/json"
	"math"
	"slices"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"github.com/compressc/compressc/internal/arch"
)

// The example of the method's description: two tokens, two channels, two rows.
func TestFactors(t *testing.T) {
	x := [][]float64{{100, 1}, {-50, 2}}
	w := [][]float64{{.5, 1}, {1, -2}}
	z := &ranges{coupling: arch.Coupling{Free: 2}, width: 2, act: []float64{100, 2}, weight: []float64{1, 2}, channels: []float64{100, 2}}
	for _, c := range []struct {
		alpha float64
		s     []float32
	}{{.5, []float32{10, 1}}, {1, []float32{100, 2}}, {0, []float32{1, .5}}} {
		s := z.factors(c.alpha, 1e5)
		if !slices.Equal(s, c.s) {
			t.Errorf("alpha %v: factors %v, expected %v", c.alpha, s, c.s)
		}
		for _, row := range x {
			for _, out := range w {
				before := row[0]*out[0] + row[1]*out[1]
				after := row[0]/float64(s[0])*(out[0]*float64(s[0])) + row[1]/float64(s[1])*(out[1]*float64(s[1]))
				if math.Abs(before-after) > 1e-12 {
					t.Errorf("alpha %v: product %v became %v", c.alpha, before, after)
				}
			}
		}
	}
	if got := z.spread([]float32{10, 1}); got != 10.0/6 {
		t.Errorf("spread %v after, expected the largest, 10, over the mean of 10 and 2", got)
	}
}

// Channels that are never used, or that no weight reads, stay as they are, and
// factors stay within their bounds.
func TestFactorsAtTheEdges(t *testing.T) {
	z := &ranges{act: []float64{0, 5, 1e30, 1e-30}, weight: []float64{1, 0, 1, 1}}
	if s := z.factors(.5, 100); !slices.Equal(s, []float32{1, 1, 100, .01}) {
		t.Errorf("factors %v", s)
	}
}

func TestAlpha(t *testing.T) {
	for _, c := range []struct {
		v    cty.Value
		want string
	}{
		{cty.NumberFloatVal(.5), "0.5"}, {cty.NumberIntVal(1), "1"}, {cty.StringVal("search"), `"search"`},
		{cty.NumberFloatVal(1.5), ""}, {cty.NumberFloatVal(-.1), ""}, {cty.StringVal("0.5"), ""}, {cty.True, ""},
	} {
		var a, back Alpha
		if err := a.ParseArg(c.v); (err == nil) != (c.want != "") {
			t.Errorf("%#v: %v", c.v, err)
			continue
		} else if err != nil {
			continue
		}
		b, err := json.Marshal(a)
		if err != nil || string(b) != c.want {
			t.Errorf("%#v is written as %s (%v), expected %s", c.v, b, err, c.want)
		}
		if err := json.Unmarshal(b, &back); err != nil || back != a {
			t.Errorf("%s reads as %v (%v)", b, back, err)
		}
	}
}
