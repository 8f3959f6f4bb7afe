#include "go_asm.h"
#include "textflag.h"
#include "keys_amd64.h"

// Bit reversal within bytes, as a matrix over GF(2).
DATA reverse8<>+0(SB)/8, $0x8040201008040201
GLOBL reverse8<>(SB), RODATA|NOPTR, $8

// Byte reversal within words of 32 bits.
DATA swap32<>+0(SB)/8, $0x0405060700010203
DATA swap32<>+8(SB)/8, $0x0c0d0e0f08090a0b
GLOBL swap32<>(SB), RODATA|NOPTR, $16

// PRODUCTS4 leaves the bits of the IPv4 hash, reversed, in the low half of
// each quadword of Z8.
#define PRODUCTS4 \
	VPCLMULQDQ  $0x00, Z16, Z4, Z8   \
	VPCLMULQDQ  $0x01, Z16, Z4, Z9   \
	VPCLMULQDQ  $0x10, Z16, Z5, Z10  \
	VPCLMULQDQ  $0x11, Z16, Z5, Z11  \
	VPCLMULQDQ  $0x00, Z17, Z7, Z12  \
	VPCLMULQDQ  $0x01, Z17, Z7, Z13  \
	VPTERNLOGQ  $0x96, Z12, Z10, Z8  \
	VPTERNLOGQ  $0x96, Z13, Z11, Z9  \
	VPUNPCKLQDQ Z9, Z8, Z8           \
	VPSRLQ      $32, Z8, Z8

// func toeplitzVector(keys *FlowKey, out *uint32, n int, c *clmulKey, sorted bool)
//
// Z7 is the ports; the other fields are where keys_amd64.h puts them.
TEXT ·toeplitzVector(SB), NOSPLIT, $0-33
	MOVQ    keys+0(FP), SI
	MOVQ    out+8(FP), DI
	MOVQ    n+16(FP), CX
	MOVQ    c+24(FP), DX
	MOVBLZX sorted+32(FP), BX

	LANES

	// The key's factors.
	VBROADCASTI64X2 (clmulKey_v4+0)(DX), Z16
	VBROADCASTI64X2 (clmulKey_v4+16)(DX), Z17
	VBROADCASTI64X2 (clmulKey_v6+0)(DX), Z18
	VBROADCASTI64X2 (clmulKey_v6+16)(DX), Z19
	VBROADCASTI64X2 (clmulKey_v6+32)(DX), Z20
	VBROADCASTI64X2 (clmulKey_v6+48)(DX), Z21
	VBROADCASTI64X2 (clmulKey_v6+64)(DX), Z22
	VPBROADCASTD    clmulKey_init(DX), Y30

	// Fields of the tail: protocol byte, TCP, UDP, KeyIPv6.
	MOVL         $0xff00, AX
	VPBROADCASTQ AX, Z23
	MOVL         $(const_protoTCP<<8), AX
	VPBROADCASTQ AX, Z24
	MOVL         $(const_protoUDP<<8), AX
	VPBROADCASTQ AX, Z25
	MOVL         $const_KeyIPv6, AX
	VPBROADCASTQ AX, Z26

	VPBROADCASTQ    reverse8<>(SB), Y29
	VBROADCASTI64X2 swap32<>(SB), Y28

turn:
	LOAD4

	// The ports count for TCP and UDP only.
	VPANDQ   Z23, Z6, Z7
	VPCMPEQQ Z24, Z7, K4
	VPCMPEQQ Z25, Z7, K5
	KORW     K4, K5, K4
	VPSRLQ.Z $32, Z6, K4, Z7

	VPTESTMQ  Z26, Z6, K5
	KORTESTW  K5, K5
	JNZ       mixed

	TESTL BX, BX
	JZ    v4

	// Swap where source is above destination: K6.
	VPCMPUQ   $6, Z5, Z4, K6
	VPCMPEQQ  Z5, Z4, K7
	VPROLD    $16, Z7, Z8
	VPCMPUQ   $6, Z8, Z7, K7, K4
	KORW      K4, K6, K6
	VMOVDQA64 Z4, Z10
	VMOVDQA64 Z5, K6, Z4
	VMOVDQA64 Z10, K6, Z5
	VMOVDQA64 Z8, K6, Z7

v4:
	PRODUCTS4

store:
	// Z8: one hash per quadword, bits reversed.
	VPMOVQD        Z8, Y8
	VGF2P8AFFINEQB $0, Y29, Y8, Y8
	VPSHUFB        Y28, Y8, Y8
	VPXORD         Y30, Y8, Y8
	VMOVDQU        Y8, (DI)

	ADDQ $(8*FlowKey__size), SI
	ADDQ $32, DI
	SUBQ $8, CX
	JNZ  turn
	VZEROUPPER
	RET

mixed:
	// Some key is IPv6 (K5 says which): hash all as both, then choose.
	LOAD6
	TESTL BX, BX
	JZ    v6
	SORT6

v6:
	PRODUCTS4

	// First factors into Z0 and Z1: the sum is in their high halves.
	VPSLLQ     $32, Z7, Z7
	VPCLMULQDQ $0x00, Z18, Z14, Z0
	VPCLMULQDQ $0x01, Z18, Z14, Z1
	VPCLMULQDQ $0x00, Z19, Z4, Z9
	VPCLMULQDQ $0x01, Z19, Z4, Z10
	VPCLMULQDQ $0x00, Z20, Z15, Z11
	VPCLMULQDQ $0x01, Z20, Z15, Z12
	VPTERNLOGQ $0x96, Z11, Z9, Z0
	VPTERNLOGQ $0x96, Z12, Z10, Z1
	VPCLMULQDQ $0x00, Z21, Z5, Z9
	VPCLMULQDQ $0x01, Z21, Z5, Z10
	VPCLMULQDQ $0x00, Z22, Z7, Z11
	VPCLMULQDQ $0x01, Z22, Z7, Z12
	VPTERNLOGQ $0x96, Z11, Z9, Z0
	VPTERNLOGQ $0x96, Z12, Z10, Z1

	// Second factors into Z2 and Z3: it is in their low halves.
	VPCLMULQDQ $0x10, Z18, Z14, Z2
	VPCLMULQDQ $0x11, Z18, Z14, Z3
	VPCLMULQDQ $0x10, Z19, Z4, Z9
	VPCLMULQDQ $0x11, Z19, Z4, Z10
	VPCLMULQDQ $0x10, Z20, Z15, Z11
	VPCLMULQDQ $0x11, Z20, Z15, Z12
	VPTERNLOGQ $0x96, Z11, Z9, Z2
	VPTERNLOGQ $0x96, Z12, Z10, Z3
	VPCLMULQDQ $0x10, Z21, Z5, Z9
	VPCLMULQDQ $0x11, Z21, Z5, Z10
	VPXORQ     Z9, Z2, Z2
	VPXORQ     Z10, Z3, Z3

	VPUNPCKHQDQ Z1, Z0, Z0
	VPUNPCKLQDQ Z3, Z2, Z2
	VPXORQ      Z2, Z0, K5, Z8
	JMP         store
