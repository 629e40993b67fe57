package schema

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestMatchGlob(t *testing.T) {
	for _, c := range []struct {
		pattern, path string
		want          bool
	}{
		{"model.layers.0.*", "model.layers.0.mlp.down_proj", true},
		{"model.layers.0.*", "model.layers.10.mlp.down_proj", false},
		{"*.down_proj", "model.layers.0.mlp.down_proj", true},
		{"*down*proj", "model.layers.0.mlp.down_proj", true},
		{"*", "", true},
		{"?", "", false},
		{"model.layers.?.mlp.*", "model.layers.7.mlp.up_proj", true},
		{"model.layers.?.mlp.*", "model.layers.17.mlp.up_proj", false},
		{"*.[qk]_proj", "a.q_proj", true},
		{"*.[qk]_proj", "a.v_proj", false},
		{"*.[!qk]_proj", "a.v_proj", true},
		{"a[0-3]", "a2", true},
		{"a[0-3]", "a4", false},
		{"a[-3]", "a-", true},
		{"a[]]", "a]", true},
		{"a[", "a[", false},
		{"a.b", "axb", false},
		{"", "", false},
		{"é?", "éü", true},
	} {
		if got := MatchGlob(c.pattern, c.path); got != c.want {
			t.Errorf("%q on %q: %v, want %v", c.pattern, c.path, got, c.want)
		}
	}
}

// The matcher agrees with the regular expression that says the same.
func TestMatchGlobAgreesWithRegexp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.StringMatching(`([ab.*?]|\[[ab]\]|\[!a\]){1,8}`).Draw(t, "pattern")
		path := rapid.StringMatching(`[ab.]{0,10}`).Draw(t, "path")
		var re strings.Builder
		for i := 0; i < len(pattern); i++ {
			switch pattern[i] {
			case '*':
				re.WriteString(".*")
			case '?':
				re.WriteString(".")
			case '[':
				end := strings.IndexByte(pattern[i:], ']') + i
				re.WriteString(strings.Replace(pattern[i:end+1], "!", "^", 1))
				i = end
			default:
				re.WriteString(regexp.QuoteMeta(pattern[i : i+1]))
			}
		}
		if want := regexp.MustCompile("^(?:" + re.String() + ")$").MatchString(path); MatchGlob(pattern, path) != want {
			t.Errorf("%q on %q is not %v", pattern, path, want)
		}
	})
}

// No pattern makes the matcher panic or run long, and CheckGlob decides
// whether anything can match.
func FuzzMatchGlob(f *testing.F) {
	f.Add("model.layers.[0-9]*", "model.layers.0.mlp")
	f.Add("[", "[")
	f.Add("*a*a*a*a*a*a*b", strings.Repeat("a", 200))
	f.Add("[!]", "x")
	f.Fuzz(func(t *testing.T, pattern, path string) {
		if MatchGlob(pattern, path) && CheckGlob(pattern) != nil {
			t.Errorf("%q matches %q although it is no pattern", pattern, path)
		}
	})
}

var modules = []Module{
	{"model.layers.0.self_attn.q_proj", "attn.q", 0},
	{"model.layers.0.mlp.down_proj", "mlp.down", 0},
	{"model.layers.1.self_attn.q_proj", "attn.q", 1},
	{"model.layers.1.mlp.down_proj", "mlp.down", 1},
}

func TestSelector(t *testing.T) {
	for _, c := range []struct {
		s    Selector
		want string // a digit for each module
		find string // what Check says, "" for nothing
	}{
		{Selector{}, "1111", ""},
		{Globs([]string{"*.0.*"}), "1100", ""},
		{Selector{Roles: []string{"mlp.down"}}, "0101", ""},
		{Selector{Layers: "1"}, "0011", ""},
		{Selector{Layers: "0-1"}, "1111", ""},
		{Selector{Layers: "0, 1"}, "1111", ""},
		{Selector{Roles: []string{"attn.q"}, Layers: "1"}, "0010", ""},
		{Globs([]string{"*.q_proj", "*.dwn_proj"}), "1010", `No module matches "*.dwn_proj". Modules near it are model.layers.0.mlp.down_proj, model.layers.1.mlp.down_proj.`},
		{Selector{Roles: []string{"mlp.up"}}, "0000", `No module has the role "mlp.up".`},
		{Selector{Layers: "1-7"}, "0011", `Layers "1-7" name layer 7, but the last one is 1.`},
		{Selector{Layers: "3-1"}, "0000", `"3-1" is no list of layers`},
		{Selector{Globs: []string{"*.q_proj"}, Roles: []string{"mlp.down"}}, "0000", `No module satisfies all of "*.q_proj" role mlp.down.`},
	} {
		got := ""
		for _, m := range modules {
			if c.s.Match(m) {
				got += "1"
			} else {
				got += "0"
			}
		}
		if got != c.want {
			t.Errorf("%s matches %s, want %s", c.s, got, c.want)
		}
		found := list(c.s.Check("x", modules))
		if c.find == "" && found != "" || !strings.Contains(found, c.find) {
			t.Errorf("%s: found %q, want %q", c.s, found, c.find)
		}
	}
}
