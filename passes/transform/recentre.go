package transform

import (
	"fmt"
	"math"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/linalg/vmath"
	"github.com/compressc/compressc/internal/mask"
	"github.com/compressc/compressc/internal/nn"
	"github.com/compressc/compressc/passes"
	"github.com/compressc/compressc/passes/blockwise"
)

// recentring takes the mean out of the residual stream: out of every tensor that
// writes to it. A stream without mean is the same to LayerNorm and to RMSNorm, and
// its last entry follows from the others.
type recentring struct {
	// Fold moves gains and biases of norms into the layers behind them.
	Fold bool `json:"fold,omitempty"`
	// Drop leaves out the stream's last entry; it needs Fold, since the layers
	// that read the entry then read the others in its place.
	Drop bool `json:"drop,omitempty"`
}

// config is what a configuration with LayerNorm becomes.
func (r recentring) config(c *arch.Config) *arch.Config {
	n := *c
	n.Norm, n.Tied = arch.NormRMS, false
	if r.Fold && c.NormBias {
		n.NormBias, n.HeadBias, n.AttentionBias, n.MLPBias = false, true, true, true
	}
	if r.Drop {
		n.Norm = arch.NormCompressed
		n.Hidden--
	}
	return &n
}

// rewrites reports whether the weights of a layer change.
func (r recentring) rewrites(l arch.LinearSpec) bool {
	return l.WritesStream() || l.ReadsStream() && (r.Fold || r.Drop)
}

// width is how many entries of a stream's d are left.
func (r recentring) width(d int) int {
	if r.Drop {
		return d - 1
	}
	return d
}

// reader returns weights [rows, width(d)] that read the new stream as w [rows, d]
// read the old one through a norm of the given gain and bias [d], and what that
// bias makes of each output, in float64. Both are nil where they are not folded,
// and where a norm has no bias, bias is.
func reader[T nn.Float](r recentring, p *linalg.Pool, w, gain, bias []T, d int) (out []T, shift []float64) {
	n, rows := r.width(d), len(w)/d
	out, shift = make([]T, rows*n), make([]float64, rows)
	at := func(row []T, j int) float64 {
		if gain == nil {
			return float64(row[j])
		}
		return float64(float64(row[j]) * float64(gain[j]))
	}
	p.For(rows, func(_, i int) {
		row, to := w[i*d:(i+1)*d], out[i*n:(i+1)*n]
		last := 0.0
		if r.Drop {
			last = at(row, d-1)
		}
		for j := range to {
			to[j] = T(at(row, j) - last)
		}
		for j, b := range bias {
			shift[i] += float64(float64(row[j]) * float64(b))
		}
	})
	return out, shift
}

// streamRows returns x [n, d], each of whose rows is added to the stream, without the
// rows' means: [n, width(d)].
func streamRows[T nn.Float](r recentring, p *linalg.Pool, x []T, d int) []T {
	n, count := r.width(d), len(x)/d
	out := make([]T, count*n)
	p.For(count, func(_, i int) {
		row := x[i*d : (i+1)*d]
		mean := nn.Sum(row) / float64(d)
		for j, v := range row[:n] {
			out[i*n+j] = T(float64(v) - mean)
		}
	})
	return out
}

// writer returns weights w [d, in], whose outputs are added to the stream,
// without the means over the outputs: [width(d), in].
func writer[T nn.Float](r recentring, w []T, d int) []T {
	in := len(w) / d
	means := columnMeans(w, d)
	out := make([]T, r.width(d)*in)
	for i, v := range w[:len(out)] {
		out[i] = T(float64(v) - means[i%in])
	}
	return out
}

func columnMeans[T nn.Float](w []T, rows int) []float64 {
	means := make([]float64, len(w)/rows)
	for i, v := range w {
		means[i%len(means)] += float64(v)
	}
	for j := range means {
		means[j] /= float64(rows)
	}
	return means
}

// leaning is the largest mean of a column of w [rows, in] over the root mean
// square of w: how much a layer adds to the stream's mean.
func leaning(w []float32, rows int) float64 {
	scale, most := math.Sqrt(vmath.SumSq(w)/float64(len(w))), 0.0
	for _, m := range columnMeans(w, rows) {
		most = max(most, math.Abs(m))
	}
	if scale == 0 {
		return 0
	}
	return most / scale
}

type recentreParams struct {
	Geometry blockwise.Geometry `json:"geometry"`
	recentring
}

