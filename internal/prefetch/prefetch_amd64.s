#include "textflag.h"

// func First(l *Lines, n int)
TEXT ·First(SB), NOSPLIT, $0-16
	MOVQ l+0(FP), SI
	MOVQ n+8(FP), CX
	CMPQ CX, $64
	JGT  done
loop:
	SUBQ $1, CX
	JLT  done
	MOVQ (SI), AX
	PREFETCHT0 (AX)
	ADDQ $8, SI
	JMP  loop
done:
	RET
