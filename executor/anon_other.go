//go:build !linux

package executor

// anonBytes returns the memory the Go runtime has from the system: these
// systems do not tell anonymous from file-backed resident memory cheaply.
func anonBytes() int64 { return runtimeBytes() }

// machineMemory returns a cautious guess; --memory says better.
func machineMemory() int64 { return fallbackMemory }
