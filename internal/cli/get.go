package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/compressc/compressc/executor"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/format/safetensors"
	"github.com/compressc/compressc/internal/tensor"
	"github.com/compressc/compressc/internal/version"
	"github.com/compressc/compressc/lang"
	"github.com/compressc/compressc/planner"
)

func (a *app) getCmd() *cobra.Command {
	var in inputs
	var res resources
	var out string
	c := &cobra.Command{
		Use: "get [flags] ADDRESS [PIPELINE]", Short: "Take out what a block yields",
		Long: `Writes what one block yields at one point, and computes it first where it is not in
the cache: a model, an adapter or data as a safetensors file, an evaluation or an
output as JSON. Of a select it is the winner. The adapter that a retraining has made
is the address of the model with .adapter behind it.

Tensors have their Hugging Face names. A pruned layer has NAME.mask beside
NAME.weight, a quantised one NAME.codes, NAME.scales and NAME.zeros in its place,
side paths are NAME.side0.A and .B, an adapter's factors NAME.lora_A and .lora_B;
documents such as config.json are in the
file's metadata. For files that other programs read, use an export.`,
		Example: "  compressc get prune.sparse -o sparse.safetensors\n  compressc get select.best -o best.safetensors\n  compressc get retrain.healed.adapter -o adapter.safetensors\n  compressc get 'evaluate.ppl[rank.rank=16]' | jq .perplexity",
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			mem, err := res.check()
			if err != nil {
				return err
			}
			return a.get(c.Context(), getting{addr: args[0], path: pipelineArg(args[1:]), out: out, in: &in,
				executor: executor.Options{Threads: res.threads, Memory: mem, Producer: "compressc " + version.Number}})
		},
	}
	in.flags(c)
	res.flags(c)
	c.Flags().StringVarP(&out, "output", "o", "", "the `FILE` to write; JSON goes to standard output without it")
	return c
}

// adapterSuffix is what follows the address of a model for its adapter alone.
const adapterSuffix = ".adapter"

// getting is one get: what is taken out, and where it goes.
type getting struct {
	addr, path, out string
	in              *inputs
	executor        executor.Options
}

func (a *app) get(ctx context.Context, q getting) error {
	winner, err := a.takeOut(ctx, q)
	if err != nil || winner == "" {
		return err
	}
	// It is in the cache now. Only the winner's bytes are read, which is why this is
	// a run of its own.
	q.addr = winner
	_, err = a.takeOut(ctx, q)
	return err
}

