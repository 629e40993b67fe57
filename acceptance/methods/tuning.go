package main

import (
	"fmt"
	"math"

	"github.com/compressc/compressc/acceptance"
	"github.com/compressc/compressc/internal/record"
)

// tuned is one row of a table of short trainings.
type tuned struct {
	name, title string
	point       string // of the sweep, if there is one
	// trained counts the numbers that were trained.
	trained int
	// loss is the mean of the last ten steps.
	loss, perplexity float64
}

// tuning runs the claim's pipeline and writes the table of its trainings, which all
// begin with prune.half and take the same steps, after the given row.
func (m *measurement) tuning(rec *record.Record, rows []tuned) (map[string]tuned, float64, error) {
	start, err := perplexity(rec, "half", "")
	if err != nil {
		return nil, 0, err
	}
	out := map[string]tuned{}
	m.Printf("From Wanda at 50 %%, a window of 256 tokens a step; the mask stays. *Loss* is the mean of the last ten steps. Before training the perplexity is %.4f.\n\n| | trained numbers | steps | seconds a step | loss | perplexity |\n|---|---|---|---|---|---|\n", start)
	for _, r := range rows {
		if r.perplexity, err = perplexity(rec, r.name, r.point); err != nil {
			return nil, 0, err
		}
		n := acceptance.FindNode(rec, "retrain."+r.name, r.point)
		if n == nil || len(n.Losses) < 10 {
			return nil, 0, fmt.Errorf("the run has no losses of retrain.%s", r.name)
		}
		for _, l := range n.Losses[len(n.Losses)-10:] {
			r.loss += l / 10
		}
		seconds := "from the cache"
		if n.Actions.Run > 0 && n.Actions.Cached == 0 {
			seconds = fmt.Sprintf("%.2f", n.Seconds/float64(len(n.Losses)))
		}
		m.Printf("| %s | %d | %d | %s | %.4f | %.4f |\n", r.title, r.trained, len(n.Losses), seconds, r.loss, r.perplexity)
		out[r.name+r.point] = r
	}
	m.Printf("\n")
	return out, start, nil
}

// linears of a decoder block of the reference model, [out, in].
var linears = map[string][2]int{"q": {576, 576}, "k": {192, 576}, "v": {192, 576}, "o": {576, 576}, "gate": {1536, 576}, "up": {1536, 576}, "down": {576, 1536}}

// counted sums what is trained of each linear over the blocks, or over one where
// the measurement is small.
func (m *measurement) counted(of func(name string, out, in int) int) (n int) {
	for name, s := range linears {
		n += of(name, s[0], s[1])
	}
	if m.Small {
		return n
	}
	return n * blocks
}

// blocks of the reference model.
const blocks = 30

// adalora measures AdaLoRA beside LoRA of as many directions at the end.
func adalora(m *measurement) error {
	rec, err := m.run(nil)
	if err != nil {
		return err
	}
	rows, _, err := m.tuning(rec, []tuned{
		{name: "lora", title: "LoRA, rank 8", trained: m.counted(func(_ string, out, in int) int { return 8 * (out + in) })},
		{name: "adalora", title: "AdaLoRA, rank 12 to 8 on average", trained: m.counted(func(_ string, out, in int) int { return 12 * (out + in + 1) })},
	})
	if err != nil {
		return err
	}
	n := acceptance.FindNode(rec, "retrain.adalora", "")
	none, most := 0, 0.0
	for _, numbers := range n.Layers {
		if numbers["rank"] == 0 {
			none++
		}
		most = max(most, numbers["rank"])
	}
	a, l := rows["adalora"], rows["lora"]
	m.Printf("- AdaLoRA's perplexity is at most 1.01 times LoRA's: %.4f of it: %s\n", a.perplexity/l.perplexity, m.Agreement("adalora no worse than lora", a.perplexity <= 1.01*l.perplexity, false))
	m.Printf("- Ranks of its %d updates go from 0 to %.0f; %d have none: %s\n", len(n.Layers), most, none, m.Agreement("updates of rank 0 exist", none > 0, false))
	return nil
}

// bone measures both variants of Bone beside LoRA of about as many numbers.
func bone(m *measurement) error {
	rec, err := m.run(nil)
	if err != nil {
		return err
	}
	of := m.counted(func(_ string, out, _ int) int { return 16 * out })
	var list []tuned
	for _, rate := range []string{"0.0005", "0.001", "0.002"} {
		list = append(list,
			tuned{name: "lora", point: "rate=" + rate, title: "LoRA, rank 8, rate " + rate, trained: m.counted(func(_ string, out, in int) int { return 8 * (out + in) })},
			tuned{name: "affine", point: "rate=" + rate, title: "Bone, affine, blocks of 16, rate " + rate, trained: of})
	}
	rows, _, err := m.tuning(rec, append(list, tuned{name: "additive", title: "Bone, additive, blocks of 16, rate 0.001", trained: of}))
	if err != nil {
		return err
	}
	// The best of the rates, by perplexity.
	best := map[string]tuned{}
	for _, l := range list {
		r := rows[l.name+l.point]
		if b, ok := best[l.name]; !ok || r.perplexity < b.perplexity {
			best[l.name] = r
		}
	}
	m.Printf("- At the best rate of each, affine Bone's loss is at most LoRA's: %s\n", m.Agreement("bone's loss", best["affine"].loss <= best["lora"].loss, false))
	m.Printf("- Its perplexity is at most 1.01 times LoRA's: %.4f of it: %s\n", best["affine"].perplexity/best["lora"].perplexity,
		m.Agreement("bone's perplexity", best["affine"].perplexity <= 1.01*best["lora"].perplexity, false))
	return nil
}

// compacter measures Compacter's products beside LoRA of many more numbers.
func compacter(m *measurement) error {
	rec, err := m.run(nil)
	if err != nil {
		return err
	}
	const order = 4
	few := 0
	for _, s := range [][2]int{linears["o"], linears["down"]} {
		few += blocks * (s[0] + s[1])
	}
	rows, start, err := m.tuning(rec, []tuned{
		{name: "lora4", title: "LoRA, rank 4", trained: m.counted(func(_ string, out, in int) int { return 4 * (out + in) })},
		{name: "all", title: "Compacter, all linears", trained: order*order*order + m.counted(func(_ string, out, in int) int { return out + in })},
		{name: "few", title: "Compacter, o and down", trained: order*order*order + few},
	})
	if err != nil {
		return err
	}
	l := rows["lora4"]
	// The loss on the test text is the logarithm of the perplexity.
	share := func(name string) float64 {
		return math.Log(start/rows[name].perplexity) / math.Log(start/l.perplexity)
	}
	for _, name := range []string{"all", "few"} {
		m.Printf("- %s, of %.1f times fewer numbers, lowers the loss on the test text by %.2f of what LoRA does", rows[name].title, float64(l.trained)/float64(rows[name].trained), share(name))
		if name == "few" {
			m.Printf(", of at least half: %s", m.Agreement("compacter's share of LoRA's gain", share(name) >= 0.5, false))
		}
		m.Printf("\n")
	}
	return nil
}
