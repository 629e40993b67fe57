package lang

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/compressc/compressc/internal/didyoumean"
)

// TestSuffix ends the names of files with tests.
const TestSuffix = ".test.hcl"

// TestFile is a *.test.hcl file: runs of a pipeline with what must hold of
// them.
type TestFile struct {
	Name string
	// File is what was parsed, for snippets.
	File *hcl.File
	// Variables give values in every run of the file.
	Variables *hcl.File
	Mocks     []Mock
	Runs      []TestRun
}

// Mock stands in for a source, so that a test needs no weights.
type Mock struct {
	// Address of the model or data block: "model.base".
	Address string
	// Args by name; Range is the block's head.
	Args  map[string]cty.Value
	Range hcl.Range
}

// TestRun is one run block.
type TestRun struct {
	Name string
	// Run is set for command = run: else nothing is computed.
	Run bool
	// Variables give values over those of the file.
	Variables *hcl.File
	Mocks     []Mock
	Asserts   []Assert
	// Expect are the addresses of blocks that must be found wrong.
	Expect []string
	Range  hcl.Range
}

// Assert is a condition and what it means when it does not hold.
type Assert struct {
	Condition, Message hcl.Expression
	Range              hcl.Range
}

// ParseTests reads a test file. The file is never nil; runs with a mistake are
// left out of it.
func ParseTests(src []byte, name string) (*TestFile, hcl.Diagnostics) {
	t := &TestFile{Name: name}
	f, diags := hclsyntax.ParseConfig(src, name, hcl.InitialPos)
	t.File = f
	if f == nil || diags.HasErrors() {
		return t, diags
	}
	p := testParser{src: src, name: name, diags: diags}
	body := f.Body.(*hclsyntax.Body)
	for _, a := range sortedAttributes(body.Attributes) {
		p.errorAt(a.SrcRange, "Unsupported argument", "Only variables, mock and run blocks stand at the top of a test file.")
	}
	for _, b := range body.Blocks {
		switch b.Type {
		case "variables":
			p.labels(b, 0)
			if t.Variables != nil {
				p.errorAt(b.DefRange(), "Duplicate block", "The file has another variables block.")
			}
			t.Variables = p.variables(b)
		case "mock":
			if m, ok := p.mock(b); ok {
				t.Mocks = append(t.Mocks, m)
			}
		case "run":
			r, ok := p.run(b)
			if slices.ContainsFunc(t.Runs, func(o TestRun) bool { return o.Name == r.Name }) {
				p.errorAt(b.DefRange(), "Duplicate run", "There is another run called %q in this file.", r.Name)
				ok = false
			}
			if ok {
				t.Runs = append(t.Runs, r)
			}
		default:
			p.errorAt(b.DefRange(), "Unsupported block type", "A test file has no blocks of type %q.%s", b.Type, didyoumean.Hint(b.Type, []string{"variables", "mock", "run"}))
		}
	}
	return t, sortDiagnostics(p.diags)
}

type testParser struct {
	src   []byte
	name  string
	diags hcl.Diagnostics
}

func (p *testParser) errorAt(r hcl.Range, summary, format string, args ...any) {
	p.diags = append(p.diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: fmt.Sprintf(format, args...), Subject: r.Ptr()})
}

// labels wants n labels.
func (p *testParser) labels(b *hclsyntax.Block, n int) bool {
	if len(b.Labels) == n {
		return true
	}
	want := map[int]string{0: "no label", 1: "one label"}[n]
	p.errorAt(b.DefRange(), "Wrong number of labels", "A block of type %q takes %s.", b.Type, want)
	return false
}

// variables makes a file of values from a block's arguments.
func (p *testParser) variables(b *hclsyntax.Block) *hcl.File {
	for _, n := range b.Body.Blocks {
		p.errorAt(n.DefRange(), "Unsupported block", "A variables block holds values: NAME = VALUE.")
	}
	return &hcl.File{Body: &hclsyntax.Body{Attributes: b.Body.Attributes, SrcRange: b.Body.SrcRange, EndRange: b.Body.EndRange}, Bytes: p.src}
}

func (p *testParser) mock(b *hclsyntax.Block) (Mock, bool) {
	if !p.labels(b, 1) {
		return Mock{}, false
	}
	m := Mock{Address: b.Labels[0], Args: map[string]cty.Value{}, Range: b.DefRange()}
	parts := strings.Split(m.Address, ".")
	if len(parts) < 2 || parts[len(parts)-2] != "model" && parts[len(parts)-2] != "data" {
		p.errorAt(b.LabelRanges[0], "Not the address of a source", "A mock stands in for a model or data block: mock \"model.base\" { … }.")
		return m, false
	}
	for _, n := range b.Body.Blocks {
		p.errorAt(n.DefRange(), "Unsupported block", "A mock has arguments only.")
	}
	ok := len(b.Body.Blocks) == 0
	for _, a := range sortedAttributes(b.Body.Attributes) {
		v, diags := a.Expr.Value(nil)
		p.diags = append(p.diags, diags...)
		ok = ok && !diags.HasErrors()
		m.Args[a.Name] = v
	}
	return m, ok
}

