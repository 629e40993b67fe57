package obs

import (
	"errors"
	"fmt"

	"github.com/compressc/compressc/internal/grid"
	"github.com/compressc/compressc/internal/mask"
)

// DefaultBlock is the number of columns of a block if Options.Block is 0.
const DefaultBlock = 128

// Options say what a Sweep does with a column. The zero value changes nothing.
type Options struct {
	// Block is the number of columns between two updates of the columns to
	// their right, DefaultBlock if 0. A fractional Pattern is chosen over one
	// block, all rows pooled; otherwise the block size only affects speed. It is
	// rounded up to a multiple of an N:M pattern's M.
	Block int
	// Pattern chooses the weights to drop by the loss that dropping them causes:
	// w²/u², with the weights as they are when the block (fraction) or the group
	// (N:M) is reached. Dropped are exactly mask.Count of a block, of equal ones
	// first those in the lower row, then those visited earlier; an N:M group
	// keeps the higher of equal columns. N:M needs the natural order.
	Pattern mask.Pattern
	// Mask fixes the weights to drop; it excludes Pattern. Their loss is passed
	// on like any other, and they end as exactly +0.
	Mask *mask.Mask
	// Grid rounds the kept weights; nil leaves them as they are.
	Grid *grid.Spec
	// LiveGrids fits a group's grid to the weights as they are when the group is
	// reached, instead of fitting all grids to the original weights. It needs
	// the natural order.
	LiveGrids bool
	// Into receives Result.Weights; nil makes a new slice. It must not be what is
	// swept.
	Into []float32
}

// ErrOptions is wrapped by the errors about Options that contradict each other.
var ErrOptions = errors.New("contradictory sweep")

func (o Options) validate(f *Factor, out int) error {
	if o.Block < 0 {
		panic(fmt.Sprintf("obs: block of %d columns", o.Block))
	}
	if err := o.Pattern.Validate(); err != nil {
		return err
	}
	if o.Mask != nil {
		if r, c := o.Mask.Shape(); r != out || c != f.N {
			panic(fmt.Sprintf("obs: mask [%d, %d] for weights [%d, %d]", r, c, out, f.N))
		}
		if !o.Pattern.IsZero() {
			return fmt.Errorf("%w: both a mask and the pattern %s are given; use one", ErrOptions, o.Pattern)
		}
	}
	if o.Pattern.IsNM() && f.Order != nil {
		return fmt.Errorf("%w: the groups of %s are consecutive columns, so the columns must be visited in their natural order", ErrOptions, o.Pattern)
	}
	if o.Grid == nil {
		if o.LiveGrids {
			return fmt.Errorf("%w: live grids without a grid", ErrOptions)
		}
		return nil
	}
	if o.LiveGrids && f.Order != nil {
		return fmt.Errorf("%w: live grids need the natural order of columns; fit the grids to the original weights, or visit the columns in order", ErrOptions)
	}
	if g := o.Grid.GroupSize; o.LiveGrids && o.Pattern.IsNM() && g > 0 && g < f.N && g%o.Pattern.M != 0 {
		return fmt.Errorf("%w: with live grids the group size %d must be a multiple of the %d columns of %s", ErrOptions, g, o.Pattern.M, o.Pattern)
	}
	return o.Grid.Validate(f.N)
}

func (o Options) block() int {
	b := o.Block
	if b == 0 {
		b = DefaultBlock
	}
	if o.Pattern.IsNM() {
		b = roundUp(b, o.Pattern.M)
	}
	return b
}

func roundUp(n, to int) int { return (n + to - 1) / to * to }
