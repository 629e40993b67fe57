package train

import (
	"context"
	"fmt"
	"slices"

	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/nn"
)

// Options are the settings that are not part of what is trained.
type Options struct {
	// Optimizer is AdamW as DefaultAdamW has it where it is nil.
	Optimizer Optimizer
	// Memory is how many bytes may be spent, beyond what training needs, on
	// keeping activations and formed weights instead of computing them again.
	// It changes the time, never the result.
	Memory int64
}

// TrainerOf trains a whole decoder on next-token prediction. It serves one
// goroutine at a time.
type TrainerOf[T nn.Float] struct {
	core[T]
	model  *nn.ModelOf[T]
	run    *nn.RunnerOf[T]
	blocks []*block[T]
	// lowest is the first block with a parameter at or below it: gradients stop
	// there.
	lowest int
	memory int64 // left for tapes

	embed    []T
	norm     []T
	head     nn.LinearOf[T]
	headGrad nn.HeadGradOf[T]
	headFit  adapter[T] // nil: frozen, or one with the embedding
	embedded *ParamOf[T]
	// placed are the learned positions in training, or nil; positions are those
	// that passes use.
	placed    *ParamOf[T]
	positions []T
	normed    *ParamOf[T]

	ownsWeights bool // each block has memory for its formed weights
	formed      int  // block whose weights are in the shared memory; −1: none
	formedAt    int  // and their version

	tapes   []nn.TapeOf[T]
	inputs  [][]T
	x, dx   []T
	targets []int32
}

// Trainer is the float32 form.
type Trainer = TrainerOf[float32]

// New plans the training of m, which is only read and must not change while
// the trainer is in use. pool may be nil. An error names the layer.
func New[T nn.Float](m *nn.ModelOf[T], plan Plan, pool *linalg.Pool, o Options) (*TrainerOf[T], error) {
	c := m.Config
	if plan.Init == "" {
		plan.Init = Kaiming
	}
	if plan.Init != Kaiming && plan.Init != Formula {
		return nil, fmt.Errorf("train: unknown init %q; expected kaiming or formula", plan.Init)
	}
	if o.Optimizer == nil {
		o.Optimizer = DefaultAdamW()
	}
	if plan.Adapters.Any() {
		if c.Adapters.Any() {
			return nil, fmt.Errorf("train: the model has adapters already")
		}
		if err := plan.Adapters.Check(c.Hidden); err != nil {
			return nil, fmt.Errorf("train: adapters: %w", err)
		}
		with, adapted := *c, *m
		with.Adapters = plan.Adapters
		c, adapted.Config = &with, &with
		m = &adapted
	}
	common := shared[T]{}
	t := &TrainerOf[T]{
		core: core[T]{pool: pool, opt: o.Optimizer}, model: m, run: nn.NewRunnerOf[T](c, pool),
		embed: m.Embed, positions: m.Positions, norm: m.Norm, head: m.Head, memory: o.Memory,
		lowest: len(m.Blocks), formed: -1,
	}
	// Tapes save a forward pass, formed weights a product of low rank: tapes
	// come first.
	if bytes := formedBytes(m, plan); bytes <= t.memory/3 {
		t.ownsWeights = true
		t.memory -= bytes
	}
	if plan.Embedding || c.Tied && plan.Head.Kind == Full {
		t.embedded = newParam(c.EmbedName(), append([]T(nil), m.Embed...), c.Vocab, c.Hidden)
		t.embed = t.embedded.Data
		t.params = append(t.params, t.embedded)
		t.lowest = 0
	}
	if plan.Embedding && m.Positions != nil {
		t.placed = newParam(c.PositionName(), append([]T(nil), m.Positions...), c.PositionRows(), c.Hidden)
		t.positions = t.placed.Data
		t.params = append(t.params, t.placed)
	}
	var shared [7][]T
	for i, given := range m.Blocks {
		b, err := newBlock(pool, c, i, given, plan, common, func(j, n int) []T {
			if t.ownsWeights {
				return make([]T, n)
			}
			if shared[j] == nil {
				shared[j] = make([]T, n)
			}
			return shared[j]
		})
		if err != nil {
			return nil, err
		}
		t.blocks = append(t.blocks, b)
		t.params = append(t.params, b.params...)
		if len(b.params) > 0 {
			t.lowest = min(t.lowest, i)
		}
	}
	if plan.Norms {
		t.normed = newParam(c.FinalNormName(), append([]T(nil), m.Norm...), len(m.Norm))
		t.normed.NoDecay = true
		t.norm, t.headGrad.Norm = t.normed.Data, t.normed.grad
		t.params = append(t.params, t.normed)
	}
	if err := t.planHead(plan); err != nil {
		return nil, err
	}
	if len(t.params) == 0 {
		return nil, fmt.Errorf("train: the plan trains nothing")
	}
	for _, b := range t.blocks {
		t.fits = append(t.fits, b.fits()...)
	}
	if t.headFit != nil {
		t.fits = append(t.fits, t.headFit)
	}
	if plan.Budget != nil {
		var err error
		if t.budget, err = newBudget[T](*plan.Budget, t.fits); err != nil {
			return nil, fmt.Errorf("train: %w", err)
		}
	}
	t.begin()
	return t, nil
}

