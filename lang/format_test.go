package lang

import (
	"bytes"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"pgregory.net/rapid"
)

func TestFormat(t *testing.T) {
	in := "prune   \"wanda\" \"p\" {\nmodel=model.base\n      sparsity   =   0.5 # half\n  override \"x\" {\nsparsity=[1,2,  3]\n}\n}\n"
	want := "prune \"wanda\" \"p\" {\n  model    = model.base\n  sparsity = 0.5 # half\n  override \"x\" {\n    sparsity = [1, 2, 3]\n  }\n}\n"
	got, diags := Format([]byte(in), "x")
	if diags.HasErrors() || string(got) != want {
		t.Errorf("got %s\nwant %s (%v)", got, want, diags)
	}
	if same, _ := Format([]byte(want), "x"); string(same) != want {
		t.Errorf("not idempotent: %s", same)
	}
	broken := []byte("a = {\n")
	if got, diags := Format(broken, "x"); !diags.HasErrors() || !bytes.Equal(got, broken) {
		t.Errorf("a broken text became %q, %v", got, diags)
	}
}

// bare is a text's tokens without space, which Format must not change.
func bare(t interface{ Fatal(...any) }, src []byte) string {
	tokens, diags := hclsyntax.LexConfig(src, "x", hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	var b strings.Builder
	for _, tok := range tokens {
		b.WriteString(strings.TrimSpace(string(tok.Bytes)) + "\x00")
	}
	return b.String()
}

// Format changes space only, and formatting twice is formatting once.
func TestFormatProperties(t *testing.T) {
	space := rapid.SampledFrom([]string{"", " ", "   ", "\t"})
	value := rapid.SampledFrom([]string{"1", "\"a ${x . y} b\"", "[1,2, 3 ]", "{a=1,b = 2}", "[\n1,\n  2 ]", "x . y [ 0 ]", "a?b:c", "f( 1,2 )", "<<EOT\n  a\nEOT\n", "! a && b", "- 3", "[for a in b : a if c]"})
	rapid.Check(t, func(t *rapid.T) {
		var b strings.Builder
		depth := 0
		for range rapid.IntRange(1, 12).Draw(t, "lines") {
			b.WriteString(space.Draw(t, "indent"))
			switch rapid.IntRange(0, 5).Draw(t, "kind") {
			case 0:
				b.WriteString("block" + space.Draw(t, "s") + " \"x\"  \"y\"" + space.Draw(t, "s") + "{\n")
				depth++
			case 1:
				if depth > 0 {
					b.WriteString("}\n")
					depth--
				}
			case 2:
				b.WriteString("# a comment" + space.Draw(t, "s") + "\n")
			case 3:
				b.WriteString("\n")
			default:
				name := rapid.StringMatching(`[a-z]{1,8}`).Draw(t, "name")
				v := value.Draw(t, "value")
				b.WriteString(name + space.Draw(t, "s") + "=" + space.Draw(t, "s") + v)
				if !strings.HasSuffix(v, "\n") {
					b.WriteString(rapid.SampledFrom([]string{"", " # why", "  // x"}).Draw(t, "comment") + "\n")
				}
			}
		}
		b.WriteString(strings.Repeat("}\n", depth))
		src := []byte(b.String())
		once, diags := Format(src, "x")
		if diags.HasErrors() {
			return // a name was drawn twice in a block
		}
		twice, diags := Format(once, "x")
		if diags.HasErrors() || !bytes.Equal(once, twice) {
			t.Fatalf("formatting twice differs: %q\n%q\n%q", src, once, twice)
		}
		if bare(t, src) != bare(t, once) {
			t.Fatalf("tokens changed: %q\n%q", src, once)
		}
	})
}

func FuzzFormat(f *testing.F) {
	f.Add([]byte("a=1\n"))
	f.Add([]byte("block \"x\" {\na=[\n1,2]\n}\n"))
	f.Add([]byte("a = <<EOT\n x ${y}\nEOT\n"))
	f.Add([]byte("a = b ? c : d /* x */ # y\r\n"))
	f.Fuzz(func(t *testing.T, src []byte) {
		once, diags := Format(src, "x")
		if diags.HasErrors() {
			return
		}
		twice, diags := Format(once, "x")
		if diags.HasErrors() || !bytes.Equal(once, twice) {
			t.Fatalf("formatting twice differs: %q, %q, %v", once, twice, diags)
		}
	})
}
