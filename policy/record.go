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
	// IsInternetGateway: the record is of an internet gateway's port, behind
	// which is the world. It has a VPC and no subnet, instance, groups or ACL.
	IsInternetGateway
	// IsServicePort: the record is of the port behind which a VPC's
	// link-local services are. It has what an internet gateway's has.
	IsServicePort
	// Limited: the ENI or its instance has a limit, so that the ENILimits and the
	// InstanceRecord concern its packets. It decides no flow, and does not raise
	// Gen.
	Limited

	// Outside are the kinds of ports that belong to no ENI.
	Outside = IsInternetGateway | IsServicePort
)

// NoENI is the index of no ENI, NoSubnet of no subnet and NoInstance of no
// instance.
const (
	NoENI      = 0xffff
	NoSubnet   = 0xffff
	NoInstance = 0xffff
)

// ENIRecord is what the datapath needs of an ENI: one cache line, no pointers.
// What every packet needs is at its start. The port of an internet gateway and
// that of link-local services have such a record too, told by Flags: their MAC is
// that of the host behind the port, their RouterMAC nitrod's own there.
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
	// FragmentRate is how many fragments it may send a second, LinkLocalRate how
	// many packets to link-local services; 0 is no limit. They decide no flow, and
	// so do not raise Gen.
	FragmentRate  uint32
	LinkLocalRate uint32
	// Connections of its instance's allowance that nobody else may use, and
	// those that it may have half open; 0 is no limit (S1.6, S1.9).
	// They concern new flows only, and do not raise Gen.
	Guaranteed uint32
	HalfOpen   uint32

	_ [8]byte // fills the cache line
}

// Dead reports whether the record is of a removed ENI.
func (r *ENIRecord) Dead() bool { return r.Flags&Dead != 0 }

// Outside reports whether the record is of a port that belongs to no ENI: an
// internet gateway's or that of link-local services.
func (r *ENIRecord) Outside() bool { return r.Flags&Outside != 0 }
