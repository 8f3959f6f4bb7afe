package policy

import (
	"time"

	"github.com/nitrod/nitrod/policy/nacl"
	"github.com/nitrod/nitrod/policy/secgroup"
)

// Limits that Compile enforces. They are AWS's (docs/semantics.md, the section
// named) unless said otherwise.
const (
	MaxObjects = 65534 // of one kind; ours, because indices have 16 bits

	MaxIDLength = 128 // ours

	MinSubnetBits4, MaxSubnetBits4 = 16, 28 // S4.2
	MinSubnetBits6, MaxSubnetBits6 = 44, 64 // S4.2, in steps of SubnetStep6
	SubnetStep6                    = 4

	DelegatedBits4, DelegatedBits6 = 28, 80 // prefixes of an ENI, S4.2

	MaxACLRuleNumber = nacl.MaxNumber // S2
	MaxACLRules      = 1000           // per direction; ours, AWS's quota is 20 to 40

	MaxRulesPerENI       = secgroup.MaxRules  // S3, per direction and family
	MaxRulesPerGroup     = secgroup.MaxRules  // S3, per direction
	MaxGroupsPerENI      = secgroup.MaxGroups // S3
	MaxPrefixListEntries = 1000               // S3
	MaxRoutes            = 1000               // S4.1, per table and family

	MinMTU, MaxMTU = 128, 9001 // S4.4, S5.4
	MinMTU6        = 1280      // RFC 8200 section 5, for an ENI with an IPv6 address
	MaxQueues      = 128       // S5.4

	MaxFragmentRate = 100_000_000 // S5.3, a second; ours

	MinTCPEstablished, MaxTCPEstablished = 60, 432000 // seconds, S1.5
	MinUDP, MaxUDP                       = 30, 60
	MinUDPStream, MaxUDPStream           = 60, 180

	MaxConntrackGuaranteed = 1<<20 - 1 // S1.6
	MaxConntrackHalfOpen   = 1 << 26   // S1.9

	// Bounds of a Limit; ours (S6.4).
	MinBandwidth, MaxBandwidth = 64_000, 1_000_000_000_000 // bits a second
	MaxPacketRate              = 1_000_000_000             // a second
	MaxBurst                   = 1 << 30                   // bytes or packets
	MaxDelay                   = 100 * time.Millisecond
	MaxCredits                 = 1 << 50 // bytes
)
