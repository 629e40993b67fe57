package train

import (
	"context"
	"fmt"

	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/nn"
)

// ExampleOf is a window's rows at a block's input and what the block should
// make of them, both [tokens, hidden].
type ExampleOf[T nn.Float] struct {
	In, Out []T
}

// Example is the float32 form.
type Example = ExampleOf[float32]

// BlockTrainerOf fits one block's outputs to given ones by least squares: the
// reconstruction of Zimmer et al. 2023, arXiv:2312.15230. Its memory is one
// block's. It serves one goroutine at a time.
type BlockTrainerOf[T nn.Float] struct {
	core[T]
	config *arch.Config
	index  int
	run    *nn.RunnerOf[T]
	block  *block[T]
	tape   nn.TapeOf[T]
	x      []T
	sums   []float64
}

// BlockTrainer is the float32 form.
type BlockTrainer = BlockTrainerOf[float32]

// NewBlock plans the training of block i of a model; given is only read. Of the
// plan, Linear, Biases and Norms apply.
func NewBlock[T nn.Float](c *arch.Config, i int, given *nn.BlockOf[T], plan Plan, pool *linalg.Pool, opt Optimizer) (*BlockTrainerOf[T], error) {
	if plan.Init == "" {
		plan.Init = Kaiming
	}
	plan.Adapters = arch.Adapters{} // they share what all blocks train
	b, err := newBlock(pool, c, i, given, plan, shared[T]{}, func(_, n int) []T { return make([]T, n) })
	if err != nil {
		return nil, err
	}
	if len(b.params) == 0 {
		return nil, fmt.Errorf("train block %d: the plan trains nothing", i)
	}
	t := &BlockTrainerOf[T]{
		core: core[T]{pool: pool, opt: opt, params: b.params, fits: b.fits()}, config: c, index: i,
		run: nn.NewRunnerOf[T](c, pool), block: b,
	}
	t.begin()
	return t, nil
}

// State is as for Trainer.
func (t *BlockTrainerOf[T]) State() StateOf[T] { return t.state() }

// Restore is as for Trainer.
func (t *BlockTrainerOf[T]) Restore(s StateOf[T]) error { return t.restore(s) }

// Run does the steps [from, to) as Trainer.Run does. A step's loss is the mean
// of (block(In) − Out)² over all elements of its examples.
func (t *BlockTrainerOf[T]) Run(ctx context.Context, from, to int, examples func(step int) []ExampleOf[T], rate func(step int) float64) ([]float64, error) {
	if from != t.step {
		return nil, fmt.Errorf("train block %d: asked to start at step %d; %d steps are done", t.index, from, t.step)
	}
	var losses []float64
	for s := from; s < to; s++ {
		if err := ctx.Err(); err != nil {
			return losses, err
		}
		loss, err := t.Gradients(examples(s))
		if err != nil {
			return losses, fmt.Errorf("step %d: %w", s, err)
		}
		if err := t.apply(loss, rate(s)); err != nil {
			return losses, fmt.Errorf("block %d: %w", t.index, err)
		}
		losses = append(losses, loss)
	}
	return losses, nil
}

// Gradients computes the loss of a batch and the gradients of all parameters.
func (t *BlockTrainerOf[T]) Gradients(batch []ExampleOf[T]) (float64, error) {
	t.zeroGradients()
	loss, err := t.pass(batch, true)
	if err == nil {
		t.chain()
	}
	return loss, err
}

// Loss returns what Gradients returns, without the gradients.
func (t *BlockTrainerOf[T]) Loss(batch []ExampleOf[T]) (float64, error) { return t.pass(batch, false) }

func (t *BlockTrainerOf[T]) pass(batch []ExampleOf[T], gradients bool) (float64, error) {
	d, count := t.config.Hidden, 0
	for i, e := range batch {
		if len(e.In) == 0 || len(e.In)%d != 0 || len(e.In) != len(e.Out) {
			return 0, fmt.Errorf("example %d has %d inputs and %d outputs; expected rows of %d", i, len(e.In), len(e.Out), d)
		}
		count += len(e.In)
	}
	if count == 0 {
		return 0, fmt.Errorf("the batch is empty")
	}
	if t.block.version != t.version {
		t.block.form(t.pool)
		t.block.version = t.version
	}
	var total float64
	for _, e := range batch {
		n := len(e.In) / d
		t.x = append(t.x[:0], e.In...)
		if gradients {
			t.run.ForwardTape(&t.block.view, t.x, n, &t.tape)
		} else {
			t.run.Forward(&t.block.view, t.x, n, nil)
		}
		total += t.residual(e.Out, n)
		if gradients {
			f := T(2 / float64(count))
			overRowPieces(t.pool, n, func(lo, hi int) {
				for i := lo * d; i < hi*d; i++ {
					t.x[i] *= f
				}
			})
			t.run.Backward(&t.block.view, &t.tape, t.x, &t.block.grad)
		}
	}
	return total / float64(count), nil
}

// residual subtracts want from t.x and returns the sum of squares: each row's
// by itself, the rows ascending.
func (t *BlockTrainerOf[T]) residual(want []T, n int) float64 {
	d := t.config.Hidden
	if cap(t.sums) < n {
		t.sums = make([]float64, n)
	}
	sums := t.sums[:n]
	overRowPieces(t.pool, n, func(lo, hi int) {
		for r := lo; r < hi; r++ {
			row, w := t.x[r*d:(r+1)*d], want[r*d:(r+1)*d]
			for i, v := range w {
				row[i] -= v
			}
			sums[r] = sumSquares(row)
		}
	})
	var total float64
	for _, s := range sums {
		total += s
	}
	return total
}

// Merged calls yield with every checkpoint tensor of the block that training
// changes, by full name, as Trainer.Merged does.
func (t *BlockTrainerOf[T]) Merged(yield func(name string, shape []int, data []T) error) error {
	return t.block.merged(t.pool, t.config, t.index, yield)
}
