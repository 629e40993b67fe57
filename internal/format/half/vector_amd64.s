#include "textflag.h"

// Each takes n elements, a positive multiple of 16.

// func bf16ToF32AVX2(n int, dst *float32, src *byte)
TEXT ·bf16ToF32AVX2(SB), NOSPLIT, $0-24
	MOVQ n+0(FP), CX
	MOVQ dst+8(FP), DI
	MOVQ src+16(FP), SI
widenbf16:
	VPMOVZXWD (SI), Y0
	VPMOVZXWD 16(SI), Y1
	VPSLLD $16, Y0, Y0
	VPSLLD $16, Y1, Y1
	VMOVDQU Y0, (DI)
	VMOVDQU Y1, 32(DI)
	ADDQ $32, SI
	ADDQ $64, DI
	SUBQ $16, CX
	JNZ widenbf16
	VZEROUPPER
	RET

// func f16ToF32AVX2(n int, dst *float32, src *byte)
TEXT ·f16ToF32AVX2(SB), NOSPLIT, $0-24
	MOVQ n+0(FP), CX
	MOVQ dst+8(FP), DI
	MOVQ src+16(FP), SI
widenf16:
	VCVTPH2PS (SI), Y0
	VCVTPH2PS 16(SI), Y1
	VMOVDQU Y0, (DI)
	VMOVDQU Y1, 32(DI)
	ADDQ $32, SI
	ADDQ $64, DI
	SUBQ $16, CX
	JNZ widenf16
	VZEROUPPER
	RET

// func f32ToF16AVX2(n int, dst *byte, src *float32)
TEXT ·f32ToF16AVX2(SB), NOSPLIT, $0-24
	MOVQ n+0(FP), CX
	MOVQ dst+8(FP), DI
	MOVQ src+16(FP), SI
narrowf16:
	VMOVUPS (SI), Y0
	VMOVUPS 32(SI), Y1
	VCVTPS2PH $0, Y0, (DI)
	VCVTPS2PH $0, Y1, 16(DI)
	ADDQ $64, SI
	ADDQ $32, DI
	SUBQ $16, CX
	JNZ narrowf16
	VZEROUPPER
	RET

// NARROW turns the eight float32 in r into bfloat16 in the low halves of its
// 32-bit lanes, rounding to nearest even; NaNs are cut and made quiet. Y12 holds
// 1, Y13 0x7fff, Y14 0x7fffffff, Y15 0x7f800000, Y11 0x40. Y8 to Y10 are scratch.
#define NARROW(r) \
	VPSRLD $16, r, Y8 \
	VPAND Y12, Y8, Y9 \
	VPADDD Y13, Y9, Y9 \
	VPADDD r, Y9, Y9 \
	VPSRLD $16, Y9, Y9 \
	VPAND Y14, r, Y10 \
	VPCMPGTD Y15, Y10, Y10 \
	VPOR Y11, Y8, Y8 \
	VPBLENDVB Y10, Y8, Y9, r

#define SPLAT(x, r, half) \
	MOVL $x, AX \
	VMOVD AX, half \
	VPBROADCASTD half, r

// func f32ToBF16AVX2(n int, dst *byte, src *float32)
TEXT ·f32ToBF16AVX2(SB), NOSPLIT, $0-24
	MOVQ n+0(FP), CX
	MOVQ dst+8(FP), DI
	MOVQ src+16(FP), SI
	SPLAT(1, Y12, X12)
	SPLAT(0x7fff, Y13, X13)
	SPLAT(0x7fffffff, Y14, X14)
	SPLAT(0x7f800000, Y15, X15)
	SPLAT(0x40, Y11, X11)
narrowbf16:
	VMOVDQU (SI), Y0
	VMOVDQU 32(SI), Y1
	NARROW(Y0)
	NARROW(Y1)
	VPACKUSDW Y1, Y0, Y0
	VPERMQ $0xd8, Y0, Y0
	VMOVDQU Y0, (DI)
	ADDQ $64, SI
	ADDQ $32, DI
	SUBQ $16, CX
	JNZ narrowbf16
	VZEROUPPER
	RET