func (t *TrainerOf[T]) planHead(plan Plan) error {
	c, p := t.model.Config, plan.Head
	t.headGrad.Head.Sides = make([]nn.SideGradOf[T], len(t.head.Sides))
	if c.Tied && t.embedded != nil {
		// One parameter in two places: both add to its gradient.
		t.head.W, t.headGrad.Head.W = t.embedded.Data, t.embedded.grad
		if p.Kind == Full {
			return nil
		}
	}
	switch p.Kind {
	case Frozen:
		return nil
	case Full, LoRA:
	default:
		return fmt.Errorf("train lm_head: %s is not possible; expected full or lora", p.Kind)
	}
	if p.Mask != nil {
		return fmt.Errorf("train lm_head: a mask is not possible")
	}
	if err := p.check(t.head.Out, t.head.In); err != nil {
		return fmt.Errorf("train lm_head: %w", err)
	}
	t.headFit = newAdapter(site[T]{p, "lm_head", 7 * len(t.blocks), starter{plan.Init, plan.Seed}, &t.head, nil})
	t.headFit.view(&t.head, nil)
	t.headFit.sinks(t.pool, &t.headGrad.Head)
	t.params = append(t.params, t.headFit.params()...)
	return nil
}

// formedBytes is the memory of all weights that passes must form.
func formedBytes[T nn.Float](m *nn.ModelOf[T], plan Plan) int64 {
	if plan.Linear == nil {
		return 0
	}
	var n int64
	for i, b := range m.Blocks {
		linears := b.Linears()
		for _, s := range m.Config.At(i).Linears() {
			if p := plan.Linear(i, s); p.Kind != Frozen && forms[p.Kind].formed != nil && forms[p.Kind].formed(p) {
				n += int64(len(linears[nn.LinearIndex(s.Name)].W)) * 4
			}
		}
	}
	return n
}

// State returns the state as it is now. It shares the trainer's memory: store
// or copy it before the next step.
func (t *TrainerOf[T]) State() StateOf[T] { return t.state() }

// Restore sets steps done, values and moments to those of s, which it copies.
// The parameters must be the same, in name, shape and order.
func (t *TrainerOf[T]) Restore(s StateOf[T]) error { return t.restore(s) }

// Trained returns the number of trained values.
func (t *TrainerOf[T]) Trained() int64 {
	var n int64
	for _, p := range t.params {
		n += int64(len(p.Data))
	}
	return n
}

// Run does the steps [from, to) and returns each one's loss before its update:
// the mean negative log-likelihood, in nats, of all next tokens of the batch.
// from must be the number of steps done. windows gives a step's batch and rate
// its learning rate; both are asked in order. After an error the state is that
// of the last whole step, and the losses are those of whole steps.
func (t *TrainerOf[T]) Run(ctx context.Context, from, to int, windows func(step int) [][]int32, rate func(step int) float64) ([]float64, error) {
	if from != t.step {
		return nil, fmt.Errorf("train: asked to start at step %d; %d steps are done", from, t.step)
	}
	var losses []float64
	for s := from; s < to; s++ {
		loss, err := t.Gradients(ctx, windows(s))
		if err != nil {
			return losses, fmt.Errorf("step %d: %w", s, err)
		}
		if err := t.apply(loss, rate(s)); err != nil {
			return losses, err
		}
		losses = append(losses, loss)
	}
	return losses, nil
}

// Gradients computes the loss of a batch and the gradients of all parameters,
// which Gradient returns. It changes no parameter.
func (t *TrainerOf[T]) Gradients(ctx context.Context, batch [][]int32) (float64, error) {
	count, err := t.check(batch)
	if err != nil {
		return 0, err
	}
	t.zeroGradients()
	var total float64
	for _, ids := range batch {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		total += t.window(ids, T(1/float64(count)))
	}
	t.chain()
	return total / float64(count), nil
}

// Gradient returns a parameter's gradient as Gradients left it. The slice is
// the trainer's.
func (t *TrainerOf[T]) Gradient(p *ParamOf[T]) []T { return p.grad }

// Loss returns what Gradients returns, without the gradients.
func (t *TrainerOf[T]) Loss(ctx context.Context, batch [][]int32) (float64, error) {
	count, err := t.check(batch)
	if err != nil {
		return 0, err
	}
	var total float64
	for _, ids := range batch {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		x := t.enter(ids)
		for i := range t.blocks {
			t.run.Forward(t.block(i), x, len(ids), nil)
		}
		for _, l := range t.run.NLL(t.norm, &t.head, x, len(ids), t.targets) {
			total += l
		}
	}
	return total / float64(count), nil
}

