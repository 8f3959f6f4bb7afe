package packet

import "encoding/binary"

// Sizes of the transport headers, without options.
const (
	TCPMinLen = 20
	UDPLen    = 8
)

// TCP flags.
const (
	TCPFin = 1 << iota
	TCPSyn
	TCPRst
	TCPPsh
	TCPAck
	TCPUrg
	TCPEce
	TCPCwr
)

// TCPHeader views a TCP segment (RFC 9293 sec. 3.1):
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-------------------------------+-------------------------------+
//	|          source port          |       destination port        |
//	+-------------------------------+-------------------------------+
//	|                        sequence number                        |
//	+---------------------------------------------------------------+
//	|                     acknowledgment number                     |
//	+-------+-------+---------------+-------------------------------+
//	|offset | rsrvd |CEUAPRSF flags |            window             |
//	+-------+-------+---------------+-------------------------------+
//	|           checksum            |        urgent pointer         |
//	+-------------------------------+-------------------------------+
//	|                   options (offset > 5) ...                    |
//
// Methods other than IsValid need TCPMinLen bytes; Options and Payload may be
// called only after IsValid returned true.
type TCPHeader []byte

// IsValid reports whether the data offset lies within len(h).
func (h TCPHeader) IsValid() bool {
	return len(h) >= TCPMinLen && h.HeaderLen() >= TCPMinLen && h.HeaderLen() <= len(h)
}

// SrcPort returns the source port.
func (h TCPHeader) SrcPort() uint16 { return binary.BigEndian.Uint16(h[0:2]) }

// DstPort returns the destination port.
func (h TCPHeader) DstPort() uint16 { return binary.BigEndian.Uint16(h[2:4]) }

// Seq returns the sequence number.
func (h TCPHeader) Seq() uint32 { return binary.BigEndian.Uint32(h[4:8]) }

// Ack returns the acknowledgment number.
func (h TCPHeader) Ack() uint32 { return binary.BigEndian.Uint32(h[8:12]) }

// HeaderLen returns the length of the header with its options, in bytes.
func (h TCPHeader) HeaderLen() int { return int(h[12]>>4) * 4 }

// Flags returns the eight flags.
func (h TCPHeader) Flags() uint8 { return h[13] }

// Window returns the window, not scaled.
func (h TCPHeader) Window() uint16 { return binary.BigEndian.Uint16(h[14:16]) }

// Checksum returns the checksum.
func (h TCPHeader) Checksum() uint16 { return binary.BigEndian.Uint16(h[16:18]) }

// SetChecksum sets the checksum.
func (h TCPHeader) SetChecksum(c uint16) { binary.BigEndian.PutUint16(h[16:18], c) }

// Options returns the options, padding included.
func (h TCPHeader) Options() []byte { return h[TCPMinLen:h.HeaderLen()] }

// Payload returns what follows the header.
func (h TCPHeader) Payload() []byte { return h[h.HeaderLen():] }

// TCPOptions are the options that a SYN may carry and that a tracker of
// connections needs.
type TCPOptions struct {
	MSS           uint16 // 0 where absent
	WindowScale   uint8  // shift, at most 14 (RFC 7323 sec. 2.3)
	HasScale      bool
	SACKPermitted bool
	HasTimestamp  bool
	TSVal, TSEcr  uint32
}

// ParseTCPOptions reads opts, the option bytes of one header. An option of a
// wrong length ends the walk, as receivers do, and what was read stands.
func ParseTCPOptions(opts []byte) TCPOptions {
	var o TCPOptions
	for len(opts) > 0 {
		kind := opts[0]
		if kind == 0 { // end of list
			break
		}
		if kind == 1 { // no operation
			opts = opts[1:]
			continue
		}
		if len(opts) < 2 || opts[1] < 2 || int(opts[1]) > len(opts) {
			break
		}
		body := opts[2:opts[1]]
		switch {
		case kind == 2 && len(body) == 2:
			o.MSS = binary.BigEndian.Uint16(body)
		case kind == 3 && len(body) == 1:
			o.WindowScale, o.HasScale = min(body[0], 14), true
		case kind == 4 && len(body) == 0:
			o.SACKPermitted = true
		case kind == 8 && len(body) == 8:
			o.HasTimestamp = true
			o.TSVal, o.TSEcr = binary.BigEndian.Uint32(body[0:4]), binary.BigEndian.Uint32(body[4:8])
		}
		opts = opts[opts[1]:]
	}
	return o
}

// UDPHeader views a UDP datagram (RFC 768):
//
//	+-------------------------------+-------------------------------+
//	|          source port          |       destination port        |
//	+-------------------------------+-------------------------------+
//	|            length             |           checksum            |
//	+-------------------------------+-------------------------------+
//
// Methods other than IsValid need UDPLen bytes; Payload may be called only
// after IsValid returned true.
type UDPHeader []byte

// IsValid reports whether the length is at least a header's and within len(h).
func (h UDPHeader) IsValid() bool {
	return len(h) >= UDPLen && h.Len() >= UDPLen && int(h.Len()) <= len(h)
}

// SrcPort returns the source port.
func (h UDPHeader) SrcPort() uint16 { return binary.BigEndian.Uint16(h[0:2]) }

// DstPort returns the destination port.
func (h UDPHeader) DstPort() uint16 { return binary.BigEndian.Uint16(h[2:4]) }

// Len returns the length of header and payload, in bytes.
func (h UDPHeader) Len() uint16 { return binary.BigEndian.Uint16(h[4:6]) }

// Checksum returns the checksum, 0 where the sender computed none.
func (h UDPHeader) Checksum() uint16 { return binary.BigEndian.Uint16(h[6:8]) }

// Payload returns what follows the header, up to the length.
func (h UDPHeader) Payload() []byte { return h[UDPLen:h.Len()] }

// SetChecksum sets the checksum. A computed checksum of 0 is sent as 0xffff,
// since 0 means that there is none (RFC 768); to say that, use ClearChecksum.
func (h UDPHeader) SetChecksum(c uint16) {
	if c == 0 {
		c = 0xffff
	}
	binary.BigEndian.PutUint16(h[6:8], c)
}

// ClearChecksum says that there is no checksum, which only IPv4 allows.
func (h UDPHeader) ClearChecksum() { h[6], h[7] = 0, 0 }

func putUDP(b []byte, src, dst uint16, length int) {
	_ = b[:UDPLen]
	binary.BigEndian.PutUint16(b[0:2], src)
	binary.BigEndian.PutUint16(b[2:4], dst)
	binary.BigEndian.PutUint16(b[4:6], uint16(length))
	binary.BigEndian.PutUint16(b[6:8], 0)
}
