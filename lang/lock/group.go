package lock

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// group is a line for tensors that differ in the number of their decoder block
// alone: "model.layers.{0-29}.mlp.up_proj.weight".
type group struct {
	pattern string
	spec    string
}

var numbered = regexp.MustCompile(`^(.*?\.)(\d+)(\..*)$`)

// fold joins names with equal specifications and consecutive numbers into one
// pattern. Unfolding the result gives the same names and specifications. specs
// is by name.
func fold(specs map[string]string) []group {
	type key struct{ before, after, spec string }
	numbers := map[key][]int{}
	var out []group
	for name, spec := range specs {
		m := numbered.FindStringSubmatch(name)
		if m != nil {
			// "007" would come back as "7".
			if n, err := strconv.Atoi(m[2]); err == nil && strconv.Itoa(n) == m[2] && !strings.ContainsAny(name, "{}") {
				numbers[key{m[1], m[3], spec}] = append(numbers[key{m[1], m[3], spec}], n)
				continue
			}
		}
		out = append(out, group{name, spec})
	}
	for k, list := range numbers {
		slices.Sort(list)
		for i := 0; i < len(list); {
			j := i
			for j+1 < len(list) && list[j+1] == list[j]+1 {
				j++
			}
			pattern := fmt.Sprintf("%s%d%s", k.before, list[i], k.after)
			if j > i {
				pattern = fmt.Sprintf("%s{%d-%d}%s", k.before, list[i], list[j], k.after)
			}
			out = append(out, group{pattern, k.spec})
			i = j + 1
		}
	}
	slices.SortFunc(out, func(a, b group) int { return strings.Compare(a.pattern, b.pattern) })
	return out
}

var ranged = regexp.MustCompile(`^(.*?\.)\{(\d+)-(\d+)\}(\..*)$`)

// maxBlocks bounds the numbers of a range that a file can name.
const maxBlocks = 100000

// unfold lists the names that a pattern stands for.
func unfold(pattern string) ([]string, error) {
	m := ranged.FindStringSubmatch(pattern)
	if m == nil {
		if strings.ContainsAny(pattern, "{}") {
			return nil, fmt.Errorf("%q: expected a name or a name with {first-last}", pattern)
		}
		return []string{pattern}, nil
	}
	first, err := strconv.Atoi(m[2])
	last, err2 := strconv.Atoi(m[3])
	if err != nil || err2 != nil || first > last || last >= maxBlocks {
		return nil, fmt.Errorf("%q: expected {first-last} with numbers below %d", pattern, maxBlocks)
	}
	var names []string
	for n := first; n <= last; n++ {
		names = append(names, fmt.Sprintf("%s%d%s", m[1], n, m[4]))
	}
	return names, nil
}
