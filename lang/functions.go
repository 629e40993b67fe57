package lang

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2/ext/tryfunc"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// functions returns the functions of expressions: those of Terraform that are
// pure, and files below dir. log is left out, for its last bits differ between
// processors; pow takes whole exponents for the same reason.
func functions(dir string) map[string]function.Function {
	return map[string]function.Function{
		"abs": stdlib.AbsoluteFunc, "ceil": stdlib.CeilFunc, "floor": stdlib.FloorFunc,
		"max": stdlib.MaxFunc, "min": stdlib.MinFunc, "parseint": stdlib.ParseIntFunc,
		"signum": stdlib.SignumFunc, "pow": powFunc, "sum": sumFunc,

		"chomp": stdlib.ChompFunc, "format": stdlib.FormatFunc, "formatlist": stdlib.FormatListFunc,
		"indent": stdlib.IndentFunc, "join": stdlib.JoinFunc, "lower": stdlib.LowerFunc,
		"regex": stdlib.RegexFunc, "regexall": stdlib.RegexAllFunc, "replace": stdlib.ReplaceFunc,
		"split": stdlib.SplitFunc, "strcontains": affixFunc(strings.Contains), "strrev": stdlib.ReverseFunc, "substr": stdlib.SubstrFunc,
		"title": stdlib.TitleFunc, "trim": stdlib.TrimFunc, "trimprefix": stdlib.TrimPrefixFunc,
		"trimspace": stdlib.TrimSpaceFunc, "trimsuffix": stdlib.TrimSuffixFunc, "upper": stdlib.UpperFunc,
		"startswith": affixFunc(strings.HasPrefix), "endswith": affixFunc(strings.HasSuffix),

		"alltrue": everyFunc(true), "anytrue": everyFunc(false),
		"chunklist": stdlib.ChunklistFunc, "coalesce": stdlib.CoalesceFunc, "coalescelist": stdlib.CoalesceListFunc,
		"compact": stdlib.CompactFunc, "concat": stdlib.ConcatFunc, "contains": stdlib.ContainsFunc,
		"distinct": stdlib.DistinctFunc, "element": stdlib.ElementFunc, "flatten": stdlib.FlattenFunc,
		"index": stdlib.IndexFunc, "keys": stdlib.KeysFunc, "length": lengthFunc,
		"lookup": stdlib.LookupFunc, "matchkeys": matchkeysFunc, "merge": stdlib.MergeFunc, "range": stdlib.RangeFunc,
		"one": oneFunc, "reverse": stdlib.ReverseListFunc, "transpose": transposeFunc, "setintersection": stdlib.SetIntersectionFunc,
		"setproduct": stdlib.SetProductFunc, "setsubtract": stdlib.SetSubtractFunc, "setunion": stdlib.SetUnionFunc,
		"slice": stdlib.SliceFunc, "sort": stdlib.SortFunc, "values": stdlib.ValuesFunc, "zipmap": stdlib.ZipmapFunc,

		"csvdecode": stdlib.CSVDecodeFunc, "jsondecode": stdlib.JSONDecodeFunc, "jsonencode": stdlib.JSONEncodeFunc,

		"tobool": stdlib.MakeToFunc(cty.Bool), "tonumber": stdlib.MakeToFunc(cty.Number), "tostring": stdlib.MakeToFunc(cty.String),
		"tolist": stdlib.MakeToFunc(cty.List(cty.DynamicPseudoType)), "tomap": stdlib.MakeToFunc(cty.Map(cty.DynamicPseudoType)),
		"toset": stdlib.MakeToFunc(cty.Set(cty.DynamicPseudoType)),
		"can":   tryfunc.CanFunc, "try": tryfunc.TryFunc,

		"basename": pathFunc(path.Base), "dirname": pathFunc(path.Dir), "sha256": sha256Func,
		"file": fileFunc(dir), "fileexists": fileExistsFunc(dir), "fileset": filesetFunc(dir), "filesha256": fileSHA256Func(dir),
		"human_size": humanSizeFunc,
	}
}

// powFunc multiplies exactly, so that no rounding of a C library shows.
var powFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "base", Type: cty.Number}, {Name: "exponent", Type: cty.Number}},
	Type:   function.StaticReturnType(cty.Number),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		e, acc := args[1].AsBigFloat().Int64()
		if acc != big.Exact || e < -1024 || e > 1024 {
			return cty.NilVal, function.NewArgErrorf(1, "a whole number from -1024 to 1024 is required")
		}
		base := args[0]
		if e < 0 && base.AsBigFloat().Sign() == 0 {
			return cty.NilVal, function.NewArgErrorf(0, "0 has no negative powers")
		}
		product := cty.NumberIntVal(1)
		for range max(e, -e) {
			product = product.Multiply(base)
		}
		if e < 0 {
			return cty.NumberIntVal(1).Divide(product), nil
		}
		return product, nil
	},
})

// lengthFunc counts the attributes of objects and the characters of strings
// too, as Terraform's does.
var lengthFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "value", Type: cty.DynamicPseudoType, AllowDynamicType: true, AllowUnknown: true}},
	Type: func(args []cty.Value) (cty.Type, error) {
		t := args[0].Type()
		if t == cty.String || t == cty.DynamicPseudoType || t.IsTupleType() || t.IsObjectType() || t.IsCollectionType() {
			return cty.Number, nil
		}
		return cty.Number, function.NewArgErrorf(0, "a string, a list, a map or an object is required")
	},
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		v := args[0]
		switch t := v.Type(); {
		case t.IsTupleType():
			return cty.NumberIntVal(int64(len(t.TupleElementTypes()))), nil
		case t.IsObjectType():
			return cty.NumberIntVal(int64(len(t.AttributeTypes()))), nil
		case !v.IsKnown():
			return cty.UnknownVal(cty.Number), nil
		case t == cty.String:
			return stdlib.Strlen(v)
		}
		return v.Length(), nil
	},
})

var sumFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "list", Type: cty.List(cty.Number)}},
	Type:   function.StaticReturnType(cty.Number),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		if !args[0].IsWhollyKnown() {
			return cty.UnknownVal(cty.Number), nil
		}
		total := cty.Zero
		for it := args[0].ElementIterator(); it.Next(); {
			_, v := it.Element()
			if v.IsNull() {
				return cty.NilVal, function.NewArgErrorf(0, "the list holds null")
			}
			sum, err := stdlib.Add(total, v)
			if err != nil {
				return cty.NilVal, err
			}
			total = sum
		}
		return total, nil
	},
})

func everyFunc(all bool) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "list", Type: cty.List(cty.Bool)}},
		Type:   function.StaticReturnType(cty.Bool),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			unknown := !args[0].IsKnown()
			if !unknown {
				for it := args[0].ElementIterator(); it.Next(); {
					_, v := it.Element()
					switch {
					case !v.IsKnown():
						unknown = true
					case v.IsNull():
						return cty.NilVal, function.NewArgErrorf(0, "the list holds null")
					case v.True() != all:
						return cty.BoolVal(!all), nil
					}
				}
			}
			if unknown {
				return cty.UnknownVal(cty.Bool), nil
			}
			return cty.BoolVal(all), nil
		},
	})
}

func affixFunc(has func(s, affix string) bool) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "str", Type: cty.String}, {Name: "affix", Type: cty.String}},
		Type:   function.StaticReturnType(cty.Bool),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			return cty.BoolVal(has(args[0].AsString(), args[1].AsString())), nil
		},
	})
}

var humanSizeFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "bytes", Type: cty.Number}},
	Type:   function.StaticReturnType(cty.String),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		n, _ := args[0].AsBigFloat().Float64()
		return cty.StringVal(HumanSize(n)), nil
	},
})

// HumanSize writes bytes in binary units with three digits: "538 B", "97.4 MiB".
func HumanSize(bytes float64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	u := 0
	// 1023.5 and more would be written as 1024 of a unit.
	for (bytes >= 1023.5 || bytes <= -1023.5) && u < len(units)-1 {
		bytes /= 1024
		u++
	}
	digits := 0
	if a := max(bytes, -bytes); u > 0 && a < 9.995 {
		digits = 2
	} else if u > 0 && a < 99.95 {
		digits = 1
	}
	return strconv.FormatFloat(bytes, 'f', digits, 64) + " " + units[u]
}

func readFileArg(dir, name string) ([]byte, error) {
	if !filepath.IsAbs(name) {
		name = filepath.Join(dir, name)
	}
	src, err := os.ReadFile(name)
	if err != nil {
		return nil, function.NewArgErrorf(0, "%v", err)
	}
	return src, nil
}

func fileFunc(dir string) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "path", Type: cty.String}},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			src, err := readFileArg(dir, args[0].AsString())
			return cty.StringVal(string(src)), err
		},
	})
}

func fileSHA256Func(dir string) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "path", Type: cty.String}},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			src, err := readFileArg(dir, args[0].AsString())
			sum := sha256.Sum256(src)
			return cty.StringVal(hex.EncodeToString(sum[:])), err
		},
	})
}

func filesetFunc(dir string) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "folder", Type: cty.String}, {Name: "pattern", Type: cty.String}},
		Type:   function.StaticReturnType(cty.Set(cty.String)),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			root := args[0].AsString()
			if !filepath.IsAbs(root) {
				root = filepath.Join(dir, root)
			}
			names, err := fileset(os.DirFS(root), args[1].AsString())
			if err != nil {
				return cty.NilVal, function.NewArgErrorf(1, "%v", err)
			}
			if len(names) == 0 {
				return cty.SetValEmpty(cty.String), nil
			}
			values := make([]cty.Value, len(names))
			for i, n := range names {
				values[i] = cty.StringVal(n)
			}
			return cty.SetVal(values), nil
		},
	})
}

// fileset returns the files that match a pattern in which ** stands for any
// number of folders, with slashes, sorted.
func fileset(root fs.FS, pattern string) ([]string, error) {
	parts := strings.Split(pattern, "/")
	for _, p := range parts {
		if _, err := path.Match(p, ""); err != nil {
			return nil, fmt.Errorf("the pattern %q: %w", pattern, err)
		}
	}
	var names []string
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.Type().IsRegular() && matchParts(parts, strings.Split(name, "/")) {
			names = append(names, name)
		}
		return nil
	})
	slices.Sort(names)
	return names, err
}

func matchParts(pattern, name []string) bool {
	if len(pattern) == 0 {
		return len(name) == 0
	}
	if pattern[0] == "**" {
		return matchParts(pattern[1:], name) || len(name) > 0 && matchParts(pattern, name[1:])
	}
	if len(name) == 0 {
		return false
	}
	ok, _ := path.Match(pattern[0], name[0]) // fileset has checked the syntax
	return ok && matchParts(pattern[1:], name[1:])
}
