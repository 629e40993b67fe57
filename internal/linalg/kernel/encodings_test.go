package kernel

import (
	"testing"

	"github.com/compressc/compressc/internal/linalg/kernel/kerneltest"
)

func TestEncodings(t *testing.T) { kerneltest.Encodings(t, "kernel_arm64.s") }
