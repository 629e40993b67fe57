package schema

import (
	"reflect"

	"github.com/zclconf/go-cty/cty"
)

// Kinder is implemented by what a reference argument can point to.
type Kinder interface {
	// RefKind is the kind's name in messages: "model", "data", "adapter".
	RefKind() string
}

// Ref is the hidden part of a reference value: the thing itself and, for the
// planner, the node it comes from.
type Ref struct {
	Value Kinder
	// Origin is opaque to this package.
	Origin any
}

func (r *Ref) kind() string {
	if r.Value == nil {
		return "reference"
	}
	return r.Value.RefKind()
}

// RefAttr is the attribute of model, data and adapter objects that holds the
// capsule. No expression may name it.
const RefAttr = "__ref"

// RefType is the capsule type of references.
var RefType = cty.Capsule("reference", reflect.TypeOf(Ref{}))

// RefValue wraps r; the value keeps the pointer.
func RefValue(r *Ref) cty.Value { return cty.CapsuleVal(RefType, r) }

// RefOf returns the reference in v, which is a capsule or an object that holds
// one in RefAttr. It is false for values that are null, not known, or of
// another type.
func RefOf(v cty.Value) (*Ref, bool) {
	if v == cty.NilVal || !v.IsKnown() || v.IsNull() {
		return nil, false
	}
	t := v.Type()
	if t.IsObjectType() && t.HasAttribute(RefAttr) {
		v = v.GetAttr(RefAttr)
		if !v.IsKnown() || v.IsNull() {
			return nil, false
		}
		t = v.Type()
	}
	if !t.Equals(RefType) {
		return nil, false
	}
	return v.EncapsulatedValue().(*Ref), true
}
