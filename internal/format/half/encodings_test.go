package half

import (
	"testing"

	"github.com/compressc/compressc/internal/linalg/kernel/kerneltest"
)

func TestEncodings(t *testing.T) { kerneltest.Encodings(t, "vector_arm64.s") }
