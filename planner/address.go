package planner

import (
	"fmt"
	"slices"
	"strings"

	"github.com/compressc/compressc/internal/didyoumean"
	"github.com/compressc/compressc/lang"
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
// those at a point, or at part of one, for "compensate.final[rank.rank=16]". The
// address of a block with for_each, or of a module, stands for all within.
func (e *Expansion) Find(addr string) ([]*Node, error) {
	name, p, err := e.splitAddress(addr)
	if err != nil {
		return nil, err
	}
	var found, all []*Node
	for _, b := range e.Pipeline.Group(name) {
		all = append(all, e.x.byBlock[b]...)
		for _, c := range p {
			if !slices.Contains(e.x.reachOf(b).axes, c.Axis) && e.Pipeline.Lookup(name) == b {
				return nil, fmt.Errorf("%s does not depend on %s; its points are %s", name, c.Axis.ID(), pointsOf(e.x.byBlock[b]))
			}
		}
		for _, n := range e.x.byBlock[b] {
			if n.At(p) {
				found = append(found, n)
			}
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%s has no point %s; its points are %s", name, p, pointsOf(all))
	}
	return found, nil
}

// splitAddress parts an address into the blocks it names and a point. Keys of
// instances stand in brackets too, so that the known addresses say where the
// point begins.
func (e *Expansion) splitAddress(addr string) (string, Point, error) {
	if e.hasNodes(addr) {
		return addr, nil, nil
	}
	// The longest address: prune.p["k"][…] begins with prune.p as well.
	for i := len(addr) - 1; i > 0; i-- {
		if addr[i] != '[' || !e.hasNodes(addr[:i]) {
			continue
		}
		inner, ok := strings.CutSuffix(addr[i+1:], "]")
		if !ok {
			return "", nil, fmt.Errorf("the bracket in %q is not closed", addr)
		}
		if group := e.Pipeline.Group(addr[:i]); group[0].Keyed && !strings.Contains(inner, "=") {
			keys := make([]string, len(group))
			for i, b := range group {
				keys[i] = b.Key
			}
			return "", nil, fmt.Errorf("%s has no instance [%s].%s It has %q", addr[:i], inner, didyoumean.Hint(strings.Trim(inner, `"`), keys), keys)
		}
		p, err := e.ParsePoint(inner)
		return addr[:i], p, err
	}
	name := addr
	if i := strings.IndexByte(addr, '['); i > 0 && !strings.HasPrefix(addr, "module.") {
		name = addr[:i]
	}
	var names []string
	for _, n := range e.Nodes {
		names = append(names, n.Block.Addr())
	}
	return "", nil, fmt.Errorf("there is no block %q.%s", name, didyoumean.Hint(name, names))
}

// hasNodes reports whether an address stands for blocks that may have nodes.
func (e *Expansion) hasNodes(addr string) bool {
	return slices.ContainsFunc(e.Pipeline.Group(addr), func(b *lang.Block) bool {
		return b.Kind != lang.KindVariable && b.Kind != lang.KindLocal && b.Kind != lang.KindSweep
	})
}

// pointsOf lists some of the nodes' points.
func pointsOf(nodes []*Node) string {
	var parts []string
	for _, n := range nodes {
		if len(parts) == shownPoints {
			parts = append(parts, "...")
			break
		}
		parts = append(parts, "["+n.Point.String()+"]")
	}
	return strings.Join(parts, " ")
}
