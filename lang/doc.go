// Package lang turns the text of a pipeline into a Pipeline: it finds and
// parses the files, checks block types, labels, arguments and references,
// gives variables their values, and explains every mistake where it stands.
//
// Terms. A block is one HCL block; its address is "prune.sparse",
// "model.base", "gate.quality". A variable and a local are blocks here too, so
// that one analysis of references serves all. A reference is a traversal such
// as compensate.final.size or sweep.rank.rank; package lang resolves it to the
// block it names, package planner evaluates it at each point of the sweeps.
//
// Invariants. The language is pure: equal files, variables and sources mean an
// equal Pipeline, in an order fixed by file name and line. Loading never stops
// at the first mistake: an attribute or block that is broken is marked and
// reported once, and what depends on it is left alone, so that one mistake is
// one message.
//
// The package knows the argument schemas of methods through Registry, and
// nothing of tensors, model types, caches or schedules.
package lang
