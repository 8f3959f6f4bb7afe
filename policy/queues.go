package policy

import "github.com/nitrod/nitrod/hash"

// RSS says how an ENI spreads what no steering rule takes over its receive
// queues (docs/semantics.md S5.7).
type RSS struct {
	CRC32   bool      // the function is CRC32, else Toeplitz
	Keyed   bool      // Key is given, else nitrod draws one when it starts
	Key     hash.Key  // of Toeplitz
	Mode    hash.Mode // of Toeplitz
	Entries []uint16  // receive queue by entry of the indirection table; nil for the default
}

// SteerRule leads packets that come for an ENI to one of its receive queues,
// whatever its RSS says (docs/semantics.md S5.8).
type SteerRule struct {
	ENI  string
	Rule hash.SteerRule // its own ENI is not read
	Pos  Pos
}
