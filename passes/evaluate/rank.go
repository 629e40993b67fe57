package evaluate

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/record"
	"github.com/compressc/compressc/passes/blockwise"
)

// lossesKernel sums the losses of each window, F64 [windows].
var lossesKernel = action.NewKernel("evaluate.losses", 1, func(c *action.Context, g blockwise.Geometry) error {
	losses, _, err := windowLosses(c, g)
	if err != nil {
		return err
	}
	c.Output("losses").PutFloat64("losses", []int{len(losses)}, losses)
	return nil
})

type rankParams struct {
	// Settings are the names of what was tried.
	Settings []string `json:"settings"`
	// Parts that were tried one at a time, in the order of the losses of their
	// blocks; none where the whole model was.
	Parts []rankPart `json:"parts,omitempty"`
	// Windows that each was measured on.
	Windows    int       `json:"windows"`
	Thresholds []float64 `json:"thresholds"`
	Relative   bool      `json:"relative,omitempty"`
}

type rankPart struct {
	Name  string `json:"name"`
	Block int    `json:"block"`
}

func settingInput(i int) string { return fmt.Sprintf("setting%d", i) }

// rise is what became of the perplexity with a setting in a part.
type rise struct {
	setting, part string
	perplexity    *float64
	delta         *float64 // nil where the perplexity is not finite
	class         int
}

// rankKernel compares perplexities with that of the model as it is. The leaf
// "report" has "perplexity", for each setting "delta_NAME" and "class_NAME" (of
// parts, the largest), and the table of all.
var rankKernel = action.NewKernel("evaluate.sensitivity", 1, func(c *action.Context, p rankParams) error {
	var base PerplexityReport
	if err := c.Input("base").JSON("report", &base); err != nil {
		return err
	}
	var rows []rise
	if len(p.Parts) == 0 {
		for i, s := range p.Settings {
			var rep PerplexityReport
			if err := c.Input(settingInput(i)).JSON("report", &rep); err != nil {
				return err
			}
			rows = append(rows, p.rise(s, "", base, rep))
		}
	} else {
		at, block := 0, -1
		for _, u := range p.Parts {
			if u.Block != block {
				at, block = 0, u.Block
			}
			losses, err := blockwise.Summary(c, block).Float64("losses")
			if err != nil {
				return err
			}
			for _, s := range p.Settings {
				rows = append(rows, p.rise(s, u.Name, base, reportOf(losses[at:at+p.Windows], base.Tokens)))
				at += p.Windows
			}
		}
	}
	return c.Output("report").PutJSON("report", p.report(base, rows))
})

// rise compares a measurement with the model's own.
func (p rankParams) rise(setting, part string, base, with PerplexityReport) rise {
	r := rise{setting: setting, part: part, perplexity: with.Perplexity, class: len(p.Thresholds) + 1}
	if base.Perplexity == nil || with.Perplexity == nil {
		return r
	}
	d := *with.Perplexity - *base.Perplexity
	if p.Relative {
		d /= *base.Perplexity
	}
	r.delta, r.class = &d, class(d, p.Thresholds)
	return r
}

// class is 1 up to the first threshold, and one more for each that is exceeded.
func class(delta float64, thresholds []float64) int {
	c := 1
	for _, t := range thresholds {
		if delta > t {
			c++
		}
	}
	return c
}

// report sums rows up, by setting and with the largest rise first.
func (p rankParams) report(base PerplexityReport, rows []rise) map[string]any {
	out := map[string]any{"perplexity": base.Perplexity, "nll": base.NLL, "tokens": base.Tokens, "relative": p.Relative, "thresholds": p.Thresholds}
	table := record.Table{Columns: []string{"setting", "part", "perplexity", "delta", "class"}, Rows: []map[string]any{}}
	if len(p.Parts) == 0 {
		table.Columns = slices.Delete(table.Columns, 1, 2)
	}
	for _, s := range p.Settings {
		of := slices.DeleteFunc(slices.Clone(rows), func(r rise) bool { return r.setting != s })
		slices.SortStableFunc(of, func(x, y rise) int { return cmp.Compare(y.size(), x.size()) })
		for i, r := range of {
			if i == 0 {
				out["delta_"+s], out["class_"+s] = r.delta, r.class
			}
			row := map[string]any{"setting": r.setting, "perplexity": r.perplexity, "delta": r.delta, "class": r.class}
			if r.part != "" {
				row["part"] = r.part
			}
			table.Rows = append(table.Rows, row)
		}
	}
	out["table"] = table
	return out
}

// size orders rises: one that is not finite is the largest.
func (r rise) size() float64 {
	if r.delta == nil {
		return math.Inf(1)
	}
	return *r.delta
}
