// What the vector code shares: eight keys a turn, one per quadword, in order.
// SI points to the keys. K1 to K3 are the lane masks.

#define LANES \
	MOVL  $0x0c, AX \
	KMOVW AX, K1    \
	MOVL  $0x30, AX \
	KMOVW AX, K2    \
	MOVL  $0xc0, AX \
	KMOVW AX, K3

// LOAD gathers 16 bytes at offset off of keys 0, 2, 4, 6 into even and of
// keys 1, 3, 5, 7 into odd. Unpacking the two puts the keys in order.
#define LOAD(off, even, odd) \
	VBROADCASTI64X2 (0*FlowKey__size+off)(SI), even     \
	VBROADCASTI64X2 (1*FlowKey__size+off)(SI), odd      \
	VBROADCASTI64X2 (2*FlowKey__size+off)(SI), K1, even \
	VBROADCASTI64X2 (3*FlowKey__size+off)(SI), K1, odd  \
	VBROADCASTI64X2 (4*FlowKey__size+off)(SI), K2, even \
	VBROADCASTI64X2 (5*FlowKey__size+off)(SI), K2, odd  \
	VBROADCASTI64X2 (6*FlowKey__size+off)(SI), K3, even \
	VBROADCASTI64X2 (7*FlowKey__size+off)(SI), K3, odd

// LOAD4 loads what IPv4 needs: Z4 and Z5 the low halves of source and
// destination, Z6 the tail. The high half of the source stays in Z0 and Z1.
#define LOAD4 \
	LOAD(FlowKey_Src, Z0, Z1)   \
	LOAD(FlowKey_Dst+8, Z2, Z3) \
	VPUNPCKHQDQ Z1, Z0, Z4      \
	VPUNPCKLQDQ Z3, Z2, Z5      \
	VPUNPCKHQDQ Z3, Z2, Z6

// LOAD6 loads the rest: Z14 and Z15 the high halves of source and destination.
#define LOAD6 \
	VPUNPCKLQDQ Z1, Z0, Z14   \
	LOAD(FlowKey_Dst, Z2, Z3) \
	VPUNPCKLQDQ Z3, Z2, Z15

// SORT6 puts the smaller endpoint into Z14, Z4 and the upper half of the
// ports, which are in the low doublewords of Z7.
#define SORT6 \
	VPROLD    $16, Z7, Z8          \
	VPCMPUQ   $6, Z15, Z14, K6     \
	VPCMPEQQ  Z15, Z14, K7         \
	VPCMPUQ   $6, Z5, Z4, K7, K4   \
	KORW      K4, K6, K6           \
	VPCMPEQQ  Z5, Z4, K7, K7       \
	VPCMPUQ   $6, Z8, Z7, K7, K4   \
	KORW      K4, K6, K6           \
	VMOVDQA64 Z4, Z10              \
	VMOVDQA64 Z5, K6, Z4           \
	VMOVDQA64 Z10, K6, Z5          \
	VMOVDQA64 Z14, Z10             \
	VMOVDQA64 Z15, K6, Z14         \
	VMOVDQA64 Z10, K6, Z15         \
	VMOVDQA64 Z8, K6, Z7
