package lang

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"
	"github.com/zclconf/go-cty/cty"
)

const renderText = `model "base" {
  source = "x"
}

prune "wanda" "p" {
	model   = model.base
	sparsty = [
    0.5,
  ]
}

output "o" {
  value = upper(var.n)
}

variable "n" {
  default = 3
  nullable = "ü"
}
`

// renderDiags are findings of each shape: one line, several, with values,
// without a place.
func renderDiags(t *testing.T) (hcl.Diagnostics, map[string]*hcl.File) {
	p, diags := loadText(t, renderText, testOptions(t))
	sparse := p.Lookup("prune.p").Body.Attr("sparsty")
	diags = append(diags, &hcl.Diagnostic{Severity: hcl.DiagWarning, Summary: "Several lines", Detail: "A list:\n  first line that is set in and is not wrapped, however long it may be\nThe end.", Subject: sparse.Range.Ptr()})
	value := p.Lookup("output.o").Body.Attr("value")
	ctx := &hcl.EvalContext{Variables: map[string]cty.Value{"var": cty.ObjectVal(map[string]cty.Value{"n": cty.NumberIntVal(3)})}}
	_, more := value.Expr.Value(ctx) // there is no function upper here
	for _, d := range more {
		d.Expression, d.EvalContext = value.Expr, ctx
	}
	diags = append(diags, more...)
	diags = append(diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "No place", Detail: "This one stands nowhere."})
	diags = append(diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Lost file", Detail: "x", Subject: &hcl.Range{Filename: "zz.hcl", Start: hcl.Pos{Line: 3, Column: 1}, End: hcl.Pos{Line: 3, Column: 2}}})
	return diags, p.Files
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv("COMPRESSC_UPDATE") != "" {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs: got\n%s\nwant\n%s", name, got, want)
	}
}

func TestWriteText(t *testing.T) {
	diags, files := renderDiags(t)
	for name, o := range map[string]TextOptions{"plain.txt": {Width: 50}, "color.txt": {Color: true}} {
		var b strings.Builder
		if err := WriteText(&b, diags, files, o); err != nil {
			t.Fatal(err)
		}
		golden(t, name, b.String())
	}
}

func TestWriteJSON(t *testing.T) {
	diags, files := renderDiags(t)
	var b strings.Builder
	if err := WriteJSON(&b, diags, files); err != nil {
		t.Fatal(err)
	}
	golden(t, "report.json", b.String())
	for _, d := range NewReport(diags, files).Diagnostics {
		if d.Snippet == nil {
			continue
		}
		// The offsets mark what the range covers.
		src := files[d.Range.Filename].Bytes
		marked := d.Snippet.Code[d.Snippet.HighlightStartOffset:d.Snippet.HighlightEndOffset]
		if want := string(src[d.Range.Start.Byte:d.Range.End.Byte]); marked != want {
			t.Errorf("%s: marked %q, want %q", d.Summary, marked, want)
		}
	}
	if r := NewReport(nil, nil); !r.Valid || r.Diagnostics == nil {
		t.Errorf("nothing found: %+v", r)
	}
}

// The log is what the standard's own schema describes, in every shape of
// finding.
func TestWriteSARIF(t *testing.T) {
	diags, files := renderDiags(t)
	for name, list := range map[string]hcl.Diagnostics{"report.sarif": diags, "": nil} {
		var b strings.Builder
		if err := WriteSARIF(&b, list, files, "1.2.3"); err != nil {
			t.Fatal(err)
		}
		log, err := sarif.FromString(b.String())
		if err != nil {
			t.Fatal(err)
		}
		// The reader leaves fields empty that the standard gives defaults.
		for _, r := range log.Runs {
			r.Language, r.Tool.Driver.Language, r.NewlineSequences = "en-US", "en-US", []string{"\r\n", "\n"}
		}
		if err := log.Validate(); err != nil {
			t.Errorf("%v in\n%s", err, b.String())
		}
		if name != "" {
			golden(t, name, b.String())
		}
	}
}

func TestSARIFPlace(t *testing.T) {
	for _, c := range []struct{ file, uri, base string }{
		{"p/./a b.pipeline.hcl", "p/a%20b.pipeline.hcl", "%SRCROOT%"},
		{"../x.pipeline.hcl", "../x.pipeline.hcl", "%SRCROOT%"},
		{"/home/me/x.pipeline.hcl", "file:///home/me/x.pipeline.hcl", ""},
	} {
		if got := sarifPlace(c.file); got.URI != c.uri || got.BaseID != c.base {
			t.Errorf("%s: %+v, want %s %s", c.file, got, c.uri, c.base)
		}
	}
	// Columns are code points: the cluster e + combining acute is two.
	src := []byte("a = \"e\u0301\" x\n")
	f := &hcl.File{Bytes: src}
	at := len(src) - 2
	r := sarifRegionOf(hcl.Range{Filename: "f", Start: hcl.Pos{Line: 1, Column: 9, Byte: at}, End: hcl.Pos{Line: 1, Column: 10, Byte: at + 1}}, map[string]*hcl.File{"f": f})
	if r.StartColumn != 10 || r.EndColumn != 11 || r.Snippet.Text != "x" {
		t.Errorf("%+v", r)
	}
}
