package schema

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/didyoumean"
)

// Module is what a selector looks at: a canonical path, the role, the decoder
// block (-1 outside of any).
type Module struct {
	Path, Role string
	Block      int
}

// Selector picks modules. Each condition that is present must hold; of a
// condition's alternatives one must. The zero Selector picks all.
type Selector struct {
	Globs  []string `json:"globs,omitempty"`
	Roles  []string `json:"roles,omitempty"`
	Layers string   `json:"layers,omitempty"`
}

// Globs returns the selector of an argument such as targets: any of the globs,
// or all modules where there are none.
func Globs(patterns []string) Selector { return Selector{Globs: patterns} }

// Empty reports whether s picks all.
func (s Selector) Empty() bool { return len(s.Globs) == 0 && len(s.Roles) == 0 && s.Layers == "" }

// Match reports whether s picks m.
func (s Selector) Match(m Module) bool {
	if len(s.Globs) > 0 && !slices.ContainsFunc(s.Globs, func(g string) bool { return MatchGlob(g, m.Path) }) {
		return false
	}
	if len(s.Roles) > 0 && !slices.Contains(s.Roles, m.Role) {
		return false
	}
	if s.Layers != "" {
		ranges, err := parseLayers(s.Layers)
		if err != nil || !slices.ContainsFunc(ranges, func(r [2]int) bool { return r[0] <= m.Block && m.Block <= r[1] }) {
			return false
		}
	}
	return true
}

func (s Selector) String() string {
	var parts []string
	for _, g := range s.Globs {
		parts = append(parts, strconv.Quote(g))
	}
	if len(s.Roles) > 0 {
		parts = append(parts, "role "+strings.Join(s.Roles, ", "))
	}
	if s.Layers != "" {
		parts = append(parts, "layers "+s.Layers)
	}
	return strings.Join(parts, " ")
}

// parseLayers reads "0-3,7" as inclusive ranges.
func parseLayers(text string) ([][2]int, error) {
	var ranges [][2]int
	for _, part := range strings.Split(text, ",") {
		lo, hi, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			hi = lo
		}
		a, errA := strconv.ParseUint(lo, 10, 31)
		b, errB := strconv.ParseUint(hi, 10, 31)
		if errA != nil || errB != nil || a > b {
			return nil, fmt.Errorf(`%q is no list of layers; write for example "0-3,7"`, text)
		}
		ranges = append(ranges, [2]int{int(a), int(b)})
	}
	return ranges, nil
}

// Valid reports syntax mistakes under the argument arg.
func (s Selector) Valid(arg string) (diags diag.List) {
	for _, g := range s.Globs {
		if err := CheckGlob(g); err != nil {
			diags.Errorf(arg, "Invalid pattern", "The pattern %q cannot be used: %v.", g, err)
		}
	}
	if s.Layers != "" {
		if _, err := parseLayers(s.Layers); err != nil {
			diags.Errorf(arg, "Invalid layers", "%v.", err)
		}
	}
	return diags
}

// Check reports each alternative of s that picks none of the modules, and s as
// a whole if its conditions exclude each other, under the argument arg.
func (s Selector) Check(arg string, modules []Module) (diags diag.List) {
	diags = s.Valid(arg)
	if diags.HasErrors() {
		return diags
	}
	for _, g := range s.Globs {
		if !slices.ContainsFunc(modules, func(m Module) bool { return MatchGlob(g, m.Path) }) {
			diags.Errorf(arg, "Pattern matches nothing", "No module matches %q.%s", g, near(g, modules))
		}
	}
	var roles []string
	last := -1
	for _, m := range modules {
		if !slices.Contains(roles, m.Role) {
			roles = append(roles, m.Role)
		}
		last = max(last, m.Block)
	}
	for _, r := range s.Roles {
		if !slices.Contains(roles, r) {
			diags.Errorf(arg, "Pattern matches nothing", "No module has the role %q.%s The roles here are %s.",
				r, didyoumean.Hint(r, roles), strings.Join(roles, ", "))
		}
	}
	if s.Layers != "" {
		ranges, _ := parseLayers(s.Layers) // Valid has read it
		for _, r := range ranges {
			if r[1] > last {
				diags.Errorf(arg, "Pattern matches nothing", "Layers %q name layer %d, but the last one is %d.", s.Layers, r[1], last)
				break
			}
		}
	}
	if len(diags) == 0 && !slices.ContainsFunc(modules, s.Match) {
		diags.Errorf(arg, "Pattern matches nothing", "No module satisfies all of %s.", s)
	}
	return diags
}

// near lists the modules that agree with the longest beginning of the pattern.
func near(pattern string, modules []Module) string {
	for end := len(pattern); end >= 0; end-- {
		prefix := pattern[:end] + "*"
		if CheckGlob(prefix) != nil {
			continue
		}
		var paths []string
		for _, m := range modules {
			if MatchGlob(prefix, m.Path) {
				paths = append(paths, m.Path)
			}
		}
		if len(paths) > 3 {
			return " Modules near it are " + strings.Join(paths[:3], ", ") + fmt.Sprintf(" and %d more.", len(paths)-3)
		}
		if len(paths) > 0 {
			return " Modules near it are " + strings.Join(paths, ", ") + "."
		}
	}
	return ""
}
