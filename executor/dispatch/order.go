package dispatch

import (
	"encoding/json"

	"github.com/compressc/compressc/internal/artifact"
)

// orderVersion is raised when the form of orders or reports changes. The program
// travels with its orders, so that only a mistake makes them differ.
const orderVersion = 1

// Names in an action's folder.
const (
	programFile = "compressc"
	orderFile   = "order.json"
	reportFile  = "report.json"
	inDir       = "in"
	outDir      = "out"
)

// Subcommand is the argument that has this program carry out an order.
const Subcommand = "action"

// exitKernel is the exit status of a kernel that failed by itself.
const exitKernel = 4

// order is what a worker is to do.
type order struct {
	Version  int      `json:"version"`
	Numerics string   `json:"numerics"`
	Members  []member `json:"members"`
}

// member is one action of a crew.
type member struct {
	Kernel  string          `json:"kernel"`
	Impl    int             `json:"impl"`
	Params  json.RawMessage `json:"params"`
	Inputs  []source        `json:"inputs"`
	Outputs []string        `json:"outputs"`
}

// source is where an input comes from: a folder in inDir, or an output of an
// earlier member.
type source struct {
	Name   string `json:"name"`
	Folder string `json:"folder,omitempty"`
	Member int    `json:"member,omitempty"`
	Output string `json:"output,omitempty"`
}

// report is what a worker has done.
type report struct {
	Version int    `json:"version"`
	Members []made `json:"members"`
}

// made is what one member made.
type made struct {
	Outputs map[string]*artifact.Tree `json:"outputs"`
	Seconds float64                   `json:"seconds"`
}

// failure is the last line of standard error of a kernel that failed.
type failure struct {
	Member int    `json:"member"`
	Error  string `json:"error"`
	Stack  string `json:"stack,omitempty"`
}
