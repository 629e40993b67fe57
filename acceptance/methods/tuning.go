package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"

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
// begin with prune.half. It returns the rows with what they
// came to, and the perplexity before training.
func (m *measurement) tuning(rec *record.Record, rows []tuned) ([]tuned, float64, error) {
	start, err := perplexity(rec, "half", "")
	if err != nil {
		return nil, 0, err
	}
	var out []tuned
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
		out = append(out, r)
	}
	m.Printf("\n")
	return out, start, nil
}

// atRates is a row for each learning rate of a sweep.
func atRates(row tuned, rates ...string) (rows []tuned) {
	title := row.title
	for _, rate := range rates {
		row.point, row.title = "rate="+rate, title+", rate "+rate
		rows = append(rows, row)
	}
	return rows
}

// best is the row of least perplexity among those of one name.
func best(rows []tuned, name string) (b tuned) {
	for _, r := range rows {
		if r.name == name && (b.name == "" || r.perplexity < b.perplexity) {
			b = r
		}
	}
	return b
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
	triplets := func(rank int) int { return m.counted(func(_ string, out, in int) int { return rank * (out + in + 1) }) }
	list := slices.Concat(
		atRates(tuned{name: "lora", title: "LoRA, rank 8", trained: m.counted(func(_ string, out, in int) int { return 8 * (out + in) })}, "0.001", "0.002"),
		atRates(tuned{name: "adalora", title: "AdaLoRA, rank 12 to 8 on average", trained: triplets(12)}, "0.003", "0.005", "0.007", "0.01"),
		[]tuned{{name: "near", title: "AdaLoRA, rank 10 to 8 on average, rate 0.006", trained: triplets(10)},
			{name: "few", title: "AdaLoRA, rank 3 to 1 on average, rate 0.005", trained: triplets(3)}})
	rows, _, err := m.tuning(rec, list)
	if err != nil {
		return err
	}
	a, l := best(rows, "adalora"), best(rows, "lora")
	reached := min(a.perplexity, best(rows, "near").perplexity)
	m.Printf("- AdaLoRA's least perplexity is at most 1.01 times LoRA's at its best rate: %.4f of it: %s; at rate 0.001: %.4f\n", reached/l.perplexity, m.Agreement("adalora no worse than lora", reached <= 1.01*l.perplexity, false), reached/rows[0].perplexity)
	none := 0
	for _, r := range []struct{ name, point, of string }{{"retrain.adalora", a.point, "12 to 8"}, {"retrain.few", "", "3 to 1"}} {
		n := acceptance.FindNode(rec, r.name, r.point)
		zero, least, most := 0, math.Inf(1), 0.0
		for _, numbers := range n.Layers {
			if numbers["rank"] == 0 {
				zero++
			}
			least, most = min(least, numbers["rank"]), max(most, numbers["rank"])
		}
		none += zero
		m.Printf("- From rank %s on average, ranks of the %d updates go from %.0f to %.0f; %d have none\n", r.of, len(n.Layers), least, most, zero)
	}
	m.Printf("- Updates of rank 0 exist: %s\n", m.Agreement("updates of rank 0 exist", none > 0, true))
	return nil
}

// bone measures both variants of Bone beside LoRA of about as many numbers.
func bone(m *measurement) error {
	rec, err := m.run(nil)
	if err != nil {
		return err
	}
	of := m.counted(func(_ string, out, _ int) int { return 16 * out })
	list := slices.Concat(
		atRates(tuned{name: "lora", title: "LoRA, rank 8", trained: m.counted(func(_ string, out, in int) int { return 8 * (out + in) })}, "0.001", "0.002", "0.004"),
		atRates(tuned{name: "affine", title: "Bone, affine, blocks of 16", trained: of}, "0.0005", "0.001", "0.002"),
		[]tuned{{name: "additive", title: "Bone, additive, blocks of 16, rate 0.001", trained: of}})
	rows, _, err := m.tuning(rec, list)
	if err != nil {
		return err
	}
	a, l := best(rows, "affine"), best(rows, "lora")
	m.Printf("- At the best rate of each, affine Bone's loss is at most LoRA's: %s\n", m.Agreement("bone's loss", a.loss <= l.loss, false))
	quick := func(name string) tuned {
		return slices.MinFunc(slices.DeleteFunc(slices.Clone(rows), func(r tuned) bool { return r.name != name }), func(a, b tuned) int { return cmp.Compare(a.loss, b.loss) })
	}
	qa, ql := quick("affine"), quick("lora")
	m.Printf("- At the rate of least loss, whatever the perplexity, %.4f is at most LoRA's %.4f: %s (of perplexity %.4f and %.4f)\n", qa.loss, ql.loss, m.Agreement("bone's least loss", qa.loss <= ql.loss, true), qa.perplexity, ql.perplexity)
	m.Printf("- Its perplexity is at most 1.01 times LoRA's: %.4f of it: %s\n", a.perplexity/l.perplexity,
		m.Agreement("bone's perplexity", a.perplexity <= 1.01*l.perplexity, false))
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
	list := slices.Concat(
		[]tuned{{name: "lora4", title: "LoRA, rank 4, rate 0.001", trained: m.counted(func(_ string, out, in int) int { return 4 * (out + in) })}},
		atRates(tuned{name: "few", title: "Compacter, o and down", trained: order*order*order + few}, "0.01", "0.03"),
		[]tuned{{name: "beside", title: "Compacter, adapters of width 16 behind attention and MLP, and the norms, rate 0.003", trained: order*order*order + 2*blocks*1776 + (2*blocks+1)*576}})
	rows, start, err := m.tuning(rec, list)
	if err != nil {
		return err
	}
	l := best(rows, "lora4")
	for _, name := range []string{"few", "beside"} {
		c := best(rows, name)
		// The loss on the test text is the logarithm of the perplexity.
		share := math.Log(start/c.perplexity) / math.Log(start/l.perplexity)
		m.Printf("- %s, of %.1f times fewer numbers, lowers the loss on the test text by %.2f of what LoRA does, of at least half: %s\n",
			c.title, float64(l.trained)/float64(c.trained), share, m.Agreement("share of LoRA's gain of "+c.name, share >= 0.5, false))
	}
	return nil
}
