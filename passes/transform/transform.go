// Package transform rewrites models without changing what they compute, so that
// what comes after has it easier.
package transform

import "github.com/compressc/compressc/passes"

// All lists the methods of the verb.
func All() []*passes.Pass { return []*passes.Pass{Smooth, RMSNorm, CRMSNorm} }
