package lang

import (
	"testing"

	"github.com/hashicorp/hcl/v2/hclsyntax"
)

func FuzzParseTests(f *testing.F) {
	f.Add([]byte("mock \"model.base\" {\n  hidden_size = 8\n}\nrun \"a\" {\n  command = plan\n  variables {\n    x = 1\n  }\n  assert {\n    condition = var.x > 0\n    error_message = \"${var.x}\"\n  }\n  expect_failures = [gate.a, prune.b[\"k\"]]\n}\n"))
	f.Fuzz(func(t *testing.T, src []byte) {
		file, diags := ParseTests(src, "t.test.hcl")
		if file == nil {
			t.Fatal("no file")
		}
		for _, r := range file.Runs {
			if n := len(r.Conditions(file.File).Body.(*hclsyntax.Body).Blocks); n < len(r.Asserts) {
				t.Fatalf("%d conditions of %d asserts; %v", n, len(r.Asserts), diags)
			}
		}
	})
}
