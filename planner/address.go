package planner

import (
	"fmt"
	"slices"
	"strings"

	"github.com/compressc/compressc/internal/didyoumean"
)

// ParsePoint reads "rank.rank=16,m.method=wanda" as points are spelled. It need
// not name all axes, and names them in any order.
func (e *Expansion) ParsePoint(text string) (Point, error) {
	var p Point
	rest := text
	for rest != "" {
		c, tail, err := e.coordinate(rest)
		if err != nil {
			return nil, fmt.Errorf("point %q: %w", text, err)
		}
		joined, ok := p.join(Point{c})
		if !ok {
			return nil, fmt.Errorf("point %q: two values are given for %s", text, c.Axis.ID())
		}
		p, rest = joined, tail
	}
	return p, nil
}

// coordinate reads one axis and its value from the beginning of text. Values
// may hold commas, so that the known values say where one ends.
func (e *Expansion) coordinate(text string) (Coordinate, string, error) {
	id, value, ok := strings.Cut(text, "=")
	if !ok {
		return Coordinate{}, "", fmt.Errorf("%q is not written axis=value", text)
	}
	var ids []string
	for _, a := range e.Axes {
		ids = append(ids, a.ID())
		if a.ID() != id {
			continue
		}
		for i, t := range a.Texts {
			if value == t {
				return Coordinate{a, i}, "", nil
			}
			if tail, ok := strings.CutPrefix(value, t+","); ok {
				return Coordinate{a, i}, tail, nil
			}
		}
		given, _, _ := strings.Cut(value, ",")
		return Coordinate{}, "", fmt.Errorf("%s has no value %s; it has %s", id, given, strings.Join(a.Texts, ", "))
	}
	return Coordinate{}, "", fmt.Errorf("no sweep has an axis %q.%s", id, didyoumean.Hint(id, ids))
}

// At reports whether n belongs to a run that is cut to p: whether it does not
// disagree with p on any axis.
func (n *Node) At(p Point) bool {
	_, ok := n.Point.join(p)
	return ok
}

// Find returns the nodes at an address: all of a block's for "compensate.final",
// those at a point, or at part of one, for "compensate.final[rank.rank=16]".
func (e *Expansion) Find(addr string) ([]*Node, error) {
	name, point, bracket := strings.Cut(addr, "[")
	b := e.Pipeline.Lookup(name)
	if b == nil || strings.HasPrefix(name, "var.") || strings.HasPrefix(name, "local.") || strings.HasPrefix(name, "sweep.") {
		var names []string
		for _, n := range e.Nodes {
			names = append(names, n.Block.Addr())
		}
		return nil, fmt.Errorf("there is no block %q.%s", name, didyoumean.Hint(name, names))
	}
	var p Point
	if bracket {
		inner, ok := strings.CutSuffix(point, "]")
		if !ok {
			return nil, fmt.Errorf("the bracket in %q is not closed", addr)
		}
		var err error
		if p, err = e.ParsePoint(inner); err != nil {
			return nil, err
		}
		for _, c := range p {
			if !slices.Contains(e.x.reachOf(b).axes, c.Axis) {
				return nil, fmt.Errorf("%s does not depend on %s; its points are %s", name, c.Axis.ID(), e.pointsText(name))
			}
		}
	}
	var found []*Node
	for _, n := range e.x.byBlock[b] {
		if n.At(p) {
			found = append(found, n)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%s has no point %s; its points are %s", name, p, e.pointsText(name))
	}
	return found, nil
}

// pointsText lists some points of a block.
func (e *Expansion) pointsText(addr string) string {
	var parts []string
	for _, n := range e.x.byBlock[e.Pipeline.Lookup(addr)] {
		if len(parts) == shownPoints {
			parts = append(parts, "...")
			break
		}
		parts = append(parts, "["+n.Point.String()+"]")
	}
	return strings.Join(parts, " ")
}