// recentreBlock rewrites one block.
var recentreBlock = action.NewKernel("transform.recentre.block", 1, func(c *action.Context, p recentreParams) error {
	old, in, out := p.Geometry.Config(), c.Input("block"), c.Output("block")
	d := old.Hidden
	specs := p.config(old).Linears()
	report := map[string]map[string]float64{}
	var done []func(leaf string) bool
	for i, l := range old.Linears() {
		if !p.rewrites(l) {
			continue
		}
		w, err := blockwise.Dense(in, l.Name)
		if err != nil {
			return err
		}
		m, err := blockwise.Mask(in, l.Name)
		if err != nil {
			return err
		}
		if m != nil && (p.Drop || l.WritesStream()) {
			return fmt.Errorf("%s is pruned; its zeros would be lost", l.Name)
		}
		sides, err := blockwise.Sides(in, l.Name)
		if err != nil {
			return err
		}
		bias := make([]float32, l.Out)
		if l.Bias {
			if bias, err = in.Float32(l.BiasName()); err != nil {
				return err
			}
		}
		if l.WritesStream() {
			nw := writer(p.recentring, w, d)
			numbers := map[string]float64{"column_mean_before": leaning(w, d)}
			if !p.Drop { // what is left out makes up for it
				numbers["column_mean_after"] = leaning(nw, d)
			}
			report[l.Name] = numbers
			w, bias = nw, streamRows(p.recentring, c.Pool, bias, d)
			for i := range sides {
				s := &sides[i]
				s.B = writer(p.recentring, s.B, d)
			}
		} else {
			gain, shift, err := p.affine(old, in, l.Site)
			if err != nil {
				return err
			}
			w, bias = read(p.recentring, c.Pool, w, bias, sides, gain, shift, d)
		}
		putRewritten(out, specs[i], w, m, bias, sides)
		done = append(done, func(leaf string) bool {
			return blockwise.OfLinear(leaf, l.Name) || blockwise.OfSide(leaf, l.Name) || leaf == l.BiasName()
		})
		if err := c.Step(i+1, len(specs)); err != nil {
			return err
		}
	}
	if p.Fold {
		for _, name := range []string{arch.InputNormName, arch.PostNormName} {
			putOnes(out, name, p.width(d))
			done = append(done, func(leaf string) bool { return leaf == name })
		}
		done = append(done, func(leaf string) bool { return leaf == arch.InputNormBiasName || leaf == arch.PostNormBiasName })
	}
	out.CopyExcept(in, func(leaf string) bool {
		for _, f := range done {
			if f(leaf) {
				return true
			}
		}
		return false
	})
	return c.Output("report").PutJSON("report", report)
})

// affine returns what is folded into the layers of a site: gain and bias of the
// norm before them.
func (r recentring) affine(cfg *arch.Config, in *artifact.Value, site string) (gain, bias []float32, err error) {
	if !r.Fold {
		return nil, nil, nil
	}
	k, _ := cfg.Coupling(site)
	if gain, err = in.Float32(k.Vectors[0]); err != nil || len(k.Vectors) == 1 {
		return gain, nil, err
	}
	bias, err = in.Float32(k.Vectors[1])
	return gain, bias, err
}

// read rewrites a layer that reads the stream, with the side paths beside it.
func read[T nn.Float](r recentring, p *linalg.Pool, w, bias []T, sides []nn.SideOf[T], gain, shift []T, d int) (to, sum []T) {
	to, add := reader(r, p, w, gain, shift, d)
	for i := range sides {
		s := &sides[i]
		var low []float64
		s.A, low = reader(r, p, s.A, gain, shift, d)
		for o := range add {
			for k, x := range low {
				add[o] += float64(float64(s.B[o*s.Rank+k]) * x)
			}
		}
	}
	sum = make([]T, len(bias))
	for o, b := range bias {
		sum[o] = T(float64(b) + add[o])
	}
	return to, sum
}

func putRewritten(out *artifact.Builder, l arch.LinearSpec, w []float32, m *mask.Mask, bias []float32, sides []nn.Side) {
	blockwise.PutDense(out, l.Name, l.Out, l.In, w, m)
	if l.Bias {
		out.PutFloat32(l.BiasName(), []int{l.Out}, bias)
	}
	for i, s := range sides {
		blockwise.PutSide(out, l.Name, i, s.Rank, append([]float32(nil), s.A...), s.B)
	}
}

func putOnes(out *artifact.Builder, name string, n int) {
	ones := make([]float32, n)
	for i := range ones {
		ones[i] = 1
	}
	out.PutFloat32(name, []int{n}, ones)
}

// recentreEmbed rewrites the embedding and the learned positions.
var recentreEmbed = action.NewKernel("transform.recentre.embed", 1, func(c *action.Context, p recentreParams) error {
	old, in, out := p.Geometry.Config(), c.Input("embed"), c.Output("embed")
	d, report := old.Hidden, map[string]map[string]float64{}
	tables := old.EmbedTensors()
	for i, t := range tables {
		x, err := in.Float32(t.Name)
		if err != nil {
			return err
		}
		most := 0.0
		for lo := 0; lo < len(x); lo += d {
			most = max(most, math.Abs(vmath.Sum(x[lo:lo+d])/float64(d)))
		}
		report[t.Name] = map[string]float64{"row_mean_before": most}
		out.PutFloat32(t.Name, []int{t.Shape[0], p.width(d)}, streamRows(p.recentring, c.Pool, x, d))
		if err := c.Step(i+1, len(tables)); err != nil {
			return err
		}
	}
	return c.Output("report").PutJSON("report", report)
})

