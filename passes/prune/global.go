package prune

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"math/bits"
	"slices"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/mask"
	"github.com/compressc/compressc/internal/model"
	"github.com/compressc/compressc/passes/blockwise"
)

// With scope = "global" the weights of all selected layers compete. That hangs on
// one number, the K-th smallest of all scores, and on how many weights of each
// layer are below it; the rest is pruning layer by layer with an allocation. The
// number is found exactly in two passes over the bits of float32 scores, which
// order non-negative numbers: a histogram of the upper 16 bits, which no sparsity
// is part of, and then one of the lower 16 bits of the scores in the bin that
// holds the K-th, which all sparsities that end in this bin share.

// defaultMinKeepLayer is the default of min_keep_layer.
const defaultMinKeepLayer = 0.01

// Global are the arguments of scope = "global".
type Global struct {
	MinKeep      float64 `arg:"min_keep" optional:"true" min:"0" max:"1" doc:"of scope = \"global\": weights that every layer keeps, as a share of all weights that are pruned together; a smaller layer is left alone"`
	MinKeepLayer float64 `arg:"min_keep_layer" default:"0.01" min:"0" max:"1" doc:"of scope = \"global\": weights that every layer keeps, as a share of its own"`
}

// floor is how many of n weights a layer keeps where total are pruned together.
func (a Global) floor(n, total int64) int64 {
	return min(n, max(count(total, a.MinKeep), count(n, a.MinKeepLayer)))
}

func count(n int64, fraction float64) int64 { return int64(mask.Count(int(n), fraction)) }

// check reports arguments that do not go with the scope.
func (a Global) check(s scope, propagate string) (ds diag.List) {
	if s.Scope != "global" {
		if a.MinKeep != 0 || a.MinKeepLayer != defaultMinKeepLayer || s.normalise {
			ds.Warnf("scope", "Argument has no effect", "Floors and normalisation are for scope = \"global\", where layers compete; with scope = %q every layer loses the same share.", s.Scope)
		}
		return ds
	}
	switch {
	case s.Allocation != nil:
		ds.Errorf("allocation", "Two allocations", "scope = \"global\" finds out by itself how much each layer loses. Remove allocation, or use scope = \"layer\" or \"row\" to follow it.")
	case s.Sparsity.IsNM():
		ds.Errorf("sparsity", "Pattern in every group", "%s removes the same share of every group of weights, so there is nothing to compare between layers. Give a fraction, or use scope = \"row\".", s.Sparsity)
	case propagate == "output":
		ds.Errorf("propagate", "Statistics hang on the decision", "With propagate = \"output\" the scores of a block come from what the pruned blocks before it put out, and with scope = \"global\" no block is pruned before all scores are known. Use propagate = \"input\" or \"reference\".")
	}
	return ds
}

// checkFloors reports floors that leave less to remove than is asked for, and
// layers with a sparsity of their own.
func (s scope) checkFloors(ty *model.Type, amount func(*model.Linear) Amount) (ds diag.List) {
	var sizes []int64
	total := int64(0)
	for _, l := range ty.Linears {
		a := amount(l)
		if !s.Selects(l) || a.of().IsZero() {
			continue
		}
		if a.of() != s.Sparsity {
			ds.Errorf("override", "Sparsity of one layer", "%s has the sparsity %s in an override; with scope = \"global\" there is one for all layers together, and only 0 can be said of one. Use min_keep or min_keep_layer, or prune these layers in a block of their own.", l.Path, a.of())
			return ds
		}
		n := int64(l.Out) * int64(l.In)
		sizes, total = append(sizes, n), total+n
	}
	kept := int64(0)
	for _, n := range sizes {
		kept += s.floor(n, total)
	}
	if total-kept < count(total, s.Sparsity.Fraction) {
		ds.Errorf("sparsity", "Floors leave less to remove", "min_keep and min_keep_layer keep %d of %d weights whatever their scores, so at most %.4g of them can be removed, not %v. Ask for less, or lower the floors.",
			kept, total, math.Floor(float64(total-kept)/float64(total)*1e4)/1e4, s.Sparsity.Fraction)
	}
	return ds
}

// rank are the arguments of a layer's histogram.
type rank[S any] struct {
	Score S `json:"score,omitzero"`
	// Spread divides the scores by the standard deviation of the weights.
	Spread bool `json:"spread,omitempty"`
}

// ranking are the surveys behind a decision by scores.
type ranking[S any] struct {
	coarse, fine *blockwise.Survey[rank[S]]
}