// check counts the predicted tokens of a batch.
func (t *TrainerOf[T]) check(batch [][]int32) (int, error) {
	count := 0
	for w, ids := range batch {
		if len(ids) < 2 {
			return 0, fmt.Errorf("window %d has %d tokens; expected 2 or more", w, len(ids))
		}
		if c := t.model.Config; c.Learned && len(ids) > c.MaxPosition {
			return 0, fmt.Errorf("window %d has %d tokens; the model has %d learned positions", w, len(ids), c.MaxPosition)
		}
		for i, id := range ids {
			if id < 0 || int(id) >= t.model.Config.Vocab {
				return 0, fmt.Errorf("window %d: token %d is %d; the vocabulary has %d", w, i, id, t.model.Config.Vocab)
			}
		}
		count += len(ids) - 1
	}
	if count == 0 {
		return 0, fmt.Errorf("the batch is empty")
	}
	return count, nil
}

// enter embeds a window into scratch and sets its targets.
func (t *TrainerOf[T]) enter(ids []int32) []T {
	n := len(ids) * t.model.Config.Hidden
	if cap(t.x) < n {
		t.x, t.dx = make([]T, n), make([]T, n)
	}
	x := t.x[:n]
	t.run.Embed(t.embed, ids, x)
	if t.positions != nil {
		t.run.AddPositions(t.positions, x, len(ids))
	}
	t.targets = append(append(t.targets[:0], ids[1:]...), -1)
	return x
}

// block returns block i ready for a pass.
func (t *TrainerOf[T]) block(i int) *nn.BlockOf[T] {
	b := t.blocks[i]
	if t.ownsWeights {
		if b.version != t.version {
			b.form(t.pool)
			b.version = t.version
		}
	} else if t.formed != i || t.formedAt != t.version {
		b.form(t.pool)
		t.formed, t.formedAt = i, t.version
	}
	return &b.view
}

// window adds the gradients of scale·Σ nll of one window and returns Σ nll.
func (t *TrainerOf[T]) window(ids []int32, scale T) float64 {
	c, n := t.model.Config, len(ids)
	x := t.enter(ids)
	dx := t.dx[:len(x)]
	last := len(t.blocks)
	keep := int64(last-t.lowest)*nn.TapeBytes(c, n) <= t.memory
	if keep && len(t.tapes) < last {
		t.tapes = make([]nn.TapeOf[T], last)
	}
	if !keep {
		if len(t.tapes) == 0 {
			t.tapes = make([]nn.TapeOf[T], 1)
		}
		if len(t.inputs) < last {
			t.inputs = make([][]T, last)
		}
	}
	for i := range last {
		b := t.block(i)
		switch {
		case i < t.lowest:
			t.run.Forward(b, x, n, nil)
		case keep:
			t.run.ForwardTape(b, x, n, &t.tapes[i])
		default:
			t.inputs[i] = append(t.inputs[i][:0], x...)
			t.run.Forward(b, x, n, nil)
		}
	}
	nll := t.run.Loss(t.norm, &t.head, x, n, t.targets, scale, dx, &t.headGrad)
	for i := last - 1; i >= t.lowest; i-- {
		b, tape := t.block(i), &t.tapes[0]
		if keep {
			tape = &t.tapes[i]
		} else {
			copy(x, t.inputs[i])
			t.run.ForwardTape(b, x, n, tape)
		}
		t.run.Backward(b, tape, dx, &t.blocks[i].grad)
	}
	if t.embedded != nil {
		t.run.AddEmbedGradient(t.embedded.grad, ids, dx)
	}
	if t.placed != nil {
		t.run.AddPositionGradient(t.placed.grad, dx)
	}
	return nll
}

// Merged calls yield with every checkpoint tensor that training changes, in
// model order: linear weights with their low-rank change added as their kind
// says, biases, gains, embedding and head. A head trained apart from a tied
// embedding is yielded as "lm_head.weight" and must be stored untied. data is
// yield's to keep. Merged stops at yield's first error.
func (t *TrainerOf[T]) Merged(yield func(name string, shape []int, data []T) error) error {
	c := t.model.Config
	if p := t.embedded; p != nil {
		if err := yield(p.Name, p.Shape, slices.Clone(p.Data)); err != nil {
			return err
		}
	}
	if p := t.placed; p != nil {
		if err := yield(p.Name, p.Shape, slices.Clone(p.Data)); err != nil {
			return err
		}
	}
	if p := t.normed; p != nil {
		if err := yieldNorm(c, p, c.FinalNormBiasName(), yield); err != nil {
			return err
		}
	}
	for i, b := range t.blocks {
		if err := b.merged(t.pool, c, i, yield); err != nil {
			return err
		}
	}
	if t.headFit != nil {
		w := make([]T, c.Vocab*c.Hidden)
		t.headFit.merge(t.pool, w)
		return yield("lm_head.weight", []int{c.Vocab, c.Hidden}, w)
	}
	return nil
}

// MergedLinear returns the weight [out, in] that layer j, in the order of nn.Block.Linears,
// of block i is left with: the given slice if the layer is frozen, a new one
// otherwise.
func (t *TrainerOf[T]) MergedLinear(i, j int) []T {
	l := t.model.Blocks[i].Linears()[j]
	a := t.blocks[i].adapters[j]
	if a == nil {
		return l.W
	}
	w := make([]T, len(l.W))
	a.merge(t.pool, w)
	return w
}
