package hash

import "errors"

// MaxIndirection is the largest indirection table: the ENA driver takes what the
// device advertises since 2.13.2, a power of two up to 2^16.
const MaxIndirection = 1 << 16

// DefaultIndirection is the size of an ENA device's table where it does not
// advertise another.
const DefaultIndirection = 128

// Errors of an IndirectionTable's constructors.
var (
	ErrTableSize = errors.New("hash: the size of an indirection table is a power of two up to 65536")
	ErrTargets   = errors.New("hash: an indirection table needs 1 to 65536 targets with a weight above zero")
	ErrEntry     = errors.New("hash: no such entry in the indirection table")
)

// IndirectionTable maps hash values to targets: the 512 shards of the host to
// lcores, the entries of an ENI to receive queues. Its size is a power of two,
// and the low bits of a hash are the entry.
//
// It is a value: the With methods return a changed copy, whose generation is
// one higher, and leave the receiver as it was. Whoever keeps what came out of
// a table keeps the generation beside it, and holds one line of descent: two
// tables made from the same one have equal generations.
//
// The zero value is a table of one entry, target 0, generation 0; a table made
// by NewIndirectionTable has generation 1.
//
// Thread-safety: immutable, for any number of goroutines.
type IndirectionTable struct {
	entries []uint16
	mask    uint32 // 0 in the zero value
	gen     uint64
}

// NewIndirectionTable returns a table of the given size in which entry i leads
// to target i mod targets, the default of Linux (ethtool_rxfh_indir_default)
// and of ENA's drivers. It returns ErrTableSize or ErrTargets.
func NewIndirectionTable(size, targets int) (IndirectionTable, error) {
	if size < 1 || size > MaxIndirection || size&(size-1) != 0 {
		return IndirectionTable{}, ErrTableSize
	}
	t := IndirectionTable{entries: make([]uint16, size), mask: uint32(size - 1)}
	return t.WithEqual(targets)
}

// Entry returns the target of a hash value.
func (t IndirectionTable) Entry(hash uint32) uint16 {
	if i := hash & t.mask; i < uint32(len(t.entries)) {
		return t.entries[i]
	}
	return 0
}

// Len returns the number of entries.
func (t IndirectionTable) Len() int { return max(len(t.entries), 1) }

// Generation returns the table's generation.
func (t IndirectionTable) Generation() uint64 { return t.gen }

// Entries returns a copy of all targets, in order.
func (t IndirectionTable) Entries() []uint16 {
	e := make([]uint16, t.Len())
	copy(e, t.entries)
	return e
}

// WithEntry returns the table with one target changed, or ErrEntry.
func (t IndirectionTable) WithEntry(i int, target uint16) (IndirectionTable, error) {
	if i < 0 || i >= t.Len() {
		return t, ErrEntry
	}
	n := t.next()
	n.entries[i] = target
	return n, nil
}

// WithEntries returns the table with all targets given, as ETHTOOL_SRXFH sets
// them, or ErrTableSize if there are not exactly Len of them.
func (t IndirectionTable) WithEntries(targets []uint16) (IndirectionTable, error) {
	if len(targets) != t.Len() {
		return t, ErrTableSize
	}
	n := t.next()
	copy(n.entries, targets)
	return n, nil
}

// WithEqual returns the table spread over targets as NewIndirectionTable does,
// like ethtool -X equal N, or ErrTargets.
func (t IndirectionTable) WithEqual(targets int) (IndirectionTable, error) {
	if targets < 1 || targets > MaxIndirection {
		return t, ErrTargets
	}
	n := t.next()
	for i := range n.entries {
		n.entries[i] = uint16(i % targets)
	}
	return n, nil
}

// WithWeights returns the table spread over targets 0 to len(weights)-1 in
// proportion to their weights, in runs, like ethtool -X weight: each run ends
// at the entry that its share of the sum, rounded down, comes to. A target of
// weight zero gets no entry. It returns ErrTargets if no weight is above zero
// or there are too many.
func (t IndirectionTable) WithWeights(weights []uint32) (IndirectionTable, error) {
	var sum uint64
	for _, w := range weights {
		sum += uint64(w)
	}
	if sum == 0 || len(weights) > MaxIndirection {
		return t, ErrTargets
	}
	n := t.next()
	var part uint64
	i := 0
	for target, w := range weights {
		part += uint64(w)
		for end := int(part * uint64(len(n.entries)) / sum); i < end; i++ {
			n.entries[i] = uint16(target)
		}
	}
	return n, nil
}

// next returns a copy to be changed.
func (t IndirectionTable) next() IndirectionTable {
	return IndirectionTable{entries: t.Entries(), mask: t.mask, gen: t.gen + 1}
}
