// Package version names the program.
package version

import (
	"runtime"
	"runtime/debug"
)

// Number is the program's version.
const Number = "0.1.0"

// Info is what "version" prints.
type Info struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
	Numerics string `json:"numerics"`
	Kernels  string `json:"kernels"`
}

// Get describes the running program; numerics is the contract's version and
// kernels the instruction set in use.
func Get(numerics, kernels string) Info {
	i := Info{Version: Number, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, Numerics: numerics, Kernels: kernels}
	if b, ok := debug.ReadBuildInfo(); ok {
		for _, s := range b.Settings {
			if s.Key == "vcs.revision" {
				i.Revision = s.Value
			}
		}
	}
	return i
}