func newRanking[S any](kernel string, impl int, needs blockwise.Needs, score scoring[S]) *ranking[S] {
	survey := func(name string, count func(*action.Context, []uint32, int32) ([]int32, error)) *blockwise.Survey[rank[S]] {
		return blockwise.NewSurvey(blockwise.Survey[rank[S]]{Kernel: kernel + "." + name, Impl: impl, Needs: needs,
			Linear: func(c *action.Context, w *blockwise.Work, r rank[S], out *artifact.Builder) error {
				return score.use(w, r.Score, func(scores []float64) error {
					keys, pruned, err := r.keys(w, scores)
					if err != nil {
						return err
					}
					rows, err := count(c, keys, pruned)
					if err != nil {
						return err
					}
					out.PutInt32(w.Name+histogramLeaf, []int{len(rows) / 2, 2}, rows)
					return nil
				})
			}})
	}
	return &ranking[S]{
		coarse: survey("histogram", func(_ *action.Context, keys []uint32, pruned int32) ([]int32, error) {
			return upperBits(keys, pruned), nil
		}),
		fine: survey("refine", func(c *action.Context, keys []uint32, pruned int32) ([]int32, error) {
			var at located
			err := c.Input("bin").JSON("bin", &at)
			return lowerBits(keys, pruned, at.Bin), err
		}),
	}
}

// keys are the bits of the scores of what is not pruned yet, and the number of
// what is.
func (r rank[S]) keys(w *blockwise.Work, scores []float64) (keys []uint32, pruned int32, err error) {
	kept := func(i int) bool { return w.Mask == nil || w.Mask.Keep(i/w.In, i%w.In) }
	unit := 1.0
	if r.Spread {
		unit = spreadOf(w.W, kept)
	}
	keys = make([]uint32, 0, len(scores))
	for i, s := range scores {
		if !kept(i) {
			pruned++
			continue
		}
		if s != s {
			return nil, 0, fmt.Errorf("%w at [%d, %d]; check the weights and the calibration for overflow", mask.ErrNaN, i/w.In, i%w.In)
		}
		if s > 0 { // so that 0 is 0 where nothing varies
			s /= unit
		}
		keys = append(keys, math.Float32bits(float32(s)))
	}
	return keys, pruned, nil
}

// spreadOf is the standard deviation of the weights that are kept.
func spreadOf(w []float32, kept func(int) bool) float64 {
	sum, n := 0.0, 0.0
	for i, x := range w {
		if kept(i) {
			sum += float64(x)
			n++
		}
	}
	mean, sq := sum/n, 0.0
	for i, x := range w {
		if kept(i) {
			d := float64(x) - mean
			sq += float64(d * d)
		}
	}
	return math.Sqrt(sq / n)
}

// A histogram is I32 [bins + 2, 2]: bins that are not empty, ascending, and their
// counts. The first two rows are no bins: what is pruned already, and what is
// below all bins.
const (
	histogramLeaf = ".histogram"
	rowPruned     = -2
	rowBelow      = -1
)

func upperBits(keys []uint32, pruned int32) []int32 {
	return histogram(keys, pruned, 0, func(k uint32) (int, bool) { return int(k >> 16), true })
}

// lowerBits counts the scores of one bin of the upper bits by the lower ones.
func lowerBits(keys []uint32, pruned, bin int32) []int32 {
	below := int32(0)
	for _, k := range keys {
		if int32(k>>16) < bin {
			below++
		}
	}
	return histogram(keys, pruned, below, func(k uint32) (int, bool) { return int(k & 0xffff), int32(k>>16) == bin })
}

func histogram(keys []uint32, pruned, below int32, bin func(uint32) (int, bool)) []int32 {
	counts := make([]int32, 1<<16)
	for _, k := range keys {
		if b, ok := bin(k); ok {
			counts[b]++
		}
	}
	rows := []int32{rowPruned, pruned, rowBelow, below}
	for b, n := range counts {
		if n > 0 {
			rows = append(rows, int32(b), n)
		}
	}
	return rows
}

// globalLayer is a layer in a decision, in the order in which ties are broken.
type globalLayer struct {
	Block   int    `json:"block"`
	Name    string `json:"name"`
	Weights int64  `json:"weights"`
	// Floor is how many weights it keeps.
	Floor int64 `json:"floor,omitempty"`
}

type globalParams struct {
	Layers []globalLayer `json:"layers"`
	// Remove is how many weights go, those included that were pruned before.
	Remove int64 `json:"remove"`
}

// histograms are those of the layers, and how many weights go: no fewer than were
// pruned before.
func (p globalParams) histograms(c *action.Context) (h [][]int32, remove int64, err error) {
	h = make([][]int32, len(p.Layers))
	pruned := int64(0)
	for i, l := range p.Layers {
		if h[i], err = blockwise.Summary(c, l.Block).Int32(l.Name + histogramLeaf); err != nil {
			return nil, 0, err
		}
		pruned += int64(h[i][1])
	}
	return h, max(p.Remove, pruned), nil
}

// located is the JSON leaf "bin": the bin that holds the last score to go, or
// rowPruned where only that goes.
type located struct {
	Bin int32 `json:"bin"`
}

// locateKernel finds the bin of the upper bits.
var locateKernel = action.NewKernel("prune.global.locate", 1, func(c *action.Context, p globalParams) error {
	h, remove, err := p.histograms(c)
	if err != nil {
		return err
	}
	bin, _ := reach(h, remove)
	return c.Output("bin").PutJSON("bin", located{bin})
})

