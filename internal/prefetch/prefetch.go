// Package prefetch asks the processor to bring memory into its caches without
// waiting for it, which Go has no way to say.
package prefetch

// Max is the most lines that one call takes: those of a burst.
const Max = 64

// Lines is a list of addresses, one for each cache line that is wanted. They
// need not be valid.
type Lines [Max]uintptr