// recentreHead gives the head what was folded out of the norm before it. A tied
// head is the embedding as it was, and becomes a table of its own.
var recentreHead = action.NewKernel("transform.recentre.head", 1, func(c *action.Context, p recentreParams) error {
	old, in, out := p.Geometry.Config(), c.Input("final"), c.Output("final")
	d, now := old.Hidden, p.config(old)
	from := in
	if old.Tied {
		from = c.Input("embed")
	}
	if !p.Fold {
		e, err := from.Entry(old.HeadName())
		if err != nil {
			return err
		}
		e.Name = now.HeadName()
		out.PutEntry(e)
		out.CopyExcept(in, func(leaf string) bool { return leaf == now.HeadName() })
		return nil
	}
	norm, head, err := blockwise.Head(c, p.Geometry)
	if err != nil {
		return err
	}
	bias, shift := head.Bias, []float32(nil)
	if bias == nil {
		bias = make([]float32, old.Vocab)
	}
	if old.NormBias {
		shift = norm[d:]
	}
	w, bias := read(p.recentring, c.Pool, head.W, bias, nil, norm[:d], shift, d)
	putOnes(out, now.FinalNormName(), now.Hidden)
	out.PutFloat32(now.HeadName(), []int{now.Vocab, now.Hidden}, w)
	if now.HeadBias {
		out.PutFloat32(arch.HeadBiasName, []int{now.Vocab}, bias)
	}
	return nil
})

// recentreConfig says the new norms and shapes in config.json.
var recentreConfig = action.NewKernel("transform.recentre.config", 1, func(c *action.Context, p recentring) error {
	return blockwise.PutConfig(c, p.config)
})

// lower adds the rewriting of m, whose result has type next.Type.
func (r recentring) lower(node string, g *action.Graph, m, next *passes.Model) (reports []passes.LayerReport) {
	old, now := m.Type.Config, next.Type.Config
	outer := recentreParams{blockwise.ModelGeometry(old), r}
	add := func(s action.Spec, output string) action.Ref {
		s.Node = node
		return action.Ref{Action: g.Add(s), Output: output}
	}
	table := func(c *arch.Config) int64 { return int64(c.Vocab) * int64(c.Hidden) * 4 }
	positions := int64(0)
	for _, t := range now.EmbedTensors() {
		positions += t.Elements() * 4
	}
	report := action.Output{Name: "report", Class: action.Durable, Bytes: 4096}
	next.Embed = add(action.Spec{Kernel: recentreEmbed, Params: outer, Label: "embedding",
		Inputs:  []action.Input{{Name: "embed", Ref: m.Embed}},
		Outputs: []action.Output{{Name: "embed", Class: action.Durable, Bytes: positions}, report},
		Flops:   float64(positions), Peak: 3 * positions}, "embed")
	reports = append(reports, passes.LayerReport{Block: passes.Outside, Ref: action.Ref{Action: next.Embed.Action, Output: "report"}})
	next.Blocks = nil
	for b, block := range m.Blocks {
		bytes := blockwise.BlockWeights(now.At(b)) * 4
		ref := add(action.Spec{Kernel: recentreBlock, Params: recentreParams{blockwise.BlockGeometry(old, b), r}, Label: fmt.Sprintf("block %d", b),
			Inputs:  []action.Input{{Name: "block", Ref: block}},
			Outputs: []action.Output{{Name: "block", Class: action.Durable, Bytes: bytes}, report},
			Flops:   float64(bytes), Peak: 3 * bytes}, "block")
		next.Blocks = append(next.Blocks, ref)
		reports = append(reports, passes.LayerReport{Block: b, Ref: action.Ref{Action: ref.Action, Output: "report"}})
	}
	next.Final = add(action.Spec{Kernel: recentreHead, Params: outer, Label: "head", Inputs: blockwise.HeadInputs(m),
		Outputs: []action.Output{{Name: "final", Class: action.Durable, Bytes: table(now)}},
		Flops:   float64(table(now)), Peak: 3 * table(old)}, "final")
	next.Config = add(action.Spec{Kernel: recentreConfig, Params: r, Label: "config", Inputs: []action.Input{{Name: "config", Ref: m.Config}},
		Outputs: []action.Output{{Name: "config", Class: action.Durable, Bytes: 4096}}, Flops: 1, Peak: 1 << 20}, "config")
	return reports
}
