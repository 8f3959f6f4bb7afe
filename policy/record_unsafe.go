package policy

import "unsafe"

// An ENIRecord is exactly one cache line; either constant overflows otherwise.
const (
	_ = uint(64 - unsafe.Sizeof(ENIRecord{}))
	_ = uint(unsafe.Sizeof(ENIRecord{}) - 64)
)
