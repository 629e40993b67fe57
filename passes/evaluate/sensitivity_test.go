package evaluate

import (
	"math"
	"testing"

	"github.com/compressc/compressc/internal/linalg/vmath"
)

func TestClass(t *testing.T) {
	for _, c := range []struct {
		delta float64
		want  int
	}{{-3, 1}, {0, 1}, {0.1, 1}, {0.1000001, 2}, {0.5, 2}, {0.6, 3}, {math.Inf(1), 3}} {
		if got := class(c.delta, []float64{0.1, 0.5}); got != c.want {
			t.Errorf("a rise of %v is of class %d; expected %d", c.delta, got, c.want)
		}
	}
	if got := class(7, nil); got != 1 {
		t.Errorf("without thresholds the class is %d", got)
	}
}

func TestLabels(t *testing.T) {
	token := Activations{"token", true}
	for _, c := range []struct {
		s    Setting
		want string
	}{
		{Setting{WeightBits: 4, ActivationBits: 16, GroupSize: -1, Symmetric: true, Activations: token}, "w4a16"},
		{Setting{WeightBits: 4, ActivationBits: 8, GroupSize: 64, Activations: token}, "w4a8_g64_asym"},
		{Setting{WeightBits: 16, ActivationBits: 8, GroupSize: 64, Activations: token}, "w16a8"},
		{Setting{WeightBits: 16, ActivationBits: 8, GroupSize: -1, Symmetric: true, Activations: Activations{"tensor", true}}, "w16a8_tensor"},
		{Setting{WeightBits: 16, ActivationBits: 4, GroupSize: -1, Symmetric: true, Activations: Activations{"token", false}}, "w16a4_range"},
		{Setting{Name: "mine", WeightBits: 4}, "mine"},
	} {
		if got := c.s.label(); got != c.want {
			t.Errorf("%+v is called %s; expected %s", c.s, got, c.want)
		}
	}
}

// Perplexities of 10 for the model, 12 and 10.2 for two parts, and one that is
// not finite: by setting, the largest rise first.
func TestReport(t *testing.T) {
	losses := func(perplexity float64) []float64 {
		half := 3 * vmath.Log64(perplexity) // two windows of 4 tokens predict 6
		return []float64{half, half}
	}
	base := reportOf(losses(10), 6)
	p := rankParams{Settings: []string{"a", "b"}, Parts: []rankPart{{"x", 0}, {"y", 1}}, Thresholds: []float64{0.1, 0.5}}
	rows := []rise{
		p.rise("a", "x", base, reportOf(losses(10.2), 6)), p.rise("b", "x", base, reportOf(losses(10), 6)),
		p.rise("a", "y", base, reportOf(losses(12), 6)), p.rise("b", "y", base, reportOf([]float64{math.NaN(), 1}, 6)),
	}
	rep := p.report(base, rows)
	if d := rep["delta_a"].(*float64); math.Abs(*d-2) > 1e-12 || rep["class_a"] != 3 {
		t.Errorf("a: %v, class %v; expected 2 of class 3", *d, rep["class_a"])
	}
	if d := rep["delta_b"].(*float64); d != nil || rep["class_b"] != 3 {
		t.Errorf("b: %v, class %v; expected none, of the last class", d, rep["class_b"])
	}
	p.Relative = true
	if r := p.rise("a", "y", base, reportOf(losses(12), 6)); math.Abs(*r.delta-0.2) > 1e-12 || r.class != 2 {
		t.Errorf("relative: %v, class %d; expected 0.2 of class 2", *r.delta, r.class)
	}
}