func (p *testParser) run(b *hclsyntax.Block) (TestRun, bool) {
	if !p.labels(b, 1) {
		return TestRun{}, false
	}
	before := len(p.diags)
	r := TestRun{Name: b.Labels[0], Range: b.DefRange()}
	for _, a := range sortedAttributes(b.Body.Attributes) {
		switch a.Name {
		case "command":
			switch word := hcl.ExprAsKeyword(a.Expr); word {
			case "plan":
			case "run":
				r.Run = true
			default:
				p.errorAt(a.Expr.Range(), "Invalid command", "command is plan (nothing is computed) or run.")
			}
		case "expect_failures":
			list, diags := hcl.ExprList(a.Expr)
			p.diags = append(p.diags, diags...)
			for _, e := range list {
				t, diags := hcl.AbsTraversalForExpr(e)
				if diags.HasErrors() {
					p.errorAt(e.Range(), "Not an address", "expect_failures lists addresses of blocks: [gate.quality, var.bits].")
					continue
				}
				r.Expect = append(r.Expect, traversalText(t))
			}
		default:
			p.errorAt(a.NameRange, "Unsupported argument", "A run has no argument %q.%s", a.Name, didyoumean.Hint(a.Name, []string{"command", "expect_failures"}))
		}
	}
	for _, n := range b.Body.Blocks {
		switch n.Type {
		case "variables":
			p.labels(n, 0)
			r.Variables = p.variables(n)
		case "mock":
			if m, ok := p.mock(n); ok {
				r.Mocks = append(r.Mocks, m)
			}
		case "assert":
			p.labels(n, 0)
			if a, ok := p.assert(n); ok {
				r.Asserts = append(r.Asserts, a)
			}
		default:
			p.errorAt(n.DefRange(), "Unsupported block type", "A run has no blocks of type %q.%s", n.Type, didyoumean.Hint(n.Type, []string{"variables", "mock", "assert"}))
		}
	}
	return r, len(p.diags) == before
}

func (p *testParser) assert(b *hclsyntax.Block) (Assert, bool) {
	a := Assert{Range: b.DefRange()}
	for _, attr := range sortedAttributes(b.Body.Attributes) {
		switch attr.Name {
		case "condition":
			a.Condition = attr.Expr
		case "error_message":
			a.Message = attr.Expr
		default:
			p.errorAt(attr.NameRange, "Unsupported argument", "An assert has no argument %q.%s", attr.Name, didyoumean.Hint(attr.Name, []string{"condition", "error_message"}))
			return a, false
		}
	}
	for _, n := range b.Body.Blocks {
		p.errorAt(n.DefRange(), "Unsupported block", "An assert has a condition and an error_message.")
		return a, false
	}
	if a.Condition == nil {
		p.errorAt(b.DefRange(), "Missing argument", "An assert needs a condition.")
		return a, false
	}
	return a, true
}

// traversalText spells a traversal as addresses are.
func traversalText(t hcl.Traversal) string {
	var s strings.Builder
	for i, step := range t {
		switch step := step.(type) {
		case hcl.TraverseRoot:
			s.WriteString(step.Name)
		case hcl.TraverseAttr:
			if i > 0 {
				s.WriteByte('.')
			}
			s.WriteString(step.Name)
		case hcl.TraverseIndex:
			if step.Key.Type() == cty.String {
				fmt.Fprintf(&s, "[%q]", step.Key.AsString())
			}
		}
	}
	return s.String()
}

// Conditions are the asserts of a run as blocks of the pipeline: of the i-th an
// output called ConditionName(i), and of its message MessageName(i).
func (r *TestRun) Conditions(file *hcl.File) *hcl.File {
	body := &hclsyntax.Body{}
	add := func(name string, e hcl.Expression, at hcl.Range) {
		expr, ok := e.(hclsyntax.Expression)
		if !ok {
			return
		}
		body.Blocks = append(body.Blocks, &hclsyntax.Block{Type: "output", Labels: []string{name}, TypeRange: at, LabelRanges: []hcl.Range{at}, OpenBraceRange: at, CloseBraceRange: at,
			Body: &hclsyntax.Body{Attributes: hclsyntax.Attributes{"value": {Name: "value", Expr: expr, SrcRange: expr.Range(), NameRange: at}}, SrcRange: at, EndRange: at}})
	}
	for i, a := range r.Asserts {
		add(ConditionName(i), a.Condition, a.Range)
		if a.Message != nil {
			add(MessageName(i), a.Message, a.Range)
		}
	}
	return &hcl.File{Body: body, Bytes: file.Bytes}
}

// ConditionName is the output that holds the i-th assert's condition.
func ConditionName(i int) string { return fmt.Sprintf("assert_%d_condition", i) }

// MessageName is the output that holds the i-th assert's message.
func MessageName(i int) string { return fmt.Sprintf("assert_%d_message", i) }

// BlockAt is the block of the pipeline that a place in its text belongs to, or
// nil.
func (p *Pipeline) BlockAt(r hcl.Range) *Block {
	within := func(outer hcl.Range) bool {
		return outer.Filename == r.Filename && outer.Start.Byte <= r.Start.Byte && r.Start.Byte <= outer.End.Byte
	}
	var holds func(b *Body) bool
	holds = func(b *Body) bool {
		return within(b.DefRange) || slices.ContainsFunc(b.Attrs, func(a *Attr) bool { return within(a.Range) }) || slices.ContainsFunc(b.Blocks, holds)
	}
	for _, b := range p.Blocks {
		if b.Body != nil && holds(b.Body) {
			return b
		}
	}
	return nil
}
