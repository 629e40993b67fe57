// Package allocate distributes a budget over the layers of a model: how much to
// prune of each, or how many bits each gets. What comes out is a value that
// pruners and quantisers take as their argument allocation.
//
// A unit is a set of layers that get one level. Its curve is the distortion of
// the model's output at each level when the unit alone is compressed. Curves are
// results of their own, which no budget is part of.
package allocate

import "github.com/compressc/compressc/passes"

// All lists the methods of the verb.
func All() []*passes.Pass { return []*passes.Pass{RD} }