// reach returns the row in which the histograms together reach k, and how many
// are below it. k is at most the sum of all.
func reach(histograms [][]int32, k int64) (row int32, below int64) {
	counts := map[int32]int64{}
	for _, h := range histograms {
		for i := 0; i < len(h); i += 2 {
			counts[h[i]] += int64(h[i+1])
		}
	}
	for _, row := range slices.Sorted(maps.Keys(counts)) {
		if below+counts[row] >= k {
			return row, below
		}
		below += counts[row]
	}
	panic(fmt.Sprintf("prune: %d of %d scores", k, below))
}

// globalKernel gives each layer its share of what goes, from the histograms of
// the lower bits.
var globalKernel = action.NewKernel("prune.global.decide", 1, func(c *action.Context, p globalParams) error {
	h, remove, err := p.histograms(c)
	if err != nil {
		return err
	}
	shares := map[int]map[string]map[string]float64{}
	for i, n := range removals(h, remove, p.Layers) {
		l := p.Layers[i]
		if shares[l.Block] == nil {
			shares[l.Block] = map[string]map[string]float64{}
		}
		shares[l.Block][l.Name] = map[string]float64{"sparsity": float64(n) / float64(l.Weights)}
	}
	for b, s := range shares {
		if err := blockwise.Share(c, b).PutJSON("report", s); err != nil {
			return err
		}
	}
	return nil
})

// removals says how many weights of each layer go: remove in all. h are the
// layers' histograms whose bins are single scores.
//
// Of scores equal to the last that goes, those of earlier layers go first. A layer
// whose floor is in the way keeps what it says, and the others make up for it in
// proportion to what they have left to give.
func removals(h [][]int32, remove int64, layers []globalLayer) []int64 {
	last, below := reach(h, remove)
	ties := remove - below
	out, left := make([]int64, len(h)), make([]int64, len(h))
	missing := int64(0)
	for i, l := range layers {
		for j := 0; j < len(h[i]); j += 2 {
			n := int64(h[i][j+1])
			switch row := h[i][j]; {
			case row > last:
				n = 0
			case row == last:
				n = min(n, ties)
				ties -= n
			}
			out[i] += n
		}
		// What was pruned before stays so, whatever the floor says now.
		most := max(l.Weights-l.Floor, int64(h[i][1]))
		missing += max(0, out[i]-most)
		out[i] = min(out[i], most)
		left[i] = most - out[i]
	}
	for i, n := range proportional(missing, left) {
		out[i] += n
	}
	return out
}

// proportional splits n by weights that sum to at least n, none getting more than
// its weight. What whole numbers leave over goes to the largest remainders, the
// first of equal ones first.
func proportional(n int64, weights []int64) []int64 {
	out := make([]int64, len(weights))
	all := int64(0)
	for _, w := range weights {
		all += w
	}
	if n == 0 {
		return out
	}
	rest := make([]uint64, len(weights))
	order := make([]int, len(weights))
	over := n
	for i, w := range weights {
		hi, lo := bits.Mul64(uint64(n), uint64(w))
		quo, rem := bits.Div64(hi, lo, uint64(all))
		out[i], rest[i], order[i] = int64(quo), rem, i
		over -= int64(quo)
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(rest[b], rest[a]) })
	for _, i := range order[:over] {
		out[i]++
	}
	return out
}

// shares lowers the surveys and the decision, and returns the blocks' shares.
func (m *ranking[S]) shares(g *action.Graph, j blockwise.Job, s scope, of func(*model.Linear) (selection[S], bool)) []action.Ref {
	var p globalParams
	total := int64(0)
	for _, l := range j.Model.Type.Linears {
		if _, ok := of(l); ok {
			n := int64(l.Out) * int64(l.In)
			p.Layers = append(p.Layers, globalLayer{Block: l.Block, Name: l.Name, Weights: n})
			total += n
		}
	}
	for i := range p.Layers {
		p.Layers[i].Floor = s.floor(p.Layers[i].Weights, total)
	}
	p.Remove = count(total, s.Sparsity.Fraction)
	args := func(l *model.Linear) (rank[S], bool) {
		x, ok := of(l)
		return rank[S]{x.Score, s.normalise}, ok
	}
	const bins = 32 << 10 // bytes of a layer's histogram
	stats := j.Stats(g, m.coarse.Needs, func(b int) bool {
		return slices.ContainsFunc(p.Layers, func(l globalLayer) bool { return l.Block == b })
	})
	decision := blockwise.Decision{Kernel: locateKernel, Params: p, Node: j.Node, Label: "threshold",
		Summaries: m.coarse.Lower(g, j.Node, "histogram", j.Model, stats, args, bins),
		More:      []action.Output{{Name: "bin", Class: action.Durable, Bytes: 64}},
		Flops:     float64(bins * len(p.Layers)), Peak: 1 << 20}
	at, _ := decision.Lower(g)
	decision.Summaries = m.fine.Lower(g, j.Node, "threshold", j.Model, stats, args, bins, action.Input{Name: "bin", Ref: action.Ref{Action: at, Output: "bin"}})
	decision.Kernel, decision.Label, decision.More, decision.ShareBytes = globalKernel, "decision", nil, 1024
	_, shares := decision.Lower(g)
	return shares
}
