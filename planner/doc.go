// Package planner turns a Pipeline into work. Expansion puts every block at
// each point of its sweeps, gives it its arguments and its type, and finds
// every mistake that can be known without weights; planning lowers the nodes
// that are needed to actions.
//
// Terms. An axis is one argument of a sweep, a point a value on each of some
// axes. A block's reach is the axes its text depends on, itself or by way of
// what it refers to; its points are the projection of what the sweeps admit to
// its reach. A node is a block at one of its points. At a point, a reference
// means the one node of the block referred to that agrees with the point.
//
// A select is a model that is known only after a run, so what follows it is
// typed for each of its candidates: those nodes carry the choices they hang on,
// and the run makes one set of choices and leaves the nodes of all others.
//
// Invariants. The same Pipeline and the same sources make the same nodes in the
// same order. A mistake in one node breaks the nodes that depend on it and no
// others, and is reported once, with the points it is seen at.
package planner
