package training

import (
	"errors"
	"fmt"
	"slices"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/model"
	"github.com/compressc/compressc/internal/train"
	"github.com/compressc/compressc/passes"
)

// ChunkSteps is how many steps an action does: what an interrupted run loses at
// most.
const ChunkSteps = 5

type chunkParams struct {
	Spec
	From  int       `json:"from"`
	Rates []float64 `json:"rates"`
}

// Log is the JSON leaf "log" of a chunk.
type Log struct {
	From   int       `json:"from"`
	Losses []float64 `json:"losses"`
}

// stateMeta is the JSON leaf "state": names and shapes in the trainer's order.
type stateMeta struct {
	Step   int         `json:"step"`
	Params []paramMeta `json:"params"`
	// Slots name the tensors beside each parameter where they are not AdamW's.
	Slots [][]string `json:"slots,omitempty"`
}

type paramMeta struct {
	Name    string `json:"name"`
	Shape   []int  `json:"shape"`
	NoDecay bool   `json:"no_decay,omitempty"`
}

var chunkKernel = action.NewKernel("train.chunk", 1, func(c *action.Context, p chunkParams) error {
	l, err := p.load(c, true)
	if err != nil {
		return err
	}
	if v := c.In["state"]; v != nil {
		s, err := readState(v, true)
		if err != nil {
			return err
		}
		if err := l.trainer.Restore(s); err != nil {
			return err
		}
	}
	tok := c.Input("tokens")
	ids, err := tok.Int32("tokens")
	if err != nil {
		return err
	}
	e, err := tok.Entry("tokens")
	if err != nil {
		return err
	}
	windows, length := e.Meta.Shape[0], e.Meta.Shape[1]
	log := Log{From: p.From}
	for i := range p.Rates {
		step := p.From + i
		losses, err := l.trainer.Run(c, step, step+1,
			func(s int) [][]int32 { return p.batch(ids, windows, length, s) },
			func(s int) float64 { return p.Rates[s-p.From] })
		var div *train.DivergedError
		if errors.As(err, &div) {
			return fmt.Errorf("%w (nothing of this run of %d steps is kept)", div, len(p.Rates))
		}
		if err != nil {
			return err
		}
		log.Losses = append(log.Losses, losses...)
		if err := c.Step(i+1, len(p.Rates)); err != nil {
			return err
		}
	}
	if err := c.Output("log").PutJSON("log", log); err != nil {
		return err
	}
	return writeState(c.Output("state"), l.trainer.State())
})

func writeState(b *artifact.Builder, s train.State) error {
	m := stateMeta{Step: s.Step}
	usual := true
	for _, p := range s.Params {
		var names []string
		for _, x := range p.Slots {
			names = append(names, x.Name)
		}
		usual = usual && slices.Equal(names, usualSlots)
		m.Slots = append(m.Slots, names)
	}
	if usual {
		m.Slots = nil
	}
	for i, p := range s.Params {
		m.Params = append(m.Params, paramMeta{p.Name, p.Shape, p.NoDecay})
		b.PutFloat32(fmt.Sprintf("%05d.data", i), p.Shape, p.Data)
		for _, x := range p.Slots {
			b.PutFloat32(fmt.Sprintf("%05d.%s", i, x.Name), p.Shape, x.Data)
		}
	}
	return b.PutJSON("state", m)
}

// usualSlots are AdamW's.
var usualSlots = train.AdamW{}.Slots()

