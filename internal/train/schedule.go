package train

import (
	"fmt"
	"math"

	"github.com/compressc/compressc/internal/linalg/vmath"
)

// Schedule gives the learning rate of each step.
type Schedule struct {
	// Kind is "linear" and "cosine", which fall to 0 at Steps, or "constant".
	Kind   string
	Rate   float64 // the rate that the factors below apply to
	Warmup int     // steps over which the rate rises linearly to full
	Steps  int     // length of the whole run; not used by "constant"
}

// Check reports an impossible schedule.
func (s Schedule) Check() error {
	switch s.Kind {
	case "linear", "cosine":
		if s.Steps < 1 {
			return fmt.Errorf("schedule %s: steps is %d; expected 1 or more", s.Kind, s.Steps)
		}
	case "constant":
	default:
		return fmt.Errorf("unknown schedule %q; expected linear, cosine or constant", s.Kind)
	}
	if s.Warmup < 0 {
		return fmt.Errorf("schedule %s: warm-up is %d steps", s.Kind, s.Warmup)
	}
	return nil
}

// At returns the rate of a step, counted from 0: Rate·min(1, (step+1)/Warmup)
// times 1 − step/Steps (linear), ½(1 + cos(π·step/Steps)) (cosine) or 1. The
// warm-up multiplies the decay, it does not delay it.
func (s Schedule) At(step int) float64 {
	rate := s.Rate
	if step+1 < s.Warmup {
		rate *= float64(step+1) / float64(s.Warmup)
	}
	switch s.Kind {
	case "linear":
		rate *= 1 - float64(step)/float64(s.Steps)
	case "cosine":
		rate *= (1 + vmath.Cos64(math.Pi*float64(step)/float64(s.Steps))) / 2
	}
	return rate
}

// WarmupSteps turns a warm-up given as a number of steps (1 or more) or as a
// fraction of the run (below 1) into steps, rounded down.
func WarmupSteps(warmup float64, steps int) int {
	if warmup < 1 {
		return int(warmup * float64(steps))
	}
	return int(warmup)
}
