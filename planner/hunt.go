package planner

import (
	"math/big"
	"slices"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"github.com/compressc/compressc/internal/schema"
	"github.com/compressc/compressc/internal/search"
)

// A search is a select that tries few of its candidates. Which these are follows
// from the results so far, by a strategy of package search, so that a run that
// was broken off or is done again goes the same way. Whatever reaches an axis
// that is searched, evaluations above all, is held back at a point until the
// search tries it, and withheld when it is over and has not.

// Hunt is a search at one of its own points.
type Hunt struct {
	Method *search.Method
	// args is the space without its candidates: of those that differ in choices
	// before the search some are active, which a run tells.
	args search.Space
}

// defaultKeep is the share of points that halving goes on with.
const defaultKeep = 1. / 3

// hunt reads the arguments of a search and checks that its method suits its
// candidates.
func (x *expander) hunt(n *Node) bool {
	b := n.Block
	h := &Hunt{Method: search.Lookup(b.Method), args: search.Space{Fidelity: -1, Keep: defaultKeep}}
	known := true
	if a := b.Body.Attr(search.Tries); a != nil {
		v, ok := x.value(b, a, n.place)
		if !ok {
			return false
		}
		if known = known && v.IsKnown(); v.IsKnown() && !v.IsNull() {
			tries, err := wholeNumber(v)
			if err != nil || tries < 1 {
				x.errorAt(b, &n.place, a.Expr.Range(), "Invalid value", "The argument \"tries\" takes a whole number of 1 or more, not %s.", schema.Spell(v))
				return false
			}
			h.args.Tries = tries
		}
	}
	if a := b.Body.Attr(search.Keep); a != nil {
		v, ok := x.value(b, a, n.place)
		if !ok {
			return false
		}
		if known = known && v.IsKnown(); v.IsKnown() && !v.IsNull() {
			keep, ok := fraction(v)
			if !ok {
				x.errorAt(b, &n.place, a.Expr.Range(), "Invalid value", "The argument \"keep\" takes a share between 0 and 1, such as 0.5, not %s.", schema.Spell(v))
				return false
			}
			h.args.Keep = keep
		}
	}
	seed, ok := x.seed(b, n.place)
	if !ok {
		return false
	}
	h.args.Seed = seed
	if a := b.Body.Attr(search.Fidelity); a != nil {
		if a.Broken {
			return false
		}
		at := slices.IndexFunc(x.dimensions(n.Candidates), func(d dimension) bool {
			return len(d) == 1 && d[0].Sweep == a.Refs[0].Block && d[0].Name == a.Refs[0].Attr
		})
		if at < 0 {
			x.errorAt(b, nil, a.Expr.Range(), "Invalid fidelity", "The fidelity is an axis of a grid that %s depends on, such as the steps of a training.", b.From.Addr())
			return false
		}
		h.args.Fidelity = at
	}
	s := x.space(n, h, n.Candidates)
	if err := h.Method.Check(s); err != nil {
		x.errorAt(b, &n.place, b.Body.DefRange, "Search does not suit its points", "The method %q does not suit the points of %s: %v. Methods for more are climb, halving and random.", b.Method, b.From.Addr(), err)
		return false
	}
	for _, c := range n.Candidates {
		n.Deferred = n.Deferred || c.Deferred
		if h.Method.Known && c.Undecided {
			x.errorAt(b, &n.place, b.Body.DefRange, "Objective not known before the run", "The method %q orders its points by the objective before any runs, and the shapes of %s are known only after. Use golden, climb, halving or random.", b.Method, c.Addr())
			return false
		}
	}
	if n.Deferred = n.Deferred || !known; !n.Deferred {
		n.Hunt = h
	}
	return true
}

// fraction reads a number between 0 and 1, both left out.
func fraction(v cty.Value) (float64, bool) {
	c, err := convert.Convert(v, cty.Number)
	if err != nil || !c.IsKnown() || c.IsNull() {
		return 0, false
	}
	f, _ := c.AsBigFloat().Float64()
	return f, f > 0 && f < 1
}

// dimension is what a search may step along: an axis of a grid, or all axes of a
// sweep that goes through them side by side.
type dimension []*Axis

// dimensions are those on which candidates lie, in declaration order.
func (x *expander) dimensions(candidates []*Node) []dimension {
	var out []dimension
	for _, s := range x.sweeps {
		axes := slices.DeleteFunc(slices.Clone(s.axes), func(a *Axis) bool {
			return !slices.ContainsFunc(candidates, func(c *Node) bool { return c.Point.index(a) >= 0 })
		})
		switch {
		case len(axes) == 0:
		case s.joint:
			out = append(out, axes)
		default:
			for _, a := range axes {
				out = append(out, dimension{a})
			}
		}
	}
	return out
}

