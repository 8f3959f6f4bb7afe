package hash

import (
	"slices"
	"syscall"
)

// FlowType is what a steering rule applies to, numbered as ENA's admin queue
// numbers it (ENA_ADMIN_FLOW_*). ENA has no SCTP, AH, ESP or Ethernet rules.
type FlowType uint8

// The flow types. The two for IP alone take every protocol and compare no
// ports.
const (
	FlowIPv4    FlowType = 1
	FlowIPv6    FlowType = 2
	FlowIPv4TCP FlowType = 3
	FlowIPv6TCP FlowType = 4
	FlowIPv4UDP FlowType = 5
	FlowIPv6UDP FlowType = 6
)

// SteerRule directs matching packets to a queue, whatever RSS says. In a mask
// a 1 means that the bit is compared, as in ethtool's structures and unlike
// what ethtool -n prints. Masks need not be contiguous. A value's bits outside
// its mask do not count.
type SteerRule struct {
	// ENI owns the rule. Unused, and 0, in a table of the host.
	ENI uint16
	// Location is the rule's index; the lowest that matches wins.
	Location uint32
	// Queue is the receive queue, or for the host the lcore.
	Queue uint16

	Type                      FlowType
	Src, SrcMask              Addr
	Dst, DstMask              Addr
	SrcPort, SrcPortMask      uint16
	DstPort, DstPortMask      uint16
	TrafficClass, TrafficMask uint8 // the TOS byte; IPv4 only
}

// steerError is a refusal with the errno that ENA's driver gives for it.
type steerError struct {
	text  string
	errno syscall.Errno
}

func (e *steerError) Error() string { return e.text }
func (e *steerError) Unwrap() error { return e.errno }

// Errors of a SteeringTable. Each wraps the error number of the Linux driver
// for ENA (ena_ethtool.c), so errors.Is finds EINVAL or EOPNOTSUPP in it.
var (
	// ErrSteerTaken: the index is in use, by this ENI or by another of the
	// instance. A rule is never replaced in place. EINVAL.
	ErrSteerTaken error = &steerError{"hash: the steering index is in use", syscall.EINVAL}
	// ErrSteerIndex: the index lies beyond the table. EINVAL.
	ErrSteerIndex error = &steerError{"hash: the steering index is beyond the table", syscall.EINVAL}
	// ErrSteerUnused: there is no rule of this ENI at the index. EINVAL.
	ErrSteerUnused error = &steerError{"hash: no rule at the steering index", syscall.EINVAL}
	// ErrSteerLocation: ethtool was left to pick an index (any, first, last).
	// EOPNOTSUPP.
	ErrSteerLocation error = &steerError{"hash: the steering index must be given", syscall.EOPNOTSUPP}
	// ErrSteerUnsupported: the rule compares what its flow type or this table
	// cannot. EOPNOTSUPP. The driver passes some of these over in silence (the
	// traffic class of IPv6, for one); a rule that would not do what it says
	// is refused here.
	ErrSteerUnsupported error = &steerError{"hash: the steering rule matches on what is not supported", syscall.EOPNOTSUPP}
)

// steerSpecial is the bit of ethtool's special locations
// (RX_CLS_LOC_SPECIAL in the kernel's ethtool.h).
const steerSpecial = 1 << 31

// MaxSteering is the largest steering table. ENA's has as many entries as the
// instance has vCPUs.
const MaxSteering = 1024

// SteeringTable holds the steering rules of an instance, whose ENIs share its
// indices, or those of the host. Lowest location first: Linux's user API
// defines it so, and ENA's documents do not say what the device does.
//
// It is a value: Add, Remove and RemoveAll return a changed copy, whose
// generation is one higher, and leave the receiver as it was. On an error they
// return the receiver. The zero value has no room for rules.
//
// Thread-safety: immutable, for any number of goroutines.
//
// Limits: MaxSteering rules; a match walks them one by one, 0.4 ns each, or 0.9
// in both directions, where protocol and port tell most of them apart, and up
// to three times that where they do not. Ask Len first where there are often
// no rules at all.
type SteeringTable struct {
	rules  []SteerRule // by location
	tests  []steerTest // of the same rules
	size   uint32
	gen    uint64
	isHost bool
}

// NewSteeringTable returns an empty table for an instance. A size outside 0 to
// MaxSteering is taken as the nearer of these.
func NewSteeringTable(size int) SteeringTable {
	return SteeringTable{size: uint32(min(max(size, 0), MaxSteering)), gen: 1}
}

// NewHostSteeringTable returns an empty table for the host, whose rules choose
// lcores and are matched with MatchEither. It takes no rules with an ENI or a
// traffic class: all packets of a flow, in both directions, have to come to
// one lcore, and neither is the same for all of them.
func NewHostSteeringTable(size int) SteeringTable {
	t := NewSteeringTable(size)
	t.isHost = true
	return t
}

// Size returns how many rules there is room for.
func (t SteeringTable) Size() int { return int(t.size) }

// Len returns how many rules there are.
func (t SteeringTable) Len() int { return len(t.rules) }

// Generation returns the table's generation; see IndirectionTable.
func (t SteeringTable) Generation() uint64 { return t.gen }

// Rules returns a copy of the rules, lowest location first.
func (t SteeringTable) Rules() []SteerRule { return slices.Clone(t.rules) }

// Add returns the table with one rule more. Errors: ErrSteerLocation,
// ErrSteerIndex, ErrSteerTaken, ErrSteerUnsupported.
func (t SteeringTable) Add(r SteerRule) (SteeringTable, error) {
	if r.Location&steerSpecial != 0 {
		return t, ErrSteerLocation
	}
	if r.Location >= t.size {
		return t, ErrSteerIndex
	}
	test, ok := compileSteer(&r)
	if !ok || t.isHost && (r.ENI != 0 || r.TrafficMask != 0) {
		return t, ErrSteerUnsupported
	}
	at, taken := t.find(r.Location)
	if taken {
		return t, ErrSteerTaken
	}
	t.rules = slices.Insert(slices.Clone(t.rules), at, r)
	t.tests = slices.Insert(slices.Clone(t.tests), at, test)
	t.gen++
	return t, nil
}

// Remove returns the table without the rule of an ENI at a location. Errors:
// ErrSteerIndex, ErrSteerUnused; the latter too if the rule is another ENI's.
func (t SteeringTable) Remove(eni uint16, location uint32) (SteeringTable, error) {
	if location >= t.size {
		return t, ErrSteerIndex
	}
	at, ok := t.find(location)
	if !ok || t.rules[at].ENI != eni {
		return t, ErrSteerUnused
	}
	t.rules = slices.Delete(slices.Clone(t.rules), at, at+1)
	t.tests = slices.Delete(slices.Clone(t.tests), at, at+1)
	t.gen++
	return t, nil
}

// RemoveAll returns the table without the rules of an ENI.
func (t SteeringTable) RemoveAll(eni uint16) SteeringTable {
	kept := SteeringTable{size: t.size, gen: t.gen + 1, isHost: t.isHost}
	for i := range t.rules {
		if t.rules[i].ENI != eni {
			kept.rules = append(kept.rules, t.rules[i])
			kept.tests = append(kept.tests, t.tests[i])
		}
	}
	return kept
}

func (t SteeringTable) find(location uint32) (at int, ok bool) {
	return slices.BinarySearchFunc(t.rules, location, func(r SteerRule, l uint32) int {
		return int(r.Location) - int(l)
	})
}
