package hash

import "golang.org/x/sys/cpu"

// haveVector says whether the processor, and the system that saves its
// registers, can run the vector code. Only tests change it.
var haveVector = cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512DQ &&
	cpu.X86.HasAVX512VL && cpu.X86.HasAVX512VPCLMULQDQ && cpu.X86.HasAVX512GFNI

// vectorKeys is how many keys the vector code takes at once.
const vectorKeys = 8
