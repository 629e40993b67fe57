package lang

import "github.com/zclconf/go-cty/cty"

// ValueTree collects the values that an expression names, each under its path.
// A leaf is a cty.Value, everything else another ValueTree.
type ValueTree map[string]any

// Set puts a value at a path. A value that is there already stays: it is an
// object that holds more.
func (t ValueTree) Set(path []string, v cty.Value) {
	for _, name := range path[:len(path)-1] {
		switch inner := t[name].(type) {
		case ValueTree:
			t = inner
		case cty.Value:
			return
		default:
			next := ValueTree{}
			t[name] = next
			t = next
		}
	}
	last := path[len(path)-1]
	if t[last] == nil {
		t[last] = v
	}
}

// Variables returns the values by the names that expressions begin with.
func (t ValueTree) Variables() map[string]cty.Value {
	out := make(map[string]cty.Value, len(t))
	for name, v := range t {
		switch v := v.(type) {
		case cty.Value:
			out[name] = v
		case ValueTree:
			out[name] = cty.ObjectVal(v.Variables())
		}
	}
	return out
}
