package rng

import (
	"testing"

	"github.com/compressc/compressc/internal/linalg/kernel/kerneltest"
)

func TestEncodings(t *testing.T) { kerneltest.Encodings(t, "blocks_arm64.s") }