// readState reads a state, all of it or without what the optimizer remembers.
// What it returns may be shared memory.
func readState(v *artifact.Value, all bool) (train.State, error) {
	var m stateMeta
	if err := v.JSON("state", &m); err != nil {
		return train.State{}, err
	}
	s := train.State{Step: m.Step}
	for i, p := range m.Params {
		q := &train.Param{Name: p.Name, Shape: p.Shape, NoDecay: p.NoDecay}
		var err error
		if q.Data, err = v.Float32(fmt.Sprintf("%05d.data", i)); err != nil {
			return s, err
		}
		names := usualSlots
		if m.Slots != nil {
			names = m.Slots[i]
		}
		for _, n := range names {
			if !all && slices.Contains(usualSlots, n) {
				continue
			}
			x := train.SlotOf[float32]{Name: n}
			if x.Data, err = v.Float32(fmt.Sprintf("%05d.%s", i, n)); err != nil {
				return s, err
			}
			q.Slots = append(q.Slots, x)
		}
		s.Params = append(s.Params, q)
	}
	return s, nil
}

// Job is one training run.
type Job struct {
	Node     string
	Model    *passes.Model
	Data     *passes.Data
	Spec     Spec
	Schedule train.Schedule
	Steps    int
}

// Chunks lowers the run's steps and returns the final state and the logs.
func (j Job) Chunks(g *action.Graph) (state action.Ref, logs []action.Ref) {
	cfg := j.Model.Type.Config
	trained := j.trained()
	for from := 0; from < j.Steps; from += ChunkSteps {
		n := min(ChunkSteps, j.Steps-from)
		p := chunkParams{Spec: j.Spec, From: from}
		for s := from; s < from+n; s++ {
			p.Rates = append(p.Rates, j.Schedule.At(s))
		}
		in := append(modelInputs(j.Model), action.Input{Name: "tokens", Ref: j.Data.Tokens})
		if state.Valid() {
			in = append(in, action.Input{Name: "state", Ref: state})
		}
		tokens := float64(n * j.Spec.Batch * j.Data.Type.SequenceLength)
		a := g.Add(action.Spec{Kernel: chunkKernel, Params: p, Inputs: in, Node: j.Node, Label: fmt.Sprintf("steps %d–%d", from, from+n-1),
			Outputs: []action.Output{{Name: "state", Class: action.Checkpoint, Bytes: trained * 12}, {Name: "log", Class: action.Durable, Bytes: 4096}},
			Flops:   6 * float64(cfg.Parameters()) * tokens, Peak: j.peak(trained)})
		state = action.Ref{Action: a, Output: "state"}
		logs = append(logs, action.Ref{Action: a, Output: "log"})
	}
	return state, logs
}

// trained estimates the number of trained values.
func (j Job) trained() int64 {
	cfg := j.Model.Type.Config
	n := int64(0)
	for b, ls := range j.Spec.Linears {
		for _, l := range ls {
			t := find(j.Model.Type.Block(b), l.Name)
			n += l.plan(nil).Trained(t.Out, t.In)
		}
	}
	if j.Spec.Embedding || j.Spec.Head.Kind == train.Full {
		n += int64(cfg.Vocab) * int64(cfg.Hidden)
	}
	if j.Spec.Embedding && cfg.Learned {
		n += int64(cfg.PositionRows()) * int64(cfg.Hidden)
	}
	n += j.Spec.Adapters.Parameters(cfg.Hidden, cfg.Layers)
	if j.Spec.Norms {
		n += int64(2*cfg.Layers+1) * int64(cfg.Hidden)
	}
	return n
}

func find(ls []*model.Linear, name string) *model.Linear {
	for _, l := range ls {
		if l.Name == name {
			return l
		}
	}
	panic("training: no linear " + name)
}

// peak is what the trainer needs at least: the decoded weights where they are
// not plain float32, gradients and state, the weights that adapters form with
// their gradients, and one block's activations.
func (j Job) peak(trained int64) int64 {
	cfg := j.Model.Type.Config
	weights := cfg.Parameters() * 4
	formed := int64(cfg.Layers) * (cfg.Adapters.Weights(cfg.Hidden)*4 + j.Spec.Adapters.Weights(cfg.Hidden)*8)
	return weights + formed + trained*16 + int64(j.Data.Type.SequenceLength)*int64(cfg.Hidden)*4*int64(cfg.Layers+8) + 128<<20
}
