package prune

import (
	"math"
	"slices"
	"testing"

	"github.com/compressc/compressc/internal/mask"
	"github.com/compressc/compressc/passes/blockwise"
)

// TestGBLMScores is the worked example: gradients turn round which half goes.
func TestGBLMScores(t *testing.T) {
	w := []float32{1, -2, .5, 3}
	norms := []float64{2, .5, 4, .1}
	g := []float32{.01, .02, 0, .05}
	for _, c := range []struct {
		name    string
		term    gblmTerm
		windows int
		want    []float64
		dropped []int
	}{
		{"Wanda", gblmTerm{"add", 0}, 1, []float64{2, 1, 2, .3}, []int{1, 3}},
		{"gradients a hundredfold", gblmTerm{"add", 100}, 1, []float64{3, 5, 2, 15.3}, []int{0, 2}},
		// Norms are over four windows, where the mean over windows has half of them.
		{"of four windows", gblmTerm{"add", 50}, 4, []float64{3, 5, 2, 15.3}, []int{0, 2}},
		// The means are 1.325 and 0.05.
		{"normalised", gblmTerm{"normalised", 1}, 1, []float64{2 + .01*26.5, 1 + .04*26.5, 2, .3 + .15*26.5}, []int{1, 2}},
		{"normalised, no gradients", gblmTerm{"normalised", 0}, 1, []float64{2, 1, 2, .3}, []int{1, 3}},
	} {
		t.Run(c.name, func(t *testing.T) {
			scores := mask.Wanda(nil, w, 1, 4, norms)
			c.term.add(scores, w, g, c.windows)
			for i, s := range scores {
				if math.Abs(s-c.want[i]) > 1e-6 {
					t.Errorf("scores %v, expected %v", scores, c.want)
					break
				}
			}
			s := selection[gblmTerm]{Scope: "row"}
			s.Allocate(.5)
			m, err := s.choose(&blockwise.Work{Out: 1, In: 4}, scores)
			if err != nil {
				t.Fatal(err)
			}
			var dropped []int
			for j := range 4 {
				if !m.Keep(0, j) {
					dropped = append(dropped, j)
				}
			}
			if !slices.Equal(dropped, c.dropped) {
				t.Errorf("drops %v, expected %v", dropped, c.dropped)
			}
		})
	}
	scores := mask.Wanda(nil, w, 1, 4, norms)
	want := slices.Clone(scores)
	gblmTerm{"normalised", 1}.add(scores, w, make([]float32, 4), 1)
	if !slices.Equal(scores, want) {
		t.Errorf("scores without any gradient are %v, expected Wanda's %v", scores, want)
	}
}
