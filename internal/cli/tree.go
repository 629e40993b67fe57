package cli

import "github.com/compressc/compressc/planner"

func newTree(a *app, _ *planner.Plan) progress { return &plainProgress{a: a} }
