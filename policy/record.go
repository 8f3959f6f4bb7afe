package policy

// ENIFlags are the switches of an ENIRecord.
type ENIFlags uint16

// The flags.
const (
	// SourceDestCheck: the ENI sends only from and receives only for its own
	// addresses (docs/semantics.md S4.6).
	SourceDestCheck ENIFlags = 1 << iota
	// Dead: the slot belongs to no ENI, because it was removed. Nothing else
	// in the record but Gen means anything.
	Dead
)

// NoENI is the index of no ENI.
const NoENI = 0xffff

// ENIRecord is what the datapath needs of an ENI: one cache line, no pointers.
// What every packet needs is at its start.
type ENIRecord struct {
	MAC       [6]byte
	Flags     ENIFlags
	RouterMAC [6]byte // of the router of its subnet
	VPC       uint16
	// Gen is raised when the policy in force at the ENI changes. A verdict
	// made under an older one must be made anew. It is never 0.
	Gen      uint32
	Subnet   uint16
	Instance uint16
	MTU      uint16 // bytes of the IP packet
	Queues   uint16 // receive queues of the guest
	// Idle timeouts in seconds (docs/semantics.md S1.5).
	TCPEstablished uint32
	UDP            uint16
	UDPStream      uint16
	// Born is the first generation of the ENI in its slot: what is older was
	// decided for another ENI.
	Born uint32
	// FragmentRate is how many fragments it may send a second; 0 is no limit. It
	// decides no flow, and so does not raise Gen.
	FragmentRate uint32
	// Connections of its instance's allowance that nobody else may use, and
	// those that it may have half open; 0 is no limit (S1.6, S1.9).
	// They concern new flows only, and do not raise Gen.
	Guaranteed uint32
	HalfOpen   uint32

	_ [12]byte // fills the cache line
}

// Dead reports whether the record is of a removed ENI.
func (r *ENIRecord) Dead() bool { return r.Flags&Dead != 0 }
