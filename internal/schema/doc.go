// Package schema makes the argument struct of a method its single source of
// truth: from the fields' types and tags come the names the language accepts,
// defaults, ranges, messages, completion and documentation.
//
// An argument is a struct field with an `arg:"name"` tag. Its other tags:
//
//	doc:"…"            one line for documentation
//	default:"0.5"      the value when the argument is absent (lists in JSON)
//	optional:"true"    absent means the zero value
//	enum:"a|b|c"       the only values allowed
//	min:"0" max:"1"    an inclusive range; for lists, of each element
//	above:"0" below:"1" the same, exclusive
//	per_module:"true"  an override may set it
//	deprecated:"…"     still accepted, with this advice as a warning
//
// An argument with neither a default nor optional is required. Fields may be
// strings, booleans, integers, floats, lists of strings, integers or floats,
// references (a pointer to a type with the method RefKind) or lists of them,
// lists of structs of such fields, which are written as objects, or scalars of
// the method's own (see Scalar). A struct field with `block:"optimizer"` is a
// nested block; `label:"adamw"` gives it one label. An embedded struct without
// tags is flattened. One field of type Overrides with `overrides:"true"` lets
// the block hold override blocks, in order.
//
// The package knows cty values, but neither HCL nor what an argument means;
// its findings name arguments, and the language adds file and line.
package schema
