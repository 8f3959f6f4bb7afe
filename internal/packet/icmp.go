package packet

import "encoding/binary"

// ICMPLen is the size of an ICMP or ICMPv6 header: type, code, checksum and the
// word that the type gives a meaning.
const ICMPLen = 8

// ICMP types (RFC 792, RFC 1256, RFC 950).
const (
	ICMPEchoReply      = 0
	ICMPUnreachable    = 3
	ICMPSourceQuench   = 4
	ICMPRedirect       = 5
	ICMPEchoRequest    = 8
	ICMPTimeExceeded   = 11
	ICMPParameter      = 12
	ICMPTimestamp      = 13
	ICMPTimestampReply = 14
)

// ICMPCodeFragNeeded is the code of ICMPUnreachable for a packet that is too
// long and must not be fragmented (RFC 1191).
const ICMPCodeFragNeeded = 4

// ICMPv6 types (RFC 4443, RFC 4861, RFC 2710, RFC 3810).
const (
	ICMPv6Unreachable     = 1
	ICMPv6PacketTooBig    = 2
	ICMPv6TimeExceeded    = 3
	ICMPv6Parameter       = 4
	ICMPv6EchoRequest     = 128
	ICMPv6EchoReply       = 129
	ICMPv6ListenerQuery   = 130
	ICMPv6ListenerReport  = 131
	ICMPv6ListenerDone    = 132
	ICMPv6RouterSolicit   = 133
	ICMPv6RouterAdvert    = 134
	ICMPv6NeighborSolicit = 135
	ICMPv6NeighborAdvert  = 136
	ICMPv6Redirect        = 137
	ICMPv6ListenerReport2 = 143
)

// ICMPHeader views an ICMP or an ICMPv6 message (RFC 792, RFC 4443 sec. 2.1):
//
//	+---------------+---------------+-------------------------------+
//	|     type      |     code      |           checksum            |
//	+---------------+---------------+-------------------------------+
//	|   identifier and sequence number, MTU, pointer, or unused     |
//	+---------------------------------------------------------------+
//	|            data; in an error, the packet it is about          |
//
// Methods need ICMPLen bytes.
type ICMPHeader []byte

// Type returns the type.
func (h ICMPHeader) Type() uint8 { return h[0] }

// Code returns the code.
func (h ICMPHeader) Code() uint8 { return h[1] }

// Checksum returns the checksum.
func (h ICMPHeader) Checksum() uint16 { return binary.BigEndian.Uint16(h[2:4]) }

// SetChecksum sets the checksum.
func (h ICMPHeader) SetChecksum(c uint16) { binary.BigEndian.PutUint16(h[2:4], c) }

// ID returns the identifier of an echo or timestamp message.
func (h ICMPHeader) ID() uint16 { return binary.BigEndian.Uint16(h[4:6]) }

// Seq returns the sequence number of an echo or timestamp message.
func (h ICMPHeader) Seq() uint16 { return binary.BigEndian.Uint16(h[6:8]) }

// Rest returns the second word of the header. ICMPv6PacketTooBig has the MTU
// there, ICMPCodeFragNeeded has it in the low half.
func (h ICMPHeader) Rest() uint32 { return binary.BigEndian.Uint32(h[4:8]) }

// Body returns what follows the header; in an error, the packet it is about,
// from its IP header on and cut off somewhere.
func (h ICMPHeader) Body() []byte { return h[ICMPLen:] }

// ICMPIsError reports whether a message of ICMP type t quotes a packet.
func ICMPIsError(t uint8) bool {
	switch t {
	case ICMPUnreachable, ICMPSourceQuench, ICMPRedirect, ICMPTimeExceeded, ICMPParameter:
		return true
	}
	return false
}

// ICMPv6IsError reports whether a message of ICMPv6 type t quotes a packet: all
// types below 128 do (RFC 4443 sec. 2.1). A redirect quotes one in an option.
func ICMPv6IsError(t uint8) bool { return t < 128 }