// space places candidates for a strategy.
func (x *expander) space(n *Node, h *Hunt, candidates []*Node) *search.Space {
	s := h.args
	dims := x.dimensions(n.Candidates)
	// Of axes side by side, the place is that among the points there are.
	joint := make([]map[string]int, len(dims))
	for i := range joint {
		joint[i] = map[string]int{}
	}
	for _, c := range n.Candidates {
		for i, d := range dims {
			if key := c.Point.restrict(d).String(); len(d) > 1 {
				if _, has := joint[i][key]; !has {
					joint[i][key] = len(joint[i])
				}
			}
		}
	}
	for _, c := range candidates {
		place := make([]int, len(dims))
		for i, d := range dims {
			if len(d) > 1 {
				place[i] = joint[i][c.Point.restrict(d).String()]
			} else {
				place[i] = c.Point.index(d[0])
			}
		}
		s.Places = append(s.Places, place)
	}
	return &s
}

// Tried says how far a search has come.
type Tried struct {
	// Nodes are the candidates that are tried, or to be tried now, in the order in
	// which the search came to them; Scores their objectives, null where there is
	// none yet.
	Nodes  []*Node
	Scores []cty.Value
	// Of is how many candidates there are, Most how many are tried at most.
	Of, Most int
	// Over says that no more will be tried.
	Over bool

	winner  *Node
	reasons map[string]int
}

// Tried follows a search as far as results lead. It is nil as long as choices
// before it are open.
func (r *Results) Tried(n *Node) *Tried {
	if t, ok := r.tried[n]; ok {
		return t
	}
	r.tried[n] = nil // an answer that needs itself is none
	t := r.follow(n)
	r.tried[n] = t
	return t
}

func (r *Results) follow(n *Node) *Tried {
	h := n.Hunt
	if h == nil {
		return nil
	}
	var active []*Node
	for _, c := range n.Candidates {
		if !r.settledChoices(c) {
			return nil
		}
		if r.Active(c) {
			active = append(active, c)
		}
	}
	t := &Tried{Of: len(active), reasons: map[string]int{}}
	s := r.x.space(n, h, active)
	goal, sign := objective(n.Block)
	if h.Method.Known {
		for _, c := range active {
			e := r.x.evaluation(nil)
			v, ok := e.attr(goal, r.x.candidatePlace(n, c))
			number, err := convert.Convert(v, cty.Number)
			if !ok || err != nil || !number.IsKnown() || number.IsNull() {
				return nil // reported where it was expanded
			}
			s.Scores = append(s.Scores, signed(number, sign))
		}
	}
	t.Most = h.Method.Most(s)
	got := map[int]search.Result{}
	var best *big.Float
	for {
		next := h.Method.Next(s, got)
		if len(next) == 0 {
			t.Over = true
			break
		}
		open := false
		for _, i := range next {
			c := active[i]
			score, status, fits, reason := r.score(n, c, goal)
			t.Nodes, t.Scores = append(t.Nodes, c), append(t.Scores, score)
			if status == Pending {
				open = true
				continue
			}
			result := search.Result{Fits: fits, Lost: score.IsNull()}
			if !result.Lost {
				result.Score = signed(score, sign)
			}
			got[i] = result
			switch {
			case reason != "":
				t.reasons[reason]++
			case !h.Method.Final(s, i):
				t.reasons["tried in part only"]++
			case best == nil || sign*score.AsBigFloat().Cmp(best) < 0 || score.AsBigFloat().Cmp(best) == 0 && c.before(t.winner, active):
				best, t.winner = score.AsBigFloat(), c
			}
		}
		if open {
			break
		}
	}
	return t
}

// before reports whether n stands before o in a list.
func (n *Node) before(o *Node, list []*Node) bool {
	return slices.Index(list, n) < slices.Index(list, o)
}

// signed is a number such that less is better.
func signed(v cty.Value, sign int) float64 {
	f, _ := v.AsBigFloat().Float64()
	return float64(sign) * f
}

// Held returns the search that holds a node back, nil if none does: it reaches an
// axis that is searched, and no search has come to its point. Over says that
// none will.
func (r *Results) Held(n *Node) (by *Node, over bool) {
	if n.target || len(n.Point) == 0 {
		return nil, false
	}
	over = true
	for _, s := range r.x.searches {
		if !s.Needed || !r.searches(s, n) {
			continue
		}
		t := r.Tried(s)
		if t == nil {
			by, over = s, false
			continue
		}
		if slices.ContainsFunc(t.Nodes, func(c *Node) bool { return agrees(n, c) }) {
			return nil, false
		}
		by, over = s, over && t.Over
	}
	return by, by != nil && over
}

// searches reports whether a node lies on an axis that the search s goes along,
// where it has a candidate.
func (r *Results) searches(s, n *Node) bool {
	if !slices.ContainsFunc(n.Point, func(c Coordinate) bool { return s.Point.index(c.Axis) < 0 }) {
		return false
	}
	for _, c := range s.Candidates {
		shared := slices.ContainsFunc(n.Point, func(at Coordinate) bool { return s.Point.index(at.Axis) < 0 && c.Point.index(at.Axis) >= 0 })
		if shared && agrees(n, c) {
			return true
		}
	}
	return false
}

// agrees reports whether two nodes may be of one point.
func agrees(n, c *Node) bool {
	_, ok := n.Point.join(c.Point)
	return ok && n.place.agrees(c.place)
}
