//go:build !linux

package bench

import "os"

// forget does nothing: what was just written is read from memory.
func forget(*os.File) {}
