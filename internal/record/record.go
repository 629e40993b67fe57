// Package record is what a run leaves behind: which nodes there were at which
// points, what each yielded, what was cached and what ran, and every number
// that was measured. It is kept with the cache and printed by "show -json"; its
// fields are a contract with other programs.
package record

import (
	"encoding/json"
	"time"
)

// FormatVersion is raised in its first part when a field changes its meaning or
// goes, in its second when one comes.
const FormatVersion = "1.5"

// Status of a run, node, gate or output.
const (
	OK          = "ok"
	Cached      = "cached"
	Run         = "run"
	Failed      = "failed"
	Withheld    = "withheld"
	Skipped     = "skipped"
	Passed      = "passed"
	Undecided   = "undecided"
	GateFailed  = "gate_failed"
	Interrupted = "interrupted"
)

// Record is one run.
type Record struct {
	FormatVersion string    `json:"format_version"`
	ID            string    `json:"id"`
	Version       string    `json:"compressc_version"`
	Pipeline      string    `json:"pipeline"`
	Time          time.Time `json:"time"`
	Seconds       float64   `json:"seconds"`
	Status        string    `json:"status"`
	Threads       int       `json:"threads"`
	MemoryBytes   int64     `json:"memory_bytes"`
	// PeakAnonBytes is the largest resident set without file-backed pages.
	PeakAnonBytes int64 `json:"peak_anon_bytes"`

	// Folder is the working folder of the run: paths of files are relative to it.
	// Since 1.2.
	Folder string `json:"folder,omitempty"`
	// Text is the files that the pipeline was read from. Since 1.2.
	Text []File `json:"text,omitempty"`
	// Variables that were given a value or have one by default, but those that
	// are sensitive. Since 1.2.
	Variables map[string]any `json:"variables,omitempty"`
	// Graph is what was made of what. Since 1.2.
	Graph *Graph `json:"graph,omitempty"`

	Actions Counts `json:"actions"`
	// Axes of all sweeps by ID, in declaration order. Since 1.1.
	Axes  []string `json:"axes,omitempty"`
	Nodes []Node   `json:"nodes"`
	// Failures are the actions and exports that failed by themselves, not
	// because of others. Since 1.1.
	Failures    []Failure    `json:"failures,omitempty"`
	Evaluations []Evaluation `json:"evaluations"`
	Gates       []Gate       `json:"gates,omitempty"`
	Selections  []Selection  `json:"selections,omitempty"`
	Exports     []Export     `json:"exports,omitempty"`
	Outputs     []Output     `json:"outputs,omitempty"`
	// Roots are the keys of the actions whose results the run relies on.
	Roots []string `json:"roots"`
}

// Counts of actions.
type Counts struct {
	Total  int `json:"total"`
	Cached int `json:"cached"`
	Run    int `json:"run"`
	Failed int `json:"failed"`
	// Skipped were not reached or not needed.
	Skipped int `json:"skipped"`
	// Compared are those of the cached that were run again and gave the same.
	Compared int `json:"compared,omitempty"`
}

// Point is a place in the sweeps: axis → value.
type Point map[string]any

// Sweeps is a point as outputs have it: sweep → axis → value.
type Sweeps map[string]map[string]any

// Point is the place as axis → value, an axis being "sweep.axis".
func (s Sweeps) Point() Point {
	p := Point{}
	for sweep, axes := range s {
		for axis, value := range axes {
			p[sweep+"."+axis] = value
		}
	}
	return p
}

