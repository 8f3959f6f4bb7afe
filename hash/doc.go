// Package hash holds what turns a packet's addresses into a number: the flow
// key, the keyed hash that indexes the flow cache and the sessions, the
// functions by which a network card spreads packets over receive queues
// (Toeplitz, CRC32), the indirection table and the steering rules.
//
// Everything here is a pure function of its arguments and of values that do
// not change after they were made, so all of it may be called from any
// goroutine. Nothing allocates after construction. Keys of IPv4 flows must have
// zeros in the upper 96 bits of their addresses, as Addr defines them.
//
// Two kinds of hash live side by side and must not be exchanged. Toeplitz and
// CRC32 choose queues and lcores: they are linear, so whoever sends can choose
// tuples that collide, and where that matters a table with bounded buckets has
// to use FlowHasher, whose seed nobody outside knows.
package hash
