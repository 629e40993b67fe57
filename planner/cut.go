package planner

import (
	"fmt"
)

// Cut narrows what a run is for: to the nodes at the given addresses, instead
// of all roots, and to those that agree with a point. What they are made of
// stays needed, gates before them too. Points are spelled "rank.rank=16"; of
// one axis several may be given.
func (e *Expansion) Cut(targets, points []string) error {
	if len(targets) == 0 && len(points) == 0 {
		return nil
	}
	var at []Point
	for _, text := range points {
		p, err := e.ParsePoint(text)
		if err != nil {
			return err
		}
		at = combine(at, p)
	}
	within := func(n *Node) bool {
		for _, p := range at {
			if n.At(p) {
				return true
			}
		}
		return len(at) == 0
	}
	var wanted []*Node
	for _, addr := range targets {
		found, err := e.Find(addr)
		if err != nil {
			return err
		}
		for _, n := range found {
			if within(n) {
				wanted = append(wanted, n)
			}
		}
	}
	roots := e.x.roots()
	for _, n := range e.Nodes {
		if len(targets) == 0 && roots(n.Block) && within(n) {
			wanted = append(wanted, n)
		}
		n.Needed = false
	}
	if len(wanted) == 0 {
		return fmt.Errorf("nothing is left of the pipeline: no target stands at the points given")
	}
	for _, n := range wanted {
		n.mark()
		n.target = len(targets) > 0
	}
	e.targeted = len(targets) > 0
	return nil
}

// combine adds a point to a choice of points: another value of an axis is an
// alternative, a value of a new axis a further condition.
func combine(at []Point, p Point) []Point {
	if len(at) == 0 {
		return []Point{p}
	}
	var out []Point
	agreed := false
	for _, q := range at {
		if joined, ok := q.join(p); ok {
			out = append(out, joined)
			agreed = true
		} else {
			out = append(out, q)
		}
	}
	if agreed {
		return out
	}
	seen := map[string]bool{}
	for _, q := range at {
		var rest Point
		for _, c := range q {
			if p.index(c.Axis) < 0 {
				rest = append(rest, c)
			}
		}
		joined, _ := rest.join(p) // the axes that p names are gone
		if key := joined.String(); !seen[key] {
			seen[key] = true
			out = append(out, joined)
		}
	}
	return out
}
