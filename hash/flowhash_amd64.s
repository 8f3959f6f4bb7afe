#include "go_asm.h"
#include "textflag.h"
#include "keys_amd64.h"

// FOLD adds fold(x, y) to acc. Z27 masks the low half of a quadword.
#define FOLD(x, y, acc) \
	VPSRLQ     $32, x, Z8         \
	VPSRLQ     $32, y, Z9         \
	VPMULUDQ   y, x, Z10          \
	VPMULUDQ   Z9, x, Z11         \
	VPMULUDQ   y, Z8, Z12         \
	VPMULUDQ   Z9, Z8, Z13        \
	VPSRLQ     $32, Z10, Z8       \
	VPADDQ     Z8, Z12, Z12       \
	VPANDQ     Z27, Z12, Z8       \
	VPADDQ     Z8, Z11, Z11       \
	VPSRLQ     $32, Z12, Z12      \
	VPSRLQ     $32, Z11, Z8       \
	VPADDQ     Z12, Z13, Z13      \
	VPADDQ     Z8, Z13, Z13       \
	VPSLLQ     $32, Z11, Z11      \
	VPANDQ     Z27, Z10, Z10      \
	VPTERNLOGQ $0x96, Z10, Z11, Z13 \
	VPADDQ     Z13, acc, acc

// FOLDKEYED adds fold(v^ka, w^kb) to acc and leaves v and w as they are.
#define FOLDKEYED(v, ka, w, kb, acc) \
	VPXORQ v, ka, Z2 \
	VPXORQ w, kb, Z3 \
	FOLD(Z2, Z3, acc)

#define KEYED(secret, z) \
	MOVQ         $secret, AX \
	ADDQ         DX, AX      \
	VPBROADCASTQ AX, z

#define CONSTANT(c, z) \
	MOVQ         $c, AX \
	VPBROADCASTQ AX, z

// func flowHashVector(keys *FlowKey, scopes *uint32, out *uint64, n int, seed uint64)
TEXT ·flowHashVector(SB), NOSPLIT, $0-40
	MOVQ keys+0(FP), SI
	MOVQ scopes+8(FP), BX
	MOVQ out+16(FP), DI
	MOVQ n+24(FP), CX
	MOVQ seed+32(FP), DX

	LANES

	// The words of the secret: plus the seed those at even places, minus the
	// seed those at odd ones.
	KEYED(const_secret0, Z16)
	KEYED(const_secret2, Z18)
	KEYED(const_secret4, Z20)
	KEYED(const_secret6, Z22)
	NEGQ DX
	KEYED(const_secret1, Z17)
	KEYED(const_secret3, Z19)
	KEYED(const_secret5, Z21)
	KEYED(const_secret7, Z23)

	CONSTANT(const_length4, Z24)
	CONSTANT(const_length6, Z25)
	CONSTANT(const_primeMix, Z26)
	CONSTANT(0xffffffff, Z27)
	CONSTANT(0xffff, Z28)
	CONSTANT(0xff, Z29)
	CONSTANT(const_KeyIPv6, Z30)

turn:
	LOAD4
	VPMOVZXDQ  (BX), Z31
	VPSLLQ     $8, Z31, Z31
	VPSRLQ     $8, Z6, Z7
	VPANDQ     Z29, Z7, Z7
	VPORQ      Z7, Z31, Z31    // scope and protocol
	VPSRLQ     $32, Z6, Z7     // ports

	VPTESTMQ Z30, Z6, K5
	KORTESTW K5, K5
	JNZ      mixed

	// IPv4: endpoints of 48 bits.
	VPSLLQ  $16, Z4, Z4
	VPSRLQ  $16, Z7, Z8
	VPORQ   Z8, Z4, Z4
	VPSLLQ  $16, Z5, Z5
	VPANDQ  Z28, Z7, Z8
	VPORQ   Z8, Z5, Z5
	VPMINUQ Z4, Z5, Z7
	VPMAXUQ Z4, Z5, Z5

	VMOVDQA64 Z24, Z0
	FOLDKEYED(Z7, Z16, Z5, Z17, Z0)
	FOLDKEYED(Z5, Z18, Z31, Z19, Z0)

finish:
	VPSRLQ    $37, Z0, Z1
	VPXORQ    Z1, Z0, Z0
	VPMULLQ   Z26, Z0, Z0
	VPSRLQ    $32, Z0, Z1
	VPXORQ    Z1, Z0, Z0
	VMOVDQU64 Z0, (DI)

	ADDQ $(8*FlowKey__size), SI
	ADDQ $32, BX
	ADDQ $64, DI
	SUBQ $8, CX
	JNZ  turn
	VZEROUPPER
	RET

mixed:
	// Some key is IPv6 (K5 says which): hash all as both, then choose. Sorted
	// as IPv6, the endpoints of IPv4 keys are in order too.
	LOAD6
	SORT6

	VMOVDQA64 Z25, Z0
	FOLDKEYED(Z15, Z20, Z5, Z21, Z0)
	FOLDKEYED(Z15, Z22, Z5, Z23, Z0)
	FOLDKEYED(Z14, Z16, Z4, Z17, Z0)
	FOLDKEYED(Z7, Z18, Z31, Z19, Z0)

	KNOTB    K5, K6
	KORTESTB K6, K6
	JZ       finish

	VPSLLQ $16, Z4, Z4
	VPSRLQ $16, Z7, Z8
	VPORQ  Z8, Z4, Z4
	VPSLLQ $16, Z5, Z5
	VPANDQ Z28, Z7, Z8
	VPORQ  Z8, Z5, Z5

	VMOVDQA64 Z24, Z1
	FOLDKEYED(Z4, Z16, Z5, Z17, Z1)
	FOLDKEYED(Z5, Z18, Z31, Z19, Z1)
	VMOVDQA64 Z1, K6, Z0
	JMP       finish
