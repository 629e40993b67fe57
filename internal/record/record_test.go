package record

import (
	"encoding/json"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// Every field has a name in JSON, spelled the same way, for the record is a
// contract with other programs.
func TestFieldNames(t *testing.T) {
	spelling := regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`)
	seen := map[reflect.Type]bool{}
	var visit func(reflect.Type)
	visit = func(ty reflect.Type) {
		for ty.Kind() == reflect.Pointer || ty.Kind() == reflect.Slice || ty.Kind() == reflect.Map {
			ty = ty.Elem()
		}
		if ty.Kind() != reflect.Struct || seen[ty] || ty.PkgPath() != reflect.TypeFor[Record]().PkgPath() {
			return
		}
		seen[ty] = true
		for i := range ty.NumField() {
			f := ty.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if !spelling.MatchString(name) {
				t.Errorf("%s.%s is %q in JSON", ty.Name(), f.Name, name)
			}
			visit(f.Type)
		}
	}
	visit(reflect.TypeFor[Record]())
	if len(seen) < 9 {
		t.Errorf("only %d types were looked at", len(seen))
	}
}

// What a reader of any version may rely on is there even in an empty record.
func TestEmptyRecord(t *testing.T) {
	raw, err := json.Marshal(Record{FormatVersion: FormatVersion, Nodes: []Node{}, Evaluations: []Evaluation{}, Roots: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"format_version", "id", "pipeline", "time", "status", "seconds", "peak_anon_bytes", "actions", "nodes", "evaluations", "roots"} {
		if v, ok := m[name]; !ok || v == nil {
			t.Errorf("%s is missing or null", name)
		}
	}
}
