#include "textflag.h"

// Each takes n elements, a positive multiple of 16. What Go's assembler does not know
// is written as its encoding (Arm Architecture Reference Manual, C7.2), with what a
// disassembler makes of it, the result first, as comment. All of it is in the first
// version of the architecture. Conversions to and from binary16 make a NaN quiet and
// keep what fits of it, and neither flush nor read anything as zero, as long as FPCR
// is what processes start with.

// func bf16ToF32NEON(n int, dst *float32, src *byte)
TEXT ·bf16ToF32NEON(SB), NOSPLIT, $0-24
	MOVD n+0(FP), R0
	MOVD dst+8(FP), R1
	MOVD src+16(FP), R2
	VEOR V31.B16, V31.B16, V31.B16
widenbf16:
	VLD1.P 32(R2), [V0.H8, V1.H8]
	VZIP1 V0.H8, V31.H8, V2.H8
	VZIP2 V0.H8, V31.H8, V3.H8
	VZIP1 V1.H8, V31.H8, V4.H8
	VZIP2 V1.H8, V31.H8, V5.H8
	VST1.P [V2.S4, V3.S4, V4.S4, V5.S4], 64(R1)
	SUBS $16, R0, R0
	BNE widenbf16
	RET

// func f16ToF32NEON(n int, dst *float32, src *byte)
TEXT ·f16ToF32NEON(SB), NOSPLIT, $0-24
	MOVD n+0(FP), R0
	MOVD dst+8(FP), R1
	MOVD src+16(FP), R2
widenf16:
	VLD1.P 32(R2), [V0.H8, V1.H8]
	WORD $0x0e217802 // fcvtl v2.4s, v0.4h
	WORD $0x4e217803 // fcvtl2 v3.4s, v0.8h
	WORD $0x0e217824 // fcvtl v4.4s, v1.4h
	WORD $0x4e217825 // fcvtl2 v5.4s, v1.8h
	VST1.P [V2.S4, V3.S4, V4.S4, V5.S4], 64(R1)
	SUBS $16, R0, R0
	BNE widenf16
	RET

// func f32ToF16NEON(n int, dst *byte, src *float32)
TEXT ·f32ToF16NEON(SB), NOSPLIT, $0-24
	MOVD n+0(FP), R0
	MOVD dst+8(FP), R1
	MOVD src+16(FP), R2
narrowf16:
	VLD1.P 64(R2), [V0.S4, V1.S4, V2.S4, V3.S4]
	WORD $0x0e216804 // fcvtn v4.4h, v0.4s
	WORD $0x4e216824 // fcvtn2 v4.8h, v1.4s
	WORD $0x0e216845 // fcvtn v5.4h, v2.4s
	WORD $0x4e216865 // fcvtn2 v5.8h, v3.4s
	VST1.P [V4.H8, V5.H8], 32(R1)
	SUBS $16, R0, R0
	BNE narrowf16
	RET

// func f32ToBF16NEON(n int, dst *byte, src *float32)
//
// The upper halves of the 32-bit lanes are the results: of the float32 plus 0x7fff
// plus the lowest bit that stays, which V4 to V7 have on top, or of a NaN made quiet.
TEXT ·f32ToBF16NEON(SB), NOSPLIT, $0-24
	MOVD n+0(FP), R0
	MOVD dst+8(FP), R1
	MOVD src+16(FP), R2
	MOVD $0x7fff, R3
	VDUP R3, V30.S4
	MOVD $0x400000, R3
	VDUP R3, V31.S4
narrowbf16:
	VLD1.P 64(R2), [V0.S4, V1.S4, V2.S4, V3.S4]
	VSHL $15, V0.S4, V4.S4
	VSHL $15, V1.S4, V5.S4
	VSHL $15, V2.S4, V6.S4
	VSHL $15, V3.S4, V7.S4
	VADD V30.S4, V0.S4, V16.S4
	VADD V30.S4, V1.S4, V17.S4
	VADD V30.S4, V2.S4, V18.S4
	VADD V30.S4, V3.S4, V19.S4
	VUSRA $31, V4.S4, V16.S4
	VUSRA $31, V5.S4, V17.S4
	VUSRA $31, V6.S4, V18.S4
	VUSRA $31, V7.S4, V19.S4
	WORD $0x4e20e404 // fcmeq v4.4s, v0.4s, v0.4s
	WORD $0x4e21e425 // fcmeq v5.4s, v1.4s, v1.4s
	WORD $0x4e22e446 // fcmeq v6.4s, v2.4s, v2.4s
	WORD $0x4e23e467 // fcmeq v7.4s, v3.4s, v3.4s
	VORR V31.B16, V0.B16, V0.B16
	VORR V31.B16, V1.B16, V1.B16
	VORR V31.B16, V2.B16, V2.B16
	VORR V31.B16, V3.B16, V3.B16
	VBIF V4.B16, V0.B16, V16.B16
	VBIF V5.B16, V1.B16, V17.B16
	VBIF V6.B16, V2.B16, V18.B16
	VBIF V7.B16, V3.B16, V19.B16
	VUZP2 V17.H8, V16.H8, V0.H8
	VUZP2 V19.H8, V18.H8, V1.H8
	VST1.P [V0.H8, V1.H8], 32(R1)
	SUBS $16, R0, R0
	BNE narrowbf16
	RET
