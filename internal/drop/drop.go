// Package drop is the one list of reasons for which nitrod refuses a packet.
//
// Everything that names a reason comes from it: the counter slots, the label
// in metrics, the text of explain, and docs/drops.md, which is generated
// (go generate ./internal/drop). A reason is added here and nowhere else.
package drop

//go:generate go run ./gen ../../docs/drops.md

// Reason says why a packet was dropped. The zero value means that a stage
// refused a packet without saying why, which is a defect of that stage; it is
// counted so that it can be seen.
type Reason uint8

// Stage is the pipeline stage at which a packet is dropped.
type Stage string

// The stages, in the order in which a packet meets them.
const (
	StageRx       Stage = "rx"
	StageParse    Stage = "parse"
	StageDispatch Stage = "dispatch"
	StageSlowPath Stage = "slowpath"
	StageTrack    Stage = "track"
	StageLimit    Stage = "limit"
	StageRewrite  Stage = "rewrite"
	StageTx       Stage = "tx"
)

// Half is the side of a local flow that judged the packet: every packet
// between two ENIs is judged once as it leaves the source ENI and once as it
// reaches the destination ENI. Empty where neither is concerned.
type Half string

// The two halves.
const (
	HalfEgress  Half = "egress"
	HalfIngress Half = "ingress"
)

// Info describes a reason to people and to generators.
type Info struct {
	Name  string // snake_case, stable: it is a metric label
	Stage Stage
	Half  Half
	AWS   string // Reachability Analyzer's explanation code, where it has one
	Help  string // one sentence
}

// The reasons.
const (
	Unset Reason = iota

	// rx and parse
	PortWithoutENI
	FrameTooShort
	HeadersSplit
	VLANTruncated
	VLANTagged
	EtherTypeUnknown
	ARPMalformed
	IPv4Truncated
	IPv4BadVersion
	IPv4BadHeaderLength
	IPv4BadTotalLength
	IPv4BadChecksum
	IPv6Truncated
	IPv6BadVersion
	IPv6BadPayloadLength
	IPv6BadExtension
	FragmentMalformed
	FragmentTooLong
	FragmentTiny
	FragmentInHeader
	TCPTruncated
	TCPBadOffset
	UDPTruncated
	UDPBadLength
	ICMPTruncated
	LLQHeadersExceeded
	SourceMACSpoofed
	Broadcast
	Multicast

	// dispatch
	HandoverRingFull
	FragmentRateExceeded
	FragmentWithoutFirst
	FragmentDuplicate
	FragmentOverlap
	FragmentPastEnd
	FragmentTooManyGaps
	FragmentHoldFull
	FragmentStoreFull

	// slow path
	SlowPathQueueFull
	SourceIPSpoofed
	DestinationMACUnknown
	ARPNotAnswered
	NDNotAnswered
	NDMalformed
	DHCPMalformed
	RouterNoService
	LinkLocalNoService
	NoRoute
	RouteBlackhole
	RouteNoSuchTarget
	UnknownDestination
	DestinationCheck
	GatewaySourceSpoofed
	GatewaySourcePrivate
	GatewaySourceShared
	GatewayNoPrivateAddress
	GatewayNoPublicAddress
	GatewayDestinationPrivate
	GatewayDestinationShared
	GatewayReflection
	ServiceSource
	ServiceDestination
	NACLOut
	NACLIn
	SecurityGroupOut
	SecurityGroupIn
	MTUExceeded
	ICMPErrorUnmatched
	MidstreamTCP
	SessionTableFull
	ConntrackAllowanceExceeded
	ConntrackHalfOpenExceeded

	// track, limit and rewrite
	TCPInvalidFlags
	TCPSessionClosed
	TCPOutOfWindow
	FlowBandwidthExceeded
	ENIOutBandwidthExceeded
	ENIInBandwidthExceeded
	QueueBandwidthExceeded
	BWOutAllowanceExceeded
	BWInAllowanceExceeded
	PPSAllowanceExceeded
	PPSInAllowanceExceeded
	LimitQueueFull
	ENIRemoved
	TTLExpired
	NoBuffer
	LinkLocalAllowanceExceeded

	// tx
	EgressRingFull
	PacingFlowFull
	PacingQueueFull
	PacingTooLate
	TxQueueFull
	Shutdown

	Count // number of reasons; keep last
)

