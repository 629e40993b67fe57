//go:build unix

package half

import (
	"testing"

	"github.com/compressc/compressc/internal/linalg/kernel"
	"github.com/compressc/compressc/internal/linalg/kernel/kerneltest"
)

// Conversions read and write nothing past their slices.
func TestConversionsStayInside(t *testing.T) {
	for n := range 70 {
		floats, bytes := kerneltest.Guarded[float32](t, n), kerneltest.Guarded[byte](t, 2*n)
		for _, path := range kernel.Paths() {
			restore := kernel.Use(path)
			F16ToF32(floats, bytes)
			BF16ToF32(floats, bytes)
			F32ToF16(bytes, floats)
			F32ToBF16(bytes, floats)
			restore()
		}
	}
}