// takeOut writes what an address yields. Of a select it writes nothing and returns
// the winner's address.
func (a *app) takeOut(ctx context.Context, q getting) (winner string, err error) {
	l, err := a.ready(q.path, q.in, false)
	if err != nil {
		return "", err
	}
	addr, adapter := q.addr, false
	nodes, err := l.expansion.Find(addr)
	if model, ok := strings.CutSuffix(addr, adapterSuffix); ok && err != nil {
		adapter = true
		addr = model
		nodes, err = l.expansion.Find(addr)
	}
	if err != nil {
		return "", err
	}
	node := nodes[0]
	kind := node.Block.Kind
	tensors := node.Block.Yields() == lang.YieldsModel || node.Block.Yields() == lang.YieldsData || node.Block.Yields() == lang.YieldsAdapter
	switch {
	case kind == lang.KindGate || node.Result.Export != nil:
		return "", fmt.Errorf("%s yields nothing to take out; models, data, adapters, evaluations and outputs do", addr)
	case tensors && q.out == "":
		return "", fmt.Errorf("%s is tensors: name a file for them with -o FILE.safetensors", q.addr)
	}
	// Nodes that differ in choices of selects share an address, and one of them at
	// most is made.
	if other := slices.ContainsFunc(nodes, func(n *planner.Node) bool { return n.Addr() != node.Addr() }); other && (kind != lang.KindOutput || nodes[len(nodes)-1].Block != node.Block) {
		var ids []string
		for _, n := range nodes[:min(len(nodes), 8)] {
			ids = append(ids, n.ID())
		}
		return "", fmt.Errorf("%s stands for %d nodes; name one of them: %s", addr, len(nodes), strings.Join(ids, " "))
	}
	if err := l.expansion.Cut([]string{addr}, nil); err != nil {
		return "", err
	}
	store, err := a.openStore()
	if err != nil {
		return "", err
	}
	defer store.Close()
	plan, err := planner.Build(l.expansion, l.resolver, store)
	if err != nil {
		return "", err
	}
	if adapter && kind != lang.KindSelect {
		for _, n := range nodes {
			if err := plan.WantAdapter(n); err != nil {
				return "", err
			}
		}
	}
	var document []byte
	wrote := false
	inner, stop, release := interrupts(ctx, func(text string) { fmt.Fprintln(a.Err, text) })
	defer release()
	q.executor.Store = store
	rec, err := plan.Run(inner, planner.RunOptions{Name: pipelineName(q.path), Version: version.Number, Stop: stop, Executor: q.executor,
		Collect: func(ctx context.Context, s *planner.Step, value planner.Reader) error {
			if !slices.Contains(nodes, s.Node) {
				return nil
			}
			wrote = true
			if tensors {
				return writeTensors(ctx, q.out, s, value)
			}
			v, release, err := value(ctx, s.Node.Result.Report.Ref)
			if err != nil {
				return err
			}
			defer release()
			document, err = v.Bytes("report")
			document = bytes.Clone(document)
			return err
		}})
	if err != nil {
		return "", err
	}
	if err := a.showFailures(rec); err != nil {
		return "", err
	}
	if kind == lang.KindOutput {
		for _, o := range rec.Outputs {
			if document, err = json.Marshal(o.Output); err != nil {
				return "", err
			}
			wrote = true
		}
	}
	if err := exitOf(rec); err != nil {
		return "", err
	}
	if kind == lang.KindSelect {
		for _, s := range rec.Selections {
			if s.Name != node.Block.Addr() || s.Winner == "" {
				continue
			}
			fmt.Fprintf(a.Err, "%s is %s.\n", addr, s.Winner)
			if adapter {
				return s.Winner + adapterSuffix, nil
			}
			return s.Winner, nil
		}
		return "", fmt.Errorf("%s has no winner: none of its candidates was made", addr)
	}
	if !wrote {
		return "", fmt.Errorf("%s has no result: a gate before it did not pass", addr)
	}
	if tensors {
		return "", nil
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, document, "", "  "); err != nil {
		return "", fmt.Errorf("%s is no JSON: %w", addr, err)
	}
	pretty.WriteByte('\n')
	if q.out == "" {
		_, err := a.Out.Write(pretty.Bytes())
		return "", err
	}
	return "", replaceFile(q.out, func(w io.Writer) error {
		_, err := w.Write(pretty.Bytes())
		return err
	})
}

// writeTensors writes all leaves of a model, or of data, to one file.
func writeTensors(ctx context.Context, out string, s *planner.Step, value planner.Reader) error {
	var list []safetensors.WriteTensor
	metadata := map[string]string{"format": "pt", "compressc": s.Node.Addr()}
	seen := map[string]bool{}
	for _, part := range s.Parts() {
		v, release, err := value(ctx, part.Ref)
		if err != nil {
			return err
		}
		defer release()
		for _, e := range v.Tree.Entries {
			name := part.Prefix + e.Name
			if seen[name] {
				continue
			}
			seen[name] = true
			if e.Meta.DType == "" {
				text, err := v.Bytes(e.Name)
				if err != nil {
					return err
				}
				metadata[name] = string(text)
				continue
			}
			list = append(list, plainTensor(name, e, v))
		}
	}
	return replaceFile(out, func(w io.Writer) error { return safetensors.Write(w, list, metadata) })
}

// plainTensor is a leaf as safetensors holds it: block encodings of GGUF are
// decoded, for other readers know them not.
func plainTensor(name string, e artifact.Entry, v *artifact.Value) safetensors.WriteTensor {
	t := safetensors.WriteTensor{Name: name, Meta: tensor.Meta{DType: e.Meta.DType, Shape: e.Meta.Shape}}
	if e.Meta.Encoding == "" && e.Meta.RotaryHeadDim == 0 {
		t.Data = func() ([]byte, error) { return v.Bytes(e.Name) }
		return t
	}
	t.Meta.DType = tensor.F32
	t.Data = func() ([]byte, error) {
		x, err := v.Float32(e.Name)
		return artifact.AsBytes(x), err
	}
	return t
}

// replaceFile writes a file under a temporary name and gives it its own once it
// is whole.
func replaceFile(path string, write func(io.Writer) error) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fmt.Errorf("the folder for %s cannot be made: %w", path, err)
	}
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*.tmp")
	if err != nil {
		return fmt.Errorf("%s cannot be written: %w", path, err)
	}
	err = write(f)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // the first error is the one to tell
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}
