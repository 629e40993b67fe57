package compressc

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/compressc/compressc/"

// may lists, for each room, the other rooms it may know. A room is a top-level
// folder; "internal" stands for the parts of the trade, which know no room.
var may = map[string][]string{
	"cache":      {"internal"},
	"passes":     {"internal"},
	"executor":   {"cache", "internal"},
	"lang":       {"passes", "internal"},
	"planner":    {"lang", "passes", "executor", "cache", "internal"},
	"internal":   {"internal"},
	"cli":        {"planner", "lang", "executor", "passes", "cache", "internal"},
	"cmd":        {"cli"},
	"examples":   {"cli", "internal"},
	"acceptance": {"cli", "planner", "lang", "executor", "passes", "cache", "internal"},
}

// TestImportsPointDown keeps the picture in docs/architecture.md true.
func TestImportsPointDown(t *testing.T) {
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if n := d.Name(); n != "." && (strings.HasPrefix(n, ".") || n == "testdata") {
				return fs.SkipDir
			}
			return nil
		}
		// Tests may look at whatever they test against.
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || !strings.Contains(path, string(filepath.Separator)) {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		from := room(filepath.ToSlash(filepath.Dir(path)))
		for _, spec := range f.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			rest, ok := strings.CutPrefix(name, module)
			if !ok {
				if from != "lang" && from != "planner" && from != "cli" && from != "internal" && strings.HasPrefix(name, "github.com/hashicorp/hcl") {
					t.Errorf("%s imports %s: only the language, the planner and the command line know HCL", path, name)
				}
				continue
			}
			to := room(rest)
			if to == from {
				continue
			}
			allowed, known := may[from]
			if !known {
				t.Fatalf("%s: the folder %s has no place in the picture", path, from)
			}
			found := false
			for _, a := range allowed {
				found = found || a == to
			}
			if !found {
				t.Errorf("%s imports %s: %s may import %s only", path, name, from, strings.Join(allowed, ", "))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func room(dir string) string {
	if strings.HasPrefix(dir, "internal/cli") {
		return "cli"
	}
	first, _, _ := strings.Cut(dir, "/")
	return first
}
