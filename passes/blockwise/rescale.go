package blockwise

import (
	"fmt"
	"slices"

	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/model"
)

// Rescale is a rewriting of one block that keeps what it computes: the inputs of
// sites are divided by factors where they arise (arch.Coupling), and the columns
// of the layers that read them multiplied by the same.
type Rescale struct {
	cfg                    *arch.Config
	vectors, rows, columns map[string][]float32
}

// NewRescale returns the rewriting of a block of cfg that changes nothing.
func NewRescale(cfg *arch.Config) *Rescale {
	return &Rescale{cfg, map[string][]float32{}, map[string][]float32{}, map[string][]float32{}}
}

// Add divides the inputs of the coupling's site by s [Free]. A site is added at
// most once.
func (r *Rescale) Add(c arch.Coupling, s []float32) {
	if len(s) != c.Free {
		panic(fmt.Sprintf("blockwise: %d factors for %d of site %s", len(s), c.Free, c.Site))
	}
	for _, v := range c.Vectors {
		r.vectors[v] = s
	}
	if c.Rows != "" {
		r.rows[c.Rows] = s
	}
	wide := c.Expand(s, r.cfg.SiteWidth(c.Site))
	for _, l := range c.Columns {
		r.columns[l] = wide
	}
}

// Apply rewrites the weights w [out, in] of a linear layer in place. Zeros stay
// zeros.
func (r *Rescale) Apply(linear string, w []float32) {
	scaleColumns(w, r.columns[linear])
	divideRows(w, r.rows[linear])
}

func scaleColumns(w, s []float32) {
	for len(s) > 0 && len(w) > 0 {
		row := w[:len(s)]
		for j, f := range s {
			row[j] *= f
		}
		w = w[len(s):]
	}
}

func divideRows(w, s []float32) {
	if s == nil {
		return
	}
	in := len(w) / len(s)
	for i, f := range s {
		row := w[i*in : (i+1)*in]
		for j := range row {
			row[j] /= f
		}
	}
}

// Touches reports whether the weights of a linear layer are rewritten.
func (r *Rescale) Touches(linear string) bool {
	return r.columns[linear] != nil || r.rows[linear] != nil
}

// Put stores the block in, rewritten, in out: leaves that nothing touches are
// carried over. Those that leave reports are for the caller to store.
func (r *Rescale) Put(out *artifact.Builder, in *artifact.Value, leave func(leaf string) bool) error {
	done := map[string]bool{}
	put := func(leaf string, shape []int, x []float32) {
		done[leaf] = true
		out.PutFloat32(leaf, shape, x)
	}
	read := func(leaf string) ([]float32, []int, error) {
		e, err := in.Entry(leaf)
		if err != nil {
			return nil, nil, err
		}
		x, err := in.Float32(leaf)
		return append([]float32(nil), x...), e.Meta.Shape, err
	}
	for _, t := range r.cfg.BlockTensors() {
		if s := r.vectors[t.Name]; s != nil {
			x, shape, err := read(t.Name)
			if err != nil {
				return err
			}
			divideRows(x, s)
			put(t.Name, shape, x)
		}
	}
	for _, l := range r.cfg.Linears() {
		if r.Touches(l.Name) && !leave(l.Weight()) {
			x, shape, err := read(l.Weight())
			if err != nil {
				return err
			}
			r.Apply(l.Name, x)
			put(l.Weight(), shape, x)
		}
		if r.rows[l.Name] != nil && l.Bias {
			x, shape, err := read(l.BiasName())
			if err != nil {
				return err
			}
			divideRows(x, r.rows[l.Name])
			put(l.BiasName(), shape, x)
		}
		for i := range SideCount(in, l.Name) {
			if s := r.columns[l.Name]; s != nil {
				a, shape, err := read(sideLeaf(l.Name, i, "A"))
				if err != nil {
					return err
				}
				scaleColumns(a, s)
				put(sideLeaf(l.Name, i, "A"), shape, a)
			}
			if s := r.rows[l.Name]; s != nil {
				bt, shape, err := read(sideLeaf(l.Name, i, "BT"))
				if err != nil {
					return err
				}
				for lo := 0; lo < len(bt); lo += len(s) {
					for j, f := range s {
						bt[lo+j] /= f
					}
				}
				put(sideLeaf(l.Name, i, "BT"), shape, bt)
			}
		}
	}
	out.CopyExcept(in, func(leaf string) bool { return done[leaf] || leave(leaf) })
	return nil
}

// Rescaled notes in ty that node scales the sites that sites reports: the layers that are rewritten
// belong to node's scaling now, and their weights are floats of denseBits. It
// reports, under title, layers that are codes and would have to be rewritten. Of
// layers that leave reports, whose weights the caller stores, only the scaling
// is noted.
func Rescaled(ty *model.Type, node string, sites func(block int, site string) bool, denseBits float64, title string, leave func(*model.Linear) bool) (ds diag.List) {
	var packed []*model.Linear
	for b := range ty.Config.Layers {
		touched := map[string]bool{}
		for _, c := range ty.Config.Couplings() {
			if !sites(b, c.Site) {
				continue
			}
			touched[c.Rows] = true
			for _, l := range c.Columns {
				touched[l] = true
			}
		}
		for _, l := range ty.Block(b) {
			if !touched[l.Name] {
				continue
			}
			l.ScaledBy = append(slices.Clip(l.ScaledBy), node)
			switch {
			case leave(l):
			case l.Format.Quantized():
				packed = append(packed, l)
			default:
				l.StoredBits = denseBits
			}
		}
	}
	if len(packed) > 0 {
		ds.Errorf("model", title, "%s: the weights are %s since %s, whose columns or rows cannot be scaled without rounding again. Scale before quantising.",
			Paths(packed), packed[0].Format, packed[0].QuantizedBy)
		ds.Since(packed[0].QuantizedBy)
	}
	return ds
}
