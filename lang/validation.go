package lang

import (
	"slices"

	"github.com/hashicorp/hcl/v2"
)

// Validation is a condition that a variable's value must meet.
type Validation struct {
	Condition, Message *Attr
}

// declareValidations takes the validation blocks out of a variable's body.
// Their expressions may refer to the variable itself and nothing else, so that
// they say the same wherever the value comes from.
func (l *loader) declareValidations(b *Block) {
	for _, n := range b.Body.Blocks {
		if n.Type != "validation" {
			continue
		}
		v := Validation{n.Attr("condition"), n.Attr("error_message")}
		before := len(l.diags)
		for _, a := range n.Attrs {
			if a != v.Condition && a != v.Message {
				l.unsupportedArg(a, []string{"condition", "error_message"})
				continue
			}
			a.Owner = b
			for _, t := range a.Expr.Variables() {
				if names := steps(t); len(names) < 2 || names[0] != "var" || names[1] != b.Name {
					l.errorAt(t.SourceRange(), "Invalid reference", "The validation of a variable may refer to its own value only, var.%s.", b.Name)
				}
			}
		}
		for _, inner := range n.Blocks {
			l.unsupportedBlock(inner, nil)
		}
		if len(n.Labels) > 0 {
			l.errorAt(n.DefRange, "Wrong number of labels", "A block of type \"validation\" has no labels.")
		}
		if v.Condition == nil || v.Message == nil {
			l.missing(n.DefRange, "Missing argument", "A validation has a condition and an error_message for values that do not meet it.")
			continue
		}
		if len(l.diags) == before {
			b.Validations = append(b.Validations, v)
		}
	}
	b.Body.Blocks = slices.DeleteFunc(b.Body.Blocks, func(n *Body) bool { return n.Type == "validation" })
}

// ValueRange is where a variable got its value, as far as a file says it.
func (b *Block) ValueRange() *hcl.Range {
	if b.Kind == KindLocal {
		return subjectOf(b.Expr())
	}
	return b.valueAt
}
