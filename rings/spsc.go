// Package rings holds the queues of the data plane: single-producer rings on
// which one lcore hands packets to another, and the receive queues of the ENIs.
package rings

import (
	"fmt"
	"sync/atomic"

	"github.com/nitrod/nitrod/internal/hugemem"
)

// SPSC is a bounded ring from one producer to one consumer. Items are copied in
// and out, and lie in memory outside the collector.
//
// Thread-safety: one goroutine calls Put and Publish, one calls Peek, Advance
// and Release; Len may be called by any. Items become visible to the consumer
// with Publish and free to the producer with Release, each an atomic store, so
// that a burst costs one of each and not one per packet.
//
// Limits: the capacity is a power of two; a full ring refuses and the caller
// counts the drop.
type SPSC[T any] struct {
	slots []T
	mask  uint32
	block *hugemem.Block[T]

	_         [64]byte
	published atomic.Uint32 // next slot the producer will fill, as the consumer knows it
	_         [60]byte
	released  atomic.Uint32 // next slot the consumer will take, as the producer knows it
	_         [60]byte

	// The producer's own.
	tail     uint32
	headSeen uint32
	_        [56]byte

	// The consumer's own.
	head     uint32
	tailSeen uint32
	_        [56]byte
}

// NewSPSC returns an empty ring for capacity items, a power of two.
func NewSPSC[T any](capacity int) (*SPSC[T], error) {
	if capacity < 2 || capacity&(capacity-1) != 0 || capacity > 1<<30 {
		return nil, fmt.Errorf("rings: capacity %d is not a power of two from 2 to 2^30", capacity)
	}
	b, err := hugemem.Alloc[T](capacity)
	if err != nil {
		return nil, err
	}
	return &SPSC[T]{slots: b.Items, mask: uint32(capacity - 1), block: b}, nil
}

// Free returns the ring's memory. Neither side may use it afterwards.
func (r *SPSC[T]) Free() error {
	r.slots = nil
	return r.block.Free()
}

// Put copies *v into the ring and reports whether there was room. The consumer
// sees it after the next Publish.
func (r *SPSC[T]) Put(v *T) bool {
	if r.tail-r.headSeen > r.mask {
		r.headSeen = r.released.Load()
		if r.tail-r.headSeen > r.mask {
			return false
		}
	}
	r.slots[r.tail&r.mask] = *v
	r.tail++
	return true
}

// Filled returns how many items were ever put, modulo 2^32. It is for the
// producer.
func (r *SPSC[T]) Filled() uint32 { return r.tail }

// Taken returns how many items were ever advanced over, modulo 2^32. It is for
// the consumer.
func (r *SPSC[T]) Taken() uint32 { return r.head }

// Publish makes everything put so far visible to the consumer.
func (r *SPSC[T]) Publish() {
	if r.published.Load() != r.tail {
		r.published.Store(r.tail)
	}
}

// Peek returns the oldest item not yet advanced over, in place, or nil. It is
// valid until Release.
func (r *SPSC[T]) Peek() *T {
	if r.head == r.tailSeen {
		r.tailSeen = r.published.Load()
		if r.head == r.tailSeen {
			return nil
		}
	}
	return &r.slots[r.head&r.mask]
}

// Advance steps over the item that Peek returned.
func (r *SPSC[T]) Advance() { r.head++ }

// Release gives the slots advanced over back to the producer.
func (r *SPSC[T]) Release() {
	if r.released.Load() != r.head {
		r.released.Store(r.head)
	}
}

// Len returns how many items are published and not released.
func (r *SPSC[T]) Len() int {
	released := r.released.Load() // first: it never passes published
	return int(r.published.Load() - released)
}

// Cap returns the capacity in items.
func (r *SPSC[T]) Cap() int { return int(r.mask) + 1 }