var infos = [Count]Info{
	Unset:                      {"unset", StageSlowPath, "", "", "A stage refused the packet without a reason; this is a defect of nitrod."},
	PortWithoutENI:             {"port_without_eni", StageRx, "", "UNASSOCIATED_COMPONENT", "The port on which the packet came belongs to no ENI."},
	FrameTooShort:              {"frame_too_short", StageParse, "", "", "The frame ends before its Ethernet header does."},
	HeadersSplit:               {"headers_split", StageParse, "", "", "The headers do not lie in the first segment and could not be put together there."},
	VLANTruncated:              {"vlan_truncated", StageParse, "", "", "The frame ends inside a VLAN tag."},
	VLANTagged:                 {"vlan_tagged", StageParse, "", "PROTOCOL_RESTRICTION", "The frame carries a VLAN tag; an ENI sends and receives untagged frames only."},
	EtherTypeUnknown:           {"ethertype_unknown", StageParse, "", "PROTOCOL_RESTRICTION", "The EtherType is neither IPv4, IPv6 nor ARP."},
	ARPMalformed:               {"arp_malformed", StageParse, "", "", "The ARP message is truncated or not Ethernet over IPv4."},
	IPv4Truncated:              {"ipv4_truncated", StageParse, "", "", "The frame ends before its IPv4 header does."},
	IPv4BadVersion:             {"ipv4_bad_version", StageParse, "", "", "The version in the IPv4 header is not 4."},
	IPv4BadHeaderLength:        {"ipv4_bad_header_length", StageParse, "", "", "The IPv4 header length is below 20 bytes or beyond the packet."},
	IPv4BadTotalLength:         {"ipv4_bad_total_length", StageParse, "", "", "The IPv4 total length is shorter than the header or longer than the frame."},
	IPv4BadChecksum:            {"ipv4_bad_checksum", StageParse, "", "", "The IPv4 header checksum is wrong."},
	IPv6Truncated:              {"ipv6_truncated", StageParse, "", "", "The frame ends before its IPv6 header does."},
	IPv6BadVersion:             {"ipv6_bad_version", StageParse, "", "", "The version in the IPv6 header is not 6."},
	IPv6BadPayloadLength:       {"ipv6_bad_payload_length", StageParse, "", "", "The IPv6 payload length is longer than the frame, or names a jumbogram."},
	IPv6BadExtension:           {"ipv6_bad_extension", StageParse, "", "", "An IPv6 extension header is truncated, misplaced, or one of too many."},
	FragmentMalformed:          {"fragment_malformed", StageParse, "", "", "A fragment is empty, or is not the last and its length is not a multiple of eight."},
	FragmentTooLong:            {"fragment_too_long", StageParse, "", "", "A fragment reaches beyond the 65,535 bytes that a datagram may have."},
	FragmentTiny:               {"fragment_tiny", StageParse, "", "", "A first fragment ends inside the headers, which it must hold whole (RFC 1858, RFC 7112)."},
	FragmentInHeader:           {"fragment_in_header", StageParse, "", "", "A later fragment of a TCP segment begins inside the TCP header (RFC 1858)."},
	TCPTruncated:               {"tcp_truncated", StageParse, "", "", "The packet ends before its TCP header does."},
	TCPBadOffset:               {"tcp_bad_offset", StageParse, "", "", "The TCP data offset is below 20 bytes or beyond the packet."},
	UDPTruncated:               {"udp_truncated", StageParse, "", "", "The packet ends before its UDP header does."},
	UDPBadLength:               {"udp_bad_length", StageParse, "", "", "The UDP length is below 8 bytes or beyond the packet."},
	ICMPTruncated:              {"icmp_truncated", StageParse, "", "", "The packet ends before its ICMP or ICMPv6 header does."},
	LLQHeadersExceeded:         {"llq_headers_exceeded", StageParse, HalfEgress, "", "The packet's headers are longer than the sending ENI's device takes them (llq)."},
	SourceMACSpoofed:           {"source_mac_spoofed", StageParse, HalfEgress, "ENI_ADDRESS_RESTRICTION", "The source MAC is not the one of the sending ENI."},
	Broadcast:                  {"broadcast", StageParse, HalfEgress, "PROTOCOL_RESTRICTION", "A VPC carries no broadcast, and the frame is not one that nitrod answers itself."},
	Multicast:                  {"multicast", StageParse, HalfEgress, "PROTOCOL_RESTRICTION", "A VPC carries no multicast, and the frame is not one that nitrod answers itself."},
	HandoverRingFull:           {"handover_ring_full", StageDispatch, "", "", "The ring to the lcore that owns the flow is full."},
	FragmentRateExceeded:       {"fragment_rate_exceeded", StageDispatch, HalfEgress, "", "The ENI has sent more fragments a second than its fragment_rate (ENA: pps_allowance_exceeded)."},
	FragmentWithoutFirst:       {"fragment_without_first", StageDispatch, "", "", "A later fragment waited for the first one of its datagram, which did not come in time."},
	FragmentDuplicate:          {"fragment_duplicate", StageDispatch, "", "", "All bytes of the fragment have come before, in other fragments of its datagram."},
	FragmentOverlap:            {"fragment_overlap", StageDispatch, "", "", "A fragment has some bytes that came before and some that did not; what else comes of its datagram is dropped too (RFC 5722)."},
	FragmentPastEnd:            {"fragment_past_end", StageDispatch, "", "", "The fragments disagree on where their datagram ends; what else comes of it is dropped too."},
	FragmentTooManyGaps:        {"fragment_too_many_gaps", StageDispatch, "", "", "The fragments of the datagram come so out of order that it has more gaps than nitrod keeps account of."},
	FragmentHoldFull:           {"fragment_hold_full", StageDispatch, HalfEgress, "", "Of the ENI's fragments more wait for the first ones of their datagrams than may; those that have waited longest go."},
	FragmentStoreFull:          {"fragment_store_full", StageDispatch, HalfEgress, "", "A fragment was waiting for the first one of its datagram, and its ENI has begun more datagrams than may be open at a time."},
	SlowPathQueueFull:          {"slowpath_queue_full", StageSlowPath, "", "", "More first packets are waiting for the slow path than its queue holds."},
	SourceIPSpoofed:            {"source_ip_spoofed", StageSlowPath, HalfEgress, "ENI_SOURCE_DEST_CHECK_RESTRICTION", "The source address is not one of the sending ENI's, and its source/destination check is on."},
	DestinationMACUnknown:      {"destination_mac_unknown", StageSlowPath, HalfEgress, "UNKNOWN_DESTINATION", "The destination MAC is neither the router's nor the one of the ENI that has the destination address."},
	ARPNotAnswered:             {"arp_not_answered", StageSlowPath, HalfEgress, "", "An ARP message that asks for no address of the subnet in use, announces one, or probes for the asker's own."},
	NDNotAnswered:              {"nd_not_answered", StageSlowPath, HalfEgress, "", "A neighbour or router discovery message that asks for no address of the subnet in use, or that nitrod does not answer."},
	NDMalformed:                {"nd_malformed", StageSlowPath, HalfEgress, "", "A neighbour discovery message that breaks RFC 4861 or RFC 6980: hop limit below 255, truncated, a bad option, or in fragments."},
	DHCPMalformed:              {"dhcp_malformed", StageSlowPath, HalfEgress, "", "A DHCP message that breaks RFC 2131, or one that asks nothing of a server."},
	RouterNoService:            {"router_no_service", StageSlowPath, HalfEgress, "", "The packet is addressed to the subnet's router or another reserved address, which offers no such service."},
	LinkLocalNoService:         {"linklocal_no_service", StageSlowPath, HalfEgress, "", "The packet is addressed to a link-local service that no local port stands for."},
	NoRoute:                    {"no_route", StageSlowPath, HalfEgress, "NO_ROUTE_TO_DESTINATION", "The route table of the subnet has no route to the destination."},
	RouteBlackhole:             {"route_blackhole", StageSlowPath, HalfEgress, "BAD_STATE_ROUTE", "The chosen route's state is blackhole."},
	RouteNoSuchTarget:          {"route_no_such_target", StageSlowPath, HalfEgress, "CANNOT_ROUTE", "The chosen route's target is a gateway that this host does not have."},
	UnknownDestination:         {"unknown_destination", StageSlowPath, HalfEgress, "UNKNOWN_DESTINATION", "No ENI of the VPC has the destination address."},
	DestinationCheck:           {"destination_check", StageSlowPath, HalfIngress, "ENI_SOURCE_DEST_CHECK_RESTRICTION", "The destination address is not one of the receiving ENI's, and its source/destination check is on."},
	GatewaySourceSpoofed:       {"igw_source_spoofed", StageSlowPath, HalfEgress, "GATEWAY_REJECTS_SPOOFED_TRAFFIC", "A packet came by the internet gateway from an address of the VPC itself, or from one that no network has."},
	GatewaySourcePrivate:       {"igw_source_private", StageSlowPath, HalfEgress, "IGW_SOURCE_ADDRESS_NOT_IN_RFC1918_INGRESS", "A packet came by the internet gateway from a private address (RFC 1918, RFC 4193)."},
	GatewaySourceShared:        {"igw_source_shared", StageSlowPath, HalfEgress, "IGW_SOURCE_ADDRESS_NOT_IN_RFC6598_INGRESS", "A packet came by the internet gateway from the shared address space of RFC 6598."},
	GatewayNoPrivateAddress:    {"igw_no_private_address", StageSlowPath, HalfEgress, "IGW_PRIVATE_IP_ASSOCIATION_FOR_INGRESS", "A packet came by the internet gateway for an address that is no ENI's public one."},
	GatewayNoPublicAddress:     {"igw_no_public_address", StageSlowPath, HalfEgress, "IGW_PUBLIC_IP_ASSOCIATION_FOR_EGRESS", "The source address has no public one, without which it cannot leave by the internet gateway."},
	GatewayDestinationPrivate:  {"igw_destination_private", StageSlowPath, HalfEgress, "IGW_DESTINATION_ADDRESS_NOT_IN_RFC1918_EGRESS", "The internet gateway sends nothing to private addresses (RFC 1918, RFC 4193)."},
	GatewayDestinationShared:   {"igw_destination_shared", StageSlowPath, HalfEgress, "IGW_DESTINATION_ADDRESS_NOT_IN_RFC6598_EGRESS", "The internet gateway sends nothing to the shared address space of RFC 6598."},
	GatewayReflection:          {"igw_reflection", StageSlowPath, HalfEgress, "IGW_NAT_REFLECTION", "The destination is a public address of the packet's own VPC, and the internet gateway reflects nothing."},
	ServiceSource:              {"service_source", StageSlowPath, HalfEgress, "", "A packet came by the service port from an address that is no link-local service's."},
	ServiceDestination:         {"service_destination", StageSlowPath, HalfEgress, "", "A packet came by the service port for an address that no ENI of the VPC has."},
	NACLOut:                    {"nacl_out", StageSlowPath, HalfEgress, "SUBNET_ACL_RESTRICTION", "The network ACL of the source subnet denies the packet on its way out."},
	NACLIn:                     {"nacl_in", StageSlowPath, HalfIngress, "SUBNET_ACL_RESTRICTION", "The network ACL of the destination subnet denies the packet on its way in."},
	SecurityGroupOut:           {"security_group_out", StageSlowPath, HalfEgress, "ENI_SG_RULES_MISMATCH", "No outbound rule of the source ENI's security groups admits the flow."},
	SecurityGroupIn:            {"security_group_in", StageSlowPath, HalfIngress, "ENI_SG_RULES_MISMATCH", "No inbound rule of the destination ENI's security groups admits the flow."},
	MTUExceeded:                {"mtu_exceeded", StageSlowPath, HalfIngress, "", "The packet is longer than the destination ENI's MTU, and is not one that a router may fragment."},
	ICMPErrorUnmatched:         {"icmp_error_unmatched", StageSlowPath, "", "", "An ICMP error whose quoted packet cannot be read, or was not sent by the error's receiver."},
	MidstreamTCP:               {"midstream_tcp", StageSlowPath, "", "", "A TCP packet without SYN met no session, and midstream is strict."},
	SessionTableFull:           {"session_table_full", StageSlowPath, "", "", "The lcore's session table is full."},
	ConntrackAllowanceExceeded: {"conntrack_allowance_exceeded", StageSlowPath, "", "", "The instance has used up its allowance of tracked connections; only new ones are refused."},
	ConntrackHalfOpenExceeded:  {"conntrack_half_open_exceeded", StageSlowPath, "", "", "The ENI has begun as many connections as it may have half open, and none of this lcore's can make room."},
	TCPInvalidFlags:            {"tcp_invalid_flags", StageTrack, "", "", "The TCP flags make no sense together."},
	TCPSessionClosed:           {"tcp_session_closed", StageTrack, "", "", "A TCP packet came after a reset or for a connection that its flags do not fit."},
	TCPOutOfWindow:             {"tcp_out_of_window", StageTrack, "", "", "A TCP segment of a known connection lies outside its windows: sequence number or acknowledgement cannot be its sender's."},
	FlowBandwidthExceeded:      {"flow_bandwidth_exceeded", StageLimit, HalfEgress, "", "The flow is above its bandwidth, and the packet would have had to wait for longer than a packet may."},
	ENIOutBandwidthExceeded:    {"eni_out_bandwidth_exceeded", StageLimit, HalfEgress, "", "What the ENI sends is above its own bandwidth, and the packet would have had to wait for longer than a packet may."},
	ENIInBandwidthExceeded:     {"eni_in_bandwidth_exceeded", StageLimit, HalfIngress, "", "What the ENI receives is above its own bandwidth, and the packet would have had to wait for longer than a packet may."},
	QueueBandwidthExceeded:     {"queue_bandwidth_exceeded", StageLimit, HalfIngress, "", "What the destination queue receives is above its bandwidth, and the packet would have had to wait for longer than a packet may."},
	BWOutAllowanceExceeded:     {"bw_out_allowance_exceeded", StageLimit, HalfEgress, "", "What the sender's instance sends is above its bandwidth, and the packet would have had to wait for longer than a packet may."},
	BWInAllowanceExceeded:      {"bw_in_allowance_exceeded", StageLimit, HalfIngress, "", "What the receiver's instance receives is above its bandwidth, and the packet would have had to wait for longer than a packet may."},
	PPSAllowanceExceeded:       {"pps_allowance_exceeded", StageLimit, HalfEgress, "", "The sender's instance is above its packet rate, and the packet would have had to wait for longer than a packet may."},
	PPSInAllowanceExceeded:     {"pps_in_allowance_exceeded", StageLimit, HalfIngress, "", "The receiver's instance is above its packet rate, and the packet would have had to wait for longer than a packet may (ENA: pps_allowance_exceeded)."},
	LimitQueueFull:             {"limit_queue_full", StageLimit, "", "", "The packet would have to wait for a limit, and as many packets wait as the lcore holds, or as one ENI may have among them."},
	ENIRemoved:                 {"eni_removed", StageLimit, "", "", "The packet waited for a limit while the ENI that sent it or was to receive it was removed."},
	TTLExpired:                 {"ttl_expired", StageRewrite, HalfEgress, "", "The TTL or hop limit does not suffice to cross the router."},
	NoBuffer:                   {"no_buffer", StageRewrite, HalfIngress, "", "No packet buffer was to be had for the fragments of a packet that is longer than the destination ENI's MTU."},
	LinkLocalAllowanceExceeded: {"linklocal_allowance_exceeded", StageRewrite, HalfEgress, "", "The ENI has sent more packets a second to link-local services than its linklocal_rate."},
	EgressRingFull:             {"egress_ring_full", StageTx, HalfIngress, "", "The ring to the lcore that serves the destination queue is full."},
	PacingFlowFull:             {"pacing_flow_full", StageTx, HalfIngress, "", "The destination queue spaces packets out, and as many packets of the flow wait as may."},
	PacingQueueFull:            {"pacing_queue_full", StageTx, HalfIngress, "", "The destination queue spaces packets out, and as many packets or flows wait as may."},
	PacingTooLate:              {"pacing_too_late", StageTx, HalfIngress, "", "The destination queue spaces packets out, and the packet had waited for as long as a packet may."},
	TxQueueFull:                {"tx_queue_full", StageTx, HalfIngress, "", "The destination ENI's receive queue is full: the guest takes packets more slowly than they come (ENA: rx_overruns)."},
	Shutdown:                   {"shutdown", StageTx, "", "", "The packet was still in nitrod when it stopped."},
}

// Info returns the description of r.
func (r Reason) Info() Info {
	if r >= Count {
		return infos[Unset]
	}
	return infos[r]
}

// String returns the reason's stable name.
func (r Reason) String() string { return r.Info().Name }

// Parse returns the reason with the given name.
func Parse(name string) (Reason, bool) {
	for r := range infos {
		if infos[r].Name == name {
			return Reason(r), true
		}
	}
	return Unset, false
}
