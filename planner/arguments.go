package planner

import (
	"strings"

	"github.com/compressc/compressc/lang"
	"github.com/compressc/compressc/passes"
)

// Arguments returns what a node's arguments are at its point, for people and
// programs that compare: evaluated values of verbs and sources with defaults
// filled in, references as the address they lead to, and of all other blocks
// the expressions as they are written. Credentials are left out.
func (e *Expansion) Arguments(n *Node) map[string]any {
	out := map[string]any{}
	var args any
	switch {
	case n.Call != nil:
		args = n.Call.Args
	case n.ModelArgs != nil:
		args = n.ModelArgs
	case n.DataArgs != nil:
		args = n.DataArgs
	case n.AdapterArgs != nil:
		args = n.AdapterArgs
	}
	if args == nil || n.Block.Schema == nil {
		if n.Block.Schema == nil {
			e.written(n.Block.Body, "", out)
		}
		return out
	}
	for _, a := range n.Block.Schema.Arguments(args) {
		switch v := addresses(a.Value); {
		case v != nil:
			out[a.Arg] = v
		case a.Arg != "token":
			out[a.Arg] = a.Value
		}
	}
	if o := n.Block.Schema.OverridesOf(args); len(o) > 0 {
		out["override"] = o
	}
	return out
}

// addresses is where a reference leads, or those of a list; nil for other
// values.
func addresses(v any) any {
	switch v := v.(type) {
	case *passes.Model:
		return v.From
	case *passes.Data:
		return v.From
	case *passes.Adapter:
		return v.From
	case *passes.Allocation:
		return v.From
	case []*passes.Model:
		list := make([]string, len(v))
		for i, m := range v {
			list[i] = m.From
		}
		return list
	}
	return nil
}

// written takes the expressions of a body as they stand in the text.
func (e *Expansion) written(b *lang.Body, prefix string, out map[string]any) {
	for _, a := range b.Attrs {
		if f := e.Pipeline.Files[a.Expr.Range().Filename]; f != nil && a.Expr.Range().CanSliceBytes(f.Bytes) {
			out[prefix+a.Name] = strings.TrimSpace(string(a.Expr.Range().SliceBytes(f.Bytes)))
		}
	}
	for _, n := range b.Blocks {
		e.written(n, prefix+n.Type+".", out)
	}
}
