package merge

import (
	"fmt"
	"slices"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/linalg"
)

// orthogonalParams are the parameters of one block's merge of directions.
type orthogonalParams struct {
	Layers  []layerParams `json:"layers"`
	Weights []float64     `json:"weights"`
	// Share says how many directions each task gets.
	Share string `json:"share"`
	// ByOutliers weighs a task by how few outliers its delta has.
	ByOutliers bool `json:"by_outliers,omitempty"`
}

type layerParams struct {
	Name string `json:"name"` // of the weight
	Out  int    `json:"out"`
	In   int    `json:"in"`
}

func taskInput(i int) string { return fmt.Sprintf("task%d", i) }

// orthogonal merges the tasks' directions of every layer of a block: output
// "delta" holds Δ [out, in] under the weight's name, and a report. A layer with
// more tasks than directions has no Δ.
var orthogonal = action.NewKernel("merge.orthogonal", 2, func(c *action.Context, p orthogonalParams) error {
	out := c.Output("delta")
	reports := map[string]map[string]float64{}
	for i, l := range p.Layers {
		if err := c.Err(); err != nil {
			return err
		}
		tasks := make([]task, len(p.Weights))
		for t := range tasks {
			var err error
			if tasks[t], err = readTask(c.Input(taskInput(t)), l.Name, l.In); err != nil {
				return err
			}
		}
		ranks := shares(p.Share, tasks, min(l.Out, l.In))
		if ranks == nil {
			continue
		}
		merged := mergeDirections(c.Pool, l, tasks, ranks, taskWeights(p, tasks))
		delta := make([]float32, len(merged))
		for k, x := range merged {
			delta[k] = float32(x)
		}
		out.PutFloat32(l.Name, []int{l.Out, l.In}, delta)
		reports[l.Name] = map[string]float64{"directions": float64(directions(tasks, ranks)), "cut_gap": cutGap(tasks, ranks)}
		if c.Progress != nil {
			c.Progress(i+1, len(p.Layers))
		}
	}
	return out.PutJSON("report", reports)
})

// taskWeights are the weights, by outliers where asked for.
func taskWeights(p orthogonalParams, tasks []task) []float64 {
	w := slices.Clone(p.Weights)
	if !p.ByOutliers {
		return w
	}
	mean := 0.0
	for _, t := range tasks {
		mean += (1 - t.stats.Outliers) / float64(len(tasks))
	}
	for i, t := range tasks {
		w[i] = float64(w[i]*(1-t.stats.Outliers)) / mean
	}
	return w
}

// shares divides r directions among the tasks, nil where there are fewer than
// tasks. "equal" gives each the same; the others at least 1 each, in proportion
// to what they need, rounded by largest remainders, of equals the first.
func shares(how string, tasks []task, r int) []int {
	n := len(tasks)
	if n > r {
		return nil
	}
	k := make([]int, n)
	need := make([]float64, n)
	total := 0.0
	for i, t := range tasks {
		switch how {
		case "equal":
			k[i] = r / n
		case "sparsity":
			need[i] = 1 - t.stats.Small
		case "energy":
			need[i] = float64(energyRank(t.energies, 0.95))
		}
		total += need[i]
	}
	if how == "equal" {
		return k
	}
	if how == "energy" && total <= float64(r) {
		for i := range k {
			k[i] = max(1, int(need[i]))
		}
		if sumInts(k) <= r {
			return k
		}
	}
	if total == 0 {
		return shares("equal", tasks, r)
	}
	// Each has one; the rest is divided.
	rest := r - n
	type fraction struct {
		task int
		left float64
	}
	var left []fraction
	given := 0
	for i := range k {
		x := float64(float64(rest)*need[i]) / total
		k[i] = 1 + int(x)
		given += int(x)
		left = append(left, fraction{i, x - float64(int(x))})
	}
	slices.SortStableFunc(left, func(a, b fraction) int {
		switch {
		case a.left > b.left:
			return -1
		case a.left < b.left:
			return 1
		}
		return 0
	})
	for i := range min(rest-given, n) {
		k[left[i].task]++
	}
	return k
}

func sumInts(x []int) (s int) {
	for _, v := range x {
		s += v
	}
	return s
}

// energyRank is the smallest rank that holds a share of all energy.
func energyRank(energies []float64, share float64) int {
	want, have := float64(share*inOrder(energies)), 0.0
	for i, e := range energies {
		if have >= want {
			return i
		}
		have += e
	}
	return len(energies)
}

// cutGap is the smallest relative distance between the last direction kept of a
// task and the first left out. Where it is near 0, which of them is kept is
// arbitrary, and the merge with it. A task that has fewer directions loses none.
func cutGap(tasks []task, ranks []int) float64 {
	gap := 1.0
	for i, t := range tasks {
		k := ranks[i]
		if k <= t.rank && k < len(t.energies) {
			gap = min(gap, (t.energies[k-1]-t.energies[k])/t.energies[0])
		}
	}
	return gap
}

// directions is how many directions of the tasks are merged. Those that the
// rounding of weights has left are passed over: they would turn those that mean
// something.
func directions(tasks []task, ranks []int) (n int) {
	for i := range tasks {
		n += min(ranks[i], tasks[i].rank)
	}
	return n
}

// mergeDirections returns Δ = U⊥·S·V⊥ᵀ [out, in] of the first ranks[t] directions
// of each task side by side.
func mergeDirections(p *linalg.Pool, l layerParams, tasks []task, ranks []int, weights []float64) []float64 {
	used := directions(tasks, ranks)
	d := make([]float64, l.Out*l.In)
	if used == 0 {
		return d
	}
	u, v, s := make([]float64, l.Out*used), make([]float64, l.In*used), make([]float64, used)
	at := 0
	for i, t := range tasks {
		for k := range min(ranks[i], t.rank) {
			for r, x := range t.u[k*l.Out : (k+1)*l.Out] {
				u[r*used+at] = float64(x)
			}
			for r, x := range t.a[k*l.In : (k+1)*l.In] {
				v[r*used+at] = float64(x) / t.sigma[k]
			}
			s[at] = float64(weights[i] * t.sigma[k])
			at++
		}
	}
	u, v = nearestOrthonormal(p, l.Out, used, u), nearestOrthonormal(p, l.In, used, v)
	for i := range u {
		u[i] *= s[i%used]
	}
	p.Dgemm(false, true, l.Out, l.In, used, 1, u, used, v, used, 0, d, l.In)
	return d
}

// nearestOrthonormal returns P·Qᵀ of the decomposition P·D·Qᵀ of a [m, n], m ≥ n:
// the matrix with orthonormal columns that is nearest to a.
func nearestOrthonormal(p *linalg.Pool, m, n int, a []float64) []float64 {
	u, _, vt := p.ThinSVD(m, n, a)
	out := make([]float64, m*n)
	p.Dgemm(false, false, m, n, n, 1, u, n, vt, n, 0, out, n)
	return out
}
