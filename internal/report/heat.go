package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/compressc/compressc/internal/record"
	"github.com/compressc/compressc/internal/spell"
)

// heat is one number of every linear layer of a node: a row a module, a column
// a decoder block.
type heat struct {
	Address string
	Number  string
	Low     string
	High    string
	Blocks  []int
	Rows    []heatRow
}

type heatRow struct {
	Module string
	Cells  []heatCell
}

type heatCell struct {
	// Color is "" where there is no such layer.
	Color string
	Title string
}

// shown are the numbers worth a map: how far the layer's output on its
// calibration inputs is from what it was.
var shown = []string{"relative_output_error"}

// heats makes the maps of all nodes. The colours of nodes with the same number
// share one logarithmic scale, so that maps can be compared.
func heats(rec *record.Record) []heat {
	var out []heat
	for _, number := range shown {
		low, high := math.Inf(1), math.Inf(-1)
		for _, n := range rec.Nodes {
			for _, l := range n.Layers {
				if x, ok := l[number]; ok && x > 0 && !math.IsInf(x, 0) {
					low, high = min(low, x), max(high, x)
				}
			}
		}
		if math.IsInf(low, 0) {
			continue
		}
		for _, n := range rec.Nodes {
			if h, ok := heatOf(n, number, low, high); ok {
				out = append(out, h)
			}
		}
	}
	return out
}

// heatOf makes one node's map; ok is false if the node has no such number.
func heatOf(n record.Node, number string, low, high float64) (_ heat, ok bool) {
	h := heat{Address: spell.Address(n.Name, n.Point), Number: strings.ReplaceAll(number, "_", " "),
		Low: strconv.FormatFloat(low, 'g', 3, 64), High: strconv.FormatFloat(high, 'g', 3, 64)}
	values := map[string]map[int]float64{}
	var modules []string
	for path, l := range n.Layers {
		x, has := l[number]
		block, module, inBlock := cutPath(path)
		if !has || !inBlock {
			continue
		}
		if values[module] == nil {
			values[module] = map[int]float64{}
			modules = append(modules, module)
		}
		values[module][block] = x
		if !slices.Contains(h.Blocks, block) {
			h.Blocks = append(h.Blocks, block)
		}
	}
	if len(modules) == 0 {
		return heat{}, false
	}
	slices.Sort(h.Blocks)
	slices.SortFunc(modules, func(x, y string) int { return compareModules(x, y) })
	for _, m := range modules {
		r := heatRow{Module: m}
		for _, b := range h.Blocks {
			c := heatCell{}
			if x, has := values[m][b]; has {
				c = heatCell{Color: heatColor(x, low, high), Title: fmt.Sprintf("block %d, %s: %.4g", b, m, x)}
			}
			r.Cells = append(r.Cells, c)
		}
		h.Rows = append(h.Rows, r)
	}
	return h, true
}

// cutPath cuts "model.layers.3.mlp.up_proj" into its block and module.
func cutPath(path string) (block int, module string, ok bool) {
	parts := strings.Split(path, ".")
	for i, p := range parts {
		if n, err := strconv.Atoi(p); err == nil && i+1 < len(parts) {
			return n, strings.Join(parts[i+1:], "."), true
		}
	}
	return 0, "", false
}

// compareModules puts attention before the MLP, as they stand in a block, and
// the rest by name.
func compareModules(x, y string) int {
	rank := func(m string) int {
		order := []string{"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
		if i := slices.IndexFunc(order, func(s string) bool { return strings.HasSuffix(m, s) }); i >= 0 {
			return i
		}
		return len(order)
	}
	if d := rank(x) - rank(y); d != 0 {
		return d
	}
	return strings.Compare(x, y)
}

// heatColor places x on a logarithmic scale from light yellow to dark red.
func heatColor(x, low, high float64) string {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return "#000000"
	}
	t := 0.0
	if x > low && high > low {
		t = min(1, math.Log(x/low)/math.Log(high/low))
	}
	// Stops of a sequential scale that gets darker evenly.
	stops := [][3]float64{{255, 252, 224}, {254, 217, 118}, {253, 141, 60}, {227, 26, 28}, {103, 0, 30}}
	at := float64(t * float64(len(stops)-1))
	i := min(int(at), len(stops)-2)
	f := at - float64(i)
	var c [3]int
	for k := range c {
		c[k] = int(math.Round(float64(stops[i][k]*(1-f)) + float64(stops[i+1][k]*f)))
	}
	return fmt.Sprintf("#%02x%02x%02x", c[0], c[1], c[2])
}
