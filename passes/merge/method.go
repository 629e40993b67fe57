package merge

import (
	"fmt"
	"strings"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/passes"
)

// Method is what is done to one tensor. A holds the arguments for the tensor and
// is part of the action's parameters.
type Method[A any] struct {
	// Kernel names the action, "merge.ties"; Impl is its version.
	Kernel string
	Impl   int
	// Tensor puts what becomes of one tensor.
	Tensor func(*Tensor, A) error

	kernel *action.Kernel
}

// tensorParams are the parameters of one tensor in a part's action.
type tensorParams[A any] struct {
	Name  string `json:"name"`
	Class class  `json:"class"`
	// Keep carries the base's tensor over.
	Keep bool `json:"keep,omitempty"`
	Args A    `json:"args"`
}

// New registers the method's kernel.
func New[A any](m Method[A]) *Method[A] {
	m.kernel = action.NewKernel(m.Kernel, m.Impl, func(c *action.Context, ts []tensorParams[A]) error { return m.run(c, ts) })
	return &m
}

const baseInput = "base"

func modelInput(i int) string { return fmt.Sprintf("model%d", i) }

func (m *Method[A]) run(c *action.Context, ts []tensorParams[A]) error {
	base := c.In[baseInput]
	var models []*artifact.Value
	for i := 0; c.In[modelInput(i)] != nil; i++ {
		models = append(models, c.In[modelInput(i)])
	}
	out := c.Output("merged")
	reports := map[string]map[string]float64{}
	for i, p := range ts {
		if err := c.Err(); err != nil {
			return err
		}
		if p.Keep {
			first := base
			if first == nil {
				first = models[0]
			}
			e, err := first.Entry(p.Name)
			if err != nil {
				return err
			}
			out.PutEntry(e)
			continue
		}
		t, err := openTensor(c, p.Name, p.Class, base, models)
		if err != nil {
			return fmt.Errorf("%s: %w", p.Name, err)
		}
		t.out = out
		if err := m.Tensor(t, p.Args); err != nil {
			return fmt.Errorf("%s: %w", p.Name, err)
		}
		if p.Class == linear {
			reports[strings.TrimSuffix(p.Name, ".weight")] = t.numbers
		}
		if err := c.Step(i+1, len(ts)); err != nil {
			return err
		}
	}
	if c.Wants("report") {
		return c.Output("report").PutJSON("report", reports)
	}
	return nil
}

// cost estimates an action.
type cost struct {
	bytes, largest int64 // of all tensors and of one
	flops          float64
	peak           int64
}

// costOf is the cost of passing over a part's tensors; perElement bytes of each
// element are kept.
func (j job) costOf(p part, perElement int64) cost {
	n := int64(len(j.Models))
	return cost{p.elements() * perElement, p.largest() * perElement, float64(p.elements() * (n + 1) * 8), 16<<20 + n*(4<<20+min(4*maxGathered, p.elements()/4))}
}

// add lowers one part. of gives a tensor's arguments; extra are inputs besides
// the models.
func (m *Method[A]) add(g *action.Graph, j job, p part, e cost, report bool, of func(place) A, extra ...action.Input) *action.Action {
	ts := make([]tensorParams[A], len(p.places))
	for i, t := range p.places {
		ts[i] = tensorParams[A]{Name: t.leaf, Class: t.class, Keep: t.keep}
		if !t.keep {
			ts[i].Args = of(t)
		}
	}
	var in []action.Input
	if j.base != nil {
		in = append(in, action.Input{Name: baseInput, Ref: p.of(j.base)})
	}
	for i, x := range j.Models {
		in = append(in, action.Input{Name: modelInput(i), Ref: p.of(x)})
	}
	outs := []action.Output{{Name: "merged", Class: action.Durable, Bytes: e.bytes, Largest: e.largest}}
	if report {
		outs = append(outs, action.Output{Name: "report", Class: action.Durable, Bytes: 4096})
	}
	return g.Add(action.Spec{Kernel: m.kernel, Params: ts, Inputs: append(in, extra...), Node: j.node, Label: p.label,
		Outputs: outs, Flops: e.flops, Peak: e.peak})
}

// lower merges every part and returns the model that comes out. extra gives a
// part's inputs besides the models, and may be nil.
func (m *Method[A]) lower(g *action.Graph, j job, r passes.Result, of func(place) A, extra func(part) []action.Input) passes.Result {
	next := *j.first()
	next.Type, next.From = r.Model.Type, j.node
	next.Blocks = append([]action.Ref(nil), next.Blocks...)
	res := passes.Result{Model: &next}
	for _, p := range j.parts(r.Model.Type) {
		if !p.merges() {
			continue
		}
		var more []action.Input
		if extra != nil {
			more = extra(p)
		}
		a := m.add(g, j, p, j.costOf(p, 4), p.block >= 0, of, more...)
		ref := action.Ref{Action: a, Output: "merged"}
		switch {
		case p.block >= 0:
			next.Blocks[p.block] = ref
			res.Layers = append(res.Layers, passes.LayerReport{Block: p.block, Ref: action.Ref{Action: a, Output: "report"}})
		case p.label == "embedding":
			next.Embed = ref
		default:
			next.Final = ref
		}
	}
	return res
}
