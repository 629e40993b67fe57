package half

//go:noescape
func bf16ToF32NEON(n int, dst *float32, src *byte)

//go:noescape
func f16ToF32NEON(n int, dst *float32, src *byte)

//go:noescape
func f32ToF16NEON(n int, dst *byte, src *float32)

//go:noescape
func f32ToBF16NEON(n int, dst *byte, src *float32)

func widenF16(dst []float32, src []byte) int   { return widen(f16ToF32NEON, dst, src) }
func widenBF16(dst []float32, src []byte) int  { return widen(bf16ToF32NEON, dst, src) }
func narrowF16(dst []byte, src []float32) int  { return narrow(f32ToF16NEON, dst, src) }
func narrowBF16(dst []byte, src []float32) int { return narrow(f32ToBF16NEON, dst, src) }
