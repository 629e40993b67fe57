package train

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/mask"
	"github.com/compressc/compressc/internal/nn"
)

var background = context.Background()

// copyState keeps a state beyond the next step.
func copyState(s State) State {
	c := State{Step: s.Step}
	for _, p := range s.Params {
		q := *p
		q.Data, q.Slots = slices.Clone(p.Data), nil
		for _, s := range p.Slots {
			q.Slots = append(q.Slots, SlotOf[float32]{s.Name, slices.Clone(s.Data)})
		}
		c.Params = append(c.Params, &q)
	}
	return c
}

func sameState(t *testing.T, what string, got, want State) {
	t.Helper()
	if got.Step != want.Step {
		t.Errorf("%s: step %d; expected %d", what, got.Step, want.Step)
	}
	for i, p := range want.Params {
		q := got.Params[i]
		if q.Name != p.Name || !sameBits(q.Data, p.Data) || !slices.EqualFunc(q.Slots, p.Slots, func(a, b SlotOf[float32]) bool { return a.Name == b.Name && sameBits(a.Data, b.Data) }) {
			t.Errorf("%s: %s has other bits than %s", what, q.Name, p.Name)
		}
	}
}

func start(t *testing.T, m *nn.Model, plan Plan, pool *linalg.Pool, memory int64) *Trainer {
	t.Helper()
	tr, err := New(m, plan, pool, Options{Optimizer: DefaultAdamW(), Memory: memory})
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// Every parameter of every parametrisation against central differences in
// float64, on a batch of two windows.
func TestGradientsMatchFiniteDifferences(t *testing.T) {
	for _, name := range []string{"llama", "qwen2"} {
		m, ids := tiny(t, name)
		pruned, masks := halved(t, m)
		batch := [][]int32{ids[:13], ids[20:30]}
		for _, kind := range kinds {
			t.Run(name+"/"+string(kind), func(t *testing.T) {
				plan := kindPlan(m.Config, kind, 3, masks)
				plan.Head = LinearPlan{Kind: LoRA, Rank: 2, Scale: 0.5}
				if kind == Full {
					plan.Embedding, plan.Head = true, LinearPlan{Kind: Full}
				}
				tr, err := New(widen(pruned), plan, nil, Options{Optimizer: DefaultAdamW()})
				if err != nil {
					t.Fatal(err)
				}
				seed := uint64(9)
				for _, p := range tr.params { // away from the start, where dA is 0
					for i, v := range noise(&seed, len(p.Data)) {
						p.Data[i] += 0.1 * v
					}
				}
				tr.version++
				loss, err := tr.Gradients(background, batch)
				if err != nil {
					t.Fatal(err)
				}
				f := func() float64 {
					tr.version++
					l, err := tr.Loss(background, batch)
					if err != nil {
						t.Fatal(err)
					}
					return l
				}
				if l := f(); math.Abs(l-loss) > 1e-12*loss {
					t.Errorf("loss %v with gradients, %v without", loss, l)
				}
				for _, p := range tr.params {
					v := noise(&seed, len(p.Data))
					if kind == Full { // what a mask drops is not trained
						for i, g := range p.grad {
							if g == 0 {
								v[i] = 0
							}
						}
					}
					const h = 1e-5
					old := slices.Clone(p.Data)
					at := func(s float64) float64 {
						for i := range old {
							p.Data[i] = old[i] + s*v[i]
						}
						return f()
					}
					want := (at(h) - at(-h)) / (2 * h)
					copy(p.Data, old)
					tr.version++
					var got float64
					for i, g := range p.grad {
						got += g * v[i]
					}
					if e := math.Abs(got-want) / max(math.Abs(want), 1e-3); !(e < 1e-6) {
						t.Errorf("%s: slope %.10g, differences say %.10g (off by %.2g)", p.Name, got, want, e)
					}
				}
			})
		}
	}
}

// Before the first step a trainer computes what the given model computes, to
// the bit.
func TestStartEqualsModel(t *testing.T) {
	for _, name := range []string{"llama", "llama_linear", "qwen3"} {
		m, ids := tiny(t, name)
		m, masks := halved(t, m)
		r := nn.NewRunner(m.Config, nil)
		x := make([]float32, len(ids)*m.Config.Hidden)
		r.Embed(m.Embed, ids, x)
		for _, b := range m.Blocks {
			r.Forward(b, x, len(ids), nil)
		}
		want := r.Logits(m.Norm, &m.Head, x, len(ids))
		for _, kind := range kinds {
			if kind.startsNear() {
				continue
			}
			for _, rank := range []int{1, 3, 4} {
				plan := kindPlan(m.Config, kind, rank, masks)
				plan.Head = LinearPlan{Kind: LoRA, Rank: rank, Scale: 2}
				tr := start(t, m, plan, nil, 0)
				x := tr.enter(ids)
				for i := range tr.blocks {
					tr.run.Forward(tr.block(i), x, len(ids), nil)
				}
				if got := tr.run.Logits(tr.norm, &tr.head, x, len(ids)); !sameBits(got, want) {
					t.Errorf("%s %s rank %d: logits differ from the model's", name, kind, rank)
				}
			}
		}
	}
}

// Threads, memory and cuts must not show in the result.
func TestRunIsDeterministic(t *testing.T) {
	m, ids := tiny(t, "llama")
	m, masks := halved(t, m)
	two, three := linalg.NewPool(2), linalg.NewPool(3)
	defer two.Close()
	defer three.Close()
	windows := func(s int) [][]int32 { return [][]int32{ids[s : s+20], ids[s+3 : s+17]} }
	rate := Schedule{Kind: "linear", Rate: 1e-2, Warmup: 3, Steps: 10}.At
	for _, kind := range kinds {
		plan := kindPlan(m.Config, kind, 3, masks)
		plan.Embedding = kind == Full
		whole := start(t, m, plan, nil, 0)
		losses, err := whole.Run(background, 0, 6, windows, rate)
		if err != nil {
			t.Fatal(err)
		}
		if !(losses[5] < losses[0]) {
			t.Errorf("%s: losses %v do not fall", kind, losses)
		}
		for _, c := range []struct {
			name   string
			pool   *linalg.Pool
			memory int64
			cut    int
		}{{"two threads", two, 0, 0}, {"three threads, all kept", three, 1 << 30, 0}, {"weights kept", two, 60_000, 0}, {"cut at 2", nil, 1 << 30, 2}, {"cut at 5", two, 0, 5}} {
			tr := start(t, m, plan, c.pool, c.memory)
			var got []float64
			if c.cut > 0 {
				if got, err = tr.Run(background, 0, c.cut, windows, rate); err != nil {
					t.Fatal(err)
				}
				saved := copyState(tr.State())
				tr = start(t, m, plan, c.pool, c.memory)
				if err := tr.Restore(saved); err != nil {
					t.Fatal(err)
				}
			}
			rest, err := tr.Run(background, c.cut, 6, windows, rate)
			if err != nil {
				t.Fatal(err)
			}
			if got = append(got, rest...); !slices.Equal(got, losses) {
				t.Errorf("%s, %s: losses %v; expected %v", kind, c.name, got, losses)
			}
			sameState(t, string(kind)+", "+c.name, tr.State(), whole.State())
		}
	}
}

// What Merged yields, put into the model, must compute what the trainer does;
// dropped weights must stay dropped, and the given model must be untouched.
func TestMerged(t *testing.T) {
	for _, name := range []string{"llama", "llama_linear"} {
		given, ids := tiny(t, name)
		given, masks := halved(t, given)
		before := widen(given)
		for _, kind := range kinds {
			plan := kindPlan(given.Config, kind, 2, masks)
			plan.Head = LinearPlan{Kind: LoRA, Rank: 2, Scale: 1}
			tr := start(t, given, plan, nil, 0)
			batch := [][]int32{ids}
			if _, err := tr.Run(background, 0, 5, func(int) [][]int32 { return batch }, func(int) float64 { return 1e-2 }); err != nil {
				t.Fatal(err)
			}
			tensors := map[string][]float32{}
			err := tr.Merged(func(name string, shape []int, data []float32) error {
				n := 1
				for _, d := range shape {
					n *= d
				}
				if n != len(data) || tensors[name] != nil {
					t.Errorf("%s: shape %v, %d values, yielded before: %v", name, shape, len(data), tensors[name] != nil)
				}
				tensors[name] = slices.Clone(data)
				clear(data) // it is ours
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if tensors["lm_head.weight"] == nil || tensors[given.Config.EmbedName()] != nil {
				t.Errorf("%s: a low-rank head must change lm_head.weight and not the embedding", kind)
			}
			untied := *given.Config
			untied.Tied, untied.Adapters = false, plan.Adapters
			m, err := nn.LoadModel(&untied, func(name string) ([]float32, error) {
				if v, ok := tensors[name]; ok {
					return v, nil
				}
				return givenTensor(t, given, name), nil
			})
			if err != nil {
				t.Fatal(err)
			}
			for i, b := range m.Blocks {
				for j, l := range b.Linears() {
					if kind == LoRA {
						continue
					}
					for p, v := range l.W {
						if !masks(i, j).Keep(p/l.In, p%l.In) && math.Float32bits(v) != 0 {
							t.Fatalf("%s: block %d, linear %d: dropped weight %d became %v", kind, i, j, p, v)
						}
					}
					if w := tr.MergedLinear(i, j); !sameBits(w, l.W) {
						t.Errorf("%s: MergedLinear and Merged differ", kind)
					}
				}
			}
			r := nn.NewRunner(&untied, nil)
			x := make([]float32, len(ids)*untied.Hidden)
			r.Embed(m.Embed, ids, x)
			for _, b := range m.Blocks {
				r.Forward(b, x, len(ids), nil)
			}
			var loss float64
			for _, v := range r.NLL(m.Norm, &m.Head, x, len(ids), append(slices.Clone(ids[1:]), -1)) {
				loss += v / float64(len(ids)-1)
			}
			want, err := tr.Loss(background, batch)
			if err != nil {
				t.Fatal(err)
			}
			if e := math.Abs(loss - want); kind != LoRAPrune && e > 1e-5*want {
				t.Errorf("%s %s: merged loss %v, trained loss %v", name, kind, loss, want)
			}
		}
		for i, b := range widen(given).Blocks {
			for j, l := range b.Linears() {
				if !slices.Equal(l.W, before.Blocks[i].Linears()[j].W) {
					t.Errorf("block %d, linear %d of the given model changed", i, j)
				}
			}
		}
	}
}

// givenTensor finds a tensor of a model by its checkpoint name.
func givenTensor(t *testing.T, m *nn.Model, name string) []float32 {
	c := m.Config
	switch name {
	case c.EmbedName():
		return m.Embed
	case c.FinalNormName():
		return m.Norm
	case "lm_head.weight":
		return m.Head.W
	}
	for i, b := range m.Blocks {
		rest, ok := strings.CutPrefix(name, c.BlockPrefix(i))
		if !ok {
			continue
		}
		switch rest {
		case arch.InputNormName:
			return b.InputNorm
		case arch.PostNormName:
			return b.PostNorm
		}
		for j, l := range c.Linears() {
			switch rest {
			case l.Weight():
				return b.Linears()[j].W
			case l.BiasName():
				return b.Linears()[j].Bias
			}
		}
	}
	t.Fatalf("no tensor %s", name)
	return nil
}

// Where embedding and head are one, their gradients are summed, and both move.
func TestTiedEmbeddingIsOneParameter(t *testing.T) {
	m, ids := tiny(t, "qwen2")
	for _, plan := range []Plan{{Embedding: true}, {Head: LinearPlan{Kind: Full}}} {
		tr := start(t, m, plan, nil, 0)
		if n := len(tr.State().Params); n != 1 || tr.State().Params[0].Name != m.Config.EmbedName() {
			t.Fatalf("%d parameters; expected the embedding alone", n)
		}
		if _, err := tr.Run(background, 0, 2, func(int) [][]int32 { return [][]int32{ids} }, func(int) float64 { return 1e-2 }); err != nil {
			t.Fatal(err)
		}
		if &tr.head.W[0] != &tr.embed[0] {
			t.Error("head and embedding are two tensors")
		}
	}
}

// Training the norms or the head alone must not run the backward pass further
// down than needed, nor miss anything.
func TestLowestBlock(t *testing.T) {
	m, ids := tiny(t, "llama")
	last := func(i int, l arch.LinearSpec) LinearPlan {
		if i == 1 && l.Role == "mlp.down" {
			return LinearPlan{Kind: LoRA, Rank: 2, Scale: 1}
		}
		return LinearPlan{}
	}
	for _, c := range []struct {
		plan   Plan
		lowest int
	}{
		{Plan{Head: LinearPlan{Kind: LoRA, Rank: 2, Scale: 1}}, 2},
		{Plan{Linear: last}, 1},
		{Plan{Norms: true}, 0},
		{Plan{Embedding: true}, 0},
	} {
		tr := start(t, m, c.plan, nil, 0)
		if tr.lowest != c.lowest {
			t.Errorf("gradients go down to block %d; expected %d", tr.lowest, c.lowest)
		}
		got, err := tr.Run(background, 0, 8, func(int) [][]int32 { return [][]int32{ids} }, func(int) float64 { return 1e-2 })
		if err != nil {
			t.Fatal(err)
		}
		if !(got[7] < got[0]) {
			t.Errorf("losses %v do not fall", got)
		}
	}
}

func TestDiverged(t *testing.T) {
	m, ids := tiny(t, "llama")
	m, masks := halved(t, m)
	tr := start(t, m, kindPlan(m.Config, MaskLoRA, 2, masks), nil, 0)
	windows := func(int) [][]int32 { return [][]int32{ids} }
	if _, err := tr.Run(background, 0, 2, windows, func(int) float64 { return 1e-3 }); err != nil {
		t.Fatal(err)
	}
	tr.params[0].Data[0] = float32(math.Inf(1))
	tr.version++
	before := copyState(tr.State())
	losses, err := tr.Run(background, 2, 5, windows, func(int) float64 { return 1e-3 })
	var d *DivergedError
	if !errors.As(err, &d) || d.Step != 2 || len(losses) != 0 {
		t.Fatalf("losses %v, error %v; expected a DivergedError at step 2", losses, err)
	}
	sameState(t, "after the error", tr.State(), before)
}

func TestCancelled(t *testing.T) {
	m, ids := tiny(t, "llama")
	tr := start(t, m, Plan{Norms: true}, nil, 0)
	ctx, cancel := context.WithCancel(background)
	losses, err := tr.Run(ctx, 0, 10, func(s int) [][]int32 {
		if s == 3 {
			cancel()
		}
		return [][]int32{ids}
	}, func(int) float64 { return 1e-3 })
	if !errors.Is(err, context.Canceled) || len(losses) != 3 || tr.State().Step != 3 {
		t.Errorf("%d losses, step %d, error %v; expected 3 steps and a cancellation", len(losses), tr.State().Step, err)
	}
}

func TestErrors(t *testing.T) {
	m, ids := tiny(t, "llama")
	one := func(p LinearPlan) Plan {
		return Plan{Linear: func(i int, l arch.LinearSpec) LinearPlan {
			if i == 1 && l.Role == "attn.k" {
				return p
			}
			return LinearPlan{}
		}}
	}
	for _, c := range []struct {
		plan Plan
		want string
	}{
		{Plan{}, "trains nothing"},
		{one(LinearPlan{Kind: "magic", Rank: 1, Scale: 1}), "unknown parametrisation"},
		{one(LinearPlan{Kind: LoRA, Rank: 13, Scale: 1}), "layers.1.self_attn.k_proj: rank is 13; expected 1 to 12"},
		{one(LinearPlan{Kind: LoRA, Rank: 2}), "scale is 0"},
		{one(LinearPlan{Kind: MaskLoRA, Rank: 2, Scale: 1}), "mask_lora needs a mask"},
		{one(LinearPlan{Kind: MaskLoRA, Rank: 2, Scale: 1, Mask: mask.New(3, 4)}), "mask is [3, 4]; expected [12, 24]"},
		{one(LinearPlan{Kind: ScaleLoRA, Rank: 2, Scale: 1}), "scale_lora has no scale"},
		{Plan{Head: LinearPlan{Kind: MaskLoRA, Rank: 1, Scale: 1}}, "lm_head: mask_lora is not possible"},
		{Plan{Norms: true, Init: "random"}, "unknown init"},
	} {
		_, err := New(m, c.plan, nil, Options{})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v; expected one about %q", err, c.want)
		}
	}
	tr := start(t, m, Plan{Norms: true}, nil, 0)
	for _, batch := range [][][]int32{{}, {{1}}, {ids, {1, 48}}, {{-1, 3}}} {
		if _, err := tr.Gradients(background, batch); err == nil {
			t.Errorf("a batch of %v is accepted", batch)
		}
	}
	if _, err := tr.Run(background, 3, 4, nil, nil); err == nil {
		t.Error("a run that skips steps is accepted")
	}
	s := copyState(tr.State())
	s.Params[0].Name = "other"
	if err := tr.Restore(s); err == nil {
		t.Error("a state of another plan is accepted")
	}
}

// TestFrozenBits fails when the state after a few steps changes, on any machine,
// kernel path or compiler setting: see the test of that name in package nn.
func TestFrozenBits(t *testing.T) {
	m, ids := tiny(t, "llama")
	m, masks := halved(t, m)
	for kind, want := range map[Kind]uint64{
		Full:      0xde4dff8d55c3e00f,
		LoRA:      0xc7adc5bbc79a4bff,
		MaskLoRA:  0x2cb89a75f8a66d0d,
		ScaleLoRA: 0x668f71e3c0b37992,
	} {
		tr := start(t, m, kindPlan(m.Config, kind, 3, masks), nil, 0)
		o := DefaultAdamW()
		o.WeightDecay = 0.01
		tr.opt = o
		_, err := tr.Run(background, 0, 4, func(s int) [][]int32 { return [][]int32{ids[s : s+20]} }, Schedule{Kind: "cosine", Rate: 1e-2, Warmup: 2, Steps: 9}.At)
		if err != nil {
			t.Fatal(err)
		}
		h := fnv.New64a()
		for _, p := range tr.State().Params {
			for _, x := range [][]float32{p.Data, p.Slots[0].Data, p.Slots[1].Data} {
				var b [4]byte
				for _, v := range x {
					binary.LittleEndian.PutUint32(b[:], math.Float32bits(v))
					h.Write(b[:])
				}
			}
		}
		if got := h.Sum64(); got != want {
			t.Errorf("%s: hash of results is %#x, was %#x", kind, got, want)
		}
	}
}
