// Package relaxed stores words that one goroutine writes and others read, at
// the price of a plain store where the processor allows it.
//
// Go's atomic stores are sequentially consistent: on amd64 an XCHG, some 20
// cycles, too much per packet. A counter or a table word with one writer needs
// less: that an aligned word is written whole. On amd64 a plain store does that,
// and its stores are seen in program order. Readers use sync/atomic loads.
//
// Race builds and other architectures use sync/atomic stores, so the race
// detector checks the readers' side of the bargain.
package relaxed
