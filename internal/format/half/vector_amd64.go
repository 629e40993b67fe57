package half

// F16C is not among what the cpu package tells of; every processor with AVX2, which
// all paths of the kernels but the plain one need, has that older extension too.

//go:noescape
func bf16ToF32AVX2(n int, dst *float32, src *byte)

//go:noescape
func f16ToF32AVX2(n int, dst *float32, src *byte)

//go:noescape
func f32ToF16AVX2(n int, dst *byte, src *float32)

//go:noescape
func f32ToBF16AVX2(n int, dst *byte, src *float32)

func widenF16(dst []float32, src []byte) int   { return widen(f16ToF32AVX2, dst, src) }
func widenBF16(dst []float32, src []byte) int  { return widen(bf16ToF32AVX2, dst, src) }
func narrowF16(dst []byte, src []float32) int  { return narrow(f32ToF16AVX2, dst, src) }
func narrowBF16(dst []byte, src []float32) int { return narrow(f32ToBF16AVX2, dst, src) }
