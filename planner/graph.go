package planner

import (
	"slices"

	"github.com/compressc/compressc/internal/record"
)

// Graph returns what is made of what: the pipeline's blocks, or with points set
// its nodes. What nothing needs is left out.
func Graph(e *Expansion, points bool) *record.Graph {
	g := &record.Graph{Boxes: []record.Box{}, Edges: []record.Edge{}}
	index := map[string]int{}
	name := func(n *Node) string {
		if points {
			return n.Addr()
		}
		return n.Block.Addr()
	}
	count := map[string]map[string]bool{}
	for _, n := range e.Nodes {
		if !n.Needed {
			continue
		}
		id := name(n)
		if count[id] == nil {
			count[id] = map[string]bool{}
			index[id] = len(g.Boxes)
			g.Boxes = append(g.Boxes, record.Box{Address: id, Kind: n.Block.Type, Method: n.Block.Method})
		}
		count[id][n.Addr()] = true
	}
	seen := map[record.Edge]bool{}
	add := func(from, to *Node, gates bool) {
		i, ok := index[name(from)]
		j, also := index[name(to)]
		edge := record.Edge{From: i, To: j, Gates: gates}
		if !ok || !also || i == j || seen[edge] || gates && seen[record.Edge{From: i, To: j}] {
			return
		}
		seen[edge] = true
		g.Edges = append(g.Edges, edge)
	}
	for _, n := range e.Nodes {
		if !n.Needed {
			continue
		}
		for _, from := range slices.Concat(n.DependsOn, n.Watches, n.Candidates) {
			add(from, n, false)
		}
		for _, from := range n.Requires {
			add(from, n, true)
		}
	}
	for i := range g.Boxes {
		g.Boxes[i].Points = len(count[g.Boxes[i].Address])
	}
	slices.SortStableFunc(g.Edges, func(x, y record.Edge) int {
		if x.To != y.To {
			return x.To - y.To
		}
		return x.From - y.From
	})
	return g
}