// Node is a block at one point.
type Node struct {
	Name   string `json:"name"`
	Point  Point  `json:"point"`
	Verb   string `json:"verb"`
	Method string `json:"method,omitempty"`
	Status string `json:"status"`
	// Source is what a model or data was read from, as the pipeline names it.
	// Since 1.2.
	Source string `json:"source,omitempty"`
	// Arguments are those at the point, defaults filled in; a reference is the
	// address it leads to. Since 1.4.
	Arguments map[string]any `json:"arguments,omitempty"`
	// Digest identifies what the node yielded; "" when it yielded nothing.
	Digest    string  `json:"digest,omitempty"`
	Seconds   float64 `json:"seconds"`
	PeakBytes int64   `json:"peak_bytes"`
	Actions   Counts  `json:"actions"`
	// Workers are those of a remote executor that ran actions, with how many each
	// ran. Since 1.3.
	Workers map[string]int `json:"workers,omitempty"`
	Error   string         `json:"error,omitempty"`

	// The model's type, where the node yields one.
	Model *Model `json:"model,omitempty"`
	// Layers holds each changed linear's numbers by canonical path.
	Layers map[string]map[string]float64 `json:"layers,omitempty"`
	// Losses of a training run, step by step.
	Losses []float64 `json:"losses,omitempty"`
}

// Model is what the planner knew of a node's model.
type Model struct {
	Parameters    int64   `json:"parameters"`
	Bytes         int64   `json:"bytes"`
	BitsPerWeight float64 `json:"bits_per_weight"`
	Sparsity      float64 `json:"sparsity"`
}

// Failure is one thing that went wrong.
type Failure struct {
	Name  string `json:"name"`
	Point Point  `json:"point"`
	// Part is what was worked on: "block 3", "tokens", "files".
	Part   string `json:"part,omitempty"`
	Kernel string `json:"kernel,omitempty"`
	// Message says what is wrong and, where that is known, what to do.
	Message string `json:"message"`
	// Detail is for reports of mistakes in the program: where it stood.
	Detail string `json:"detail,omitempty"`
	// Stopped are the addresses of the nodes that could not be finished for
	// this reason.
	Stopped []string `json:"stopped,omitempty"`
}

// Evaluation is one report. Metrics that are not finite are null.
type Evaluation struct {
	Name    string              `json:"name"`
	Point   Point               `json:"point"`
	Status  string              `json:"status"`
	Metrics map[string]*float64 `json:"metrics"`
	// Of is the address of what was measured, with its point; Model its type.
	// Since 1.1.
	Of    string `json:"of,omitempty"`
	Model *Model `json:"model,omitempty"`
	// Report is the whole of it.
	Report json.RawMessage `json:"report,omitempty"`
}

// Gate is one decision.
type Gate struct {
	Name    string `json:"name"`
	Point   Point  `json:"point"`
	Status  string `json:"status"`
	Message string `json:"message,omitempty"`
}

// Selection is one choice among points.
type Selection struct {
	Name   string `json:"name"`
	Point  Point  `json:"point"`
	Status string `json:"status"`
	Winner string `json:"winner,omitempty"`
	Error  string `json:"error,omitempty"`
	// Method of a search, "" for a select; Tried are the candidates it has come
	// to, in that order, of Of in all and Most at most.
	Method string `json:"method,omitempty"`
	Tried  []Try  `json:"tried,omitempty"`
	Of     int    `json:"of,omitempty"`
	Most   int    `json:"most,omitempty"`
}

// Try is a candidate that a search has come to.
type Try struct {
	Candidate string `json:"candidate"`
	// Score is its objective, null where it has none.
	Score json.RawMessage `json:"score"`
}

// Export is the files of one export block.
type Export struct {
	Name   string `json:"name"`
	Point  Point  `json:"point"`
	Status string `json:"status"`
	Files  []File `json:"files,omitempty"`
	Error  string `json:"error,omitempty"`
}

// File is one file that was written, or found to be there already.
type File struct {
	Path    string `json:"path"`
	Digest  string `json:"digest"`
	Bytes   int64  `json:"bytes"`
	Written bool   `json:"written"`
}

// Output is the value of an output block. Value holds either "value" or
// "points".
type Output struct {
	Name   string `json:"name"`
	Output any    `json:"output"`
}
