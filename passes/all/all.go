// Package all lists every method that compressc has.
package all

import (
	"slices"

	"github.com/compressc/compressc/passes"
	"github.com/compressc/compressc/passes/allocate"
	"github.com/compressc/compressc/passes/compensate"
	"github.com/compressc/compressc/passes/evaluate"
	"github.com/compressc/compressc/passes/export"
	"github.com/compressc/compressc/passes/merge"
	"github.com/compressc/compressc/passes/prune"
	"github.com/compressc/compressc/passes/quantize"
	"github.com/compressc/compressc/passes/retrain"
	"github.com/compressc/compressc/passes/train"
	"github.com/compressc/compressc/passes/transform"
)

// Passes returns the methods, verb by verb.
func Passes() []*passes.Pass {
	return slices.Concat(prune.All(), retrain.All(), quantize.All(), compensate.All(), merge.All(), transform.All(), train.All(), allocate.All(), evaluate.All(), export.All())
}
