package lang

import (
	"github.com/zclconf/go-cty/cty"

	"github.com/compressc/compressc/internal/schema"
)

// AttrDoc is one attribute of a kind of value.
type AttrDoc struct {
	Name, Doc string
	Type      cty.Type
}

// AdapterAttrs are the attributes of adapters.
var AdapterAttrs = []AttrDoc{
	{"rank", "rank of the updates", cty.Number},
	{"alpha", "numerator of the scale alpha / rank; 0 where the scale is 1", cty.Number},
}

// AllocationAttrs are the attributes of allocations.
var AllocationAttrs = []AttrDoc{
	{"of", "what is allocated: sparsity or bits", cty.String},
	{"total", "what the layers' numbers come to over all weights", cty.Number},
}

// ModelAttrs are the attributes of every model, the same for all so that
// conditionals, lists and maps of models have one type.
var ModelAttrs = []AttrDoc{
	{"parameters", "number of weights and side path weights", cty.Number},
	{"size", "bytes of the model as it is stored", cty.Number},
	{"bits_per_weight", "mean over the linear layers, scales and side paths counted", cty.Number},
	{"sparsity", "share of fixed zeros in the linear layers", cty.Number},
	{"layers", "number of decoder blocks", cty.Number},
	{"architecture", "the architecture's name", cty.String},
	{"adapter", "the updates alone, of retrain; null for others", AdapterType},
	{"allocation", "how much of each layer was pruned, of prune with scope = \"global\"; null for others", AllocationType},
}

// DataAttrs are the attributes of data.
var DataAttrs = []AttrDoc{
	{"windows", "number of windows", cty.Number},
	{"sequence_length", "tokens of a window", cty.Number},
}

// The fixed types of values.
var (
	AdapterType    = objectType(AdapterAttrs)
	AllocationType = objectType(AllocationAttrs)
	ModelType      = objectType(ModelAttrs)
	DataType       = objectType(DataAttrs)
)

// The attributes of elements of all.verb.name that every element has, and of
// reports beside the metrics.
const (
	PointAttr    = "point"
	StatusAttr   = "status"
	DivergedAttr = "diverged"
)

func objectType(attrs []AttrDoc) cty.Type {
	t := map[string]cty.Type{schema.RefAttr: schema.RefType}
	for _, a := range attrs {
		t[a.Name] = a.Type
	}
	return cty.Object(t)
}

func attrNames(attrs []AttrDoc) []string {
	names := make([]string, len(attrs))
	for i, a := range attrs {
		names[i] = a.Name
	}
	return names
}
