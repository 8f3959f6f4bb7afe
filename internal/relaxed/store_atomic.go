//go:build !amd64 || race

package relaxed

import "sync/atomic"

// Store64 sets *p, whole.
func Store64(p *uint64, v uint64) { atomic.StoreUint64(p, v) }

// Store32 sets *p, whole.
func Store32(p *uint32, v uint32) { atomic.StoreUint32(p, v) }

// StoreInt64 sets *p, whole.
func StoreInt64(p *int64, v int64) { atomic.StoreInt64(p, v) }
