// Package check holds assertions about frames, for tests, that can be combined:
//
//	check.IPv4(t, frame,
//		check.Src("10.0.0.4"), check.TTL(63),
//		check.TCP(check.DstPort(80), check.Flags(packet.TCPSyn)))
//
// ARP, IPv4 and IPv6 each also check what every good packet of that kind has:
// lengths that agree with each other, and right checksums (those of fragments
// and of UDP without a checksum excepted).
//
// A check that fails reports an error with a summary of the frame and lets the
// test go on; only a frame without the headers that are asked for ends it.
package check

import (
	"bytes"
	"testing"

	"github.com/nitrod/nitrod/internal/packet"
)

// Frame is a frame under test, with its headers found.
type Frame struct {
	t     testing.TB
	Bytes []byte
	packet.Layout
}

// A Check looks at one property of a frame and reports where it is not as it
// should be.
type Check func(f *Frame)

// Errorf reports that the frame is not as it should be.
func (f *Frame) Errorf(format string, args ...any) {
	f.t.Helper()
	f.t.Errorf(format+"\n\tin "+"%s", append(args, packet.Summary(f.Bytes))...)
}

func (f *Frame) fatalf(format string, args ...any) {
	f.t.Helper()
	f.t.Fatalf(format+"\n\tin %s", append(args, packet.Summary(f.Bytes))...)
}

func (f *Frame) run(checks []Check) {
	f.t.Helper()
	for _, c := range checks {
		c(f)
	}
}

func locate(t testing.TB, frame []byte) *Frame {
	t.Helper()
	l, err := packet.Locate(frame)
	f := &Frame{t: t, Bytes: frame, Layout: l}
	if err != nil {
		f.fatalf("frame is malformed: %v", err)
	}
	return f
}

// Any asserts checks on a frame of whatever kind that is not malformed.
func Any(t testing.TB, frame []byte, checks ...Check) {
	t.Helper()
	locate(t, frame).run(checks)
}

// IPv4 asserts that frame is a good IPv4 packet, and checks.
func IPv4(t testing.TB, frame []byte, checks ...Check) {
	t.Helper()
	f := locate(t, frame)
	if f.EtherType != packet.EtherTypeIPv4 {
		f.fatalf("EtherType 0x%04x, want IPv4", f.EtherType)
	}
	if !f.ip4().ChecksumOK() {
		f.Errorf("IPv4 header checksum 0x%04x is wrong", f.ip4().Checksum())
	}
	f.transportSum()
	f.run(checks)
}

// IPv6 asserts that frame is a good IPv6 packet, and checks.
func IPv6(t testing.TB, frame []byte, checks ...Check) {
	t.Helper()
	f := locate(t, frame)
	if f.EtherType != packet.EtherTypeIPv6 {
		f.fatalf("EtherType 0x%04x, want IPv6", f.EtherType)
	}
	f.transportSum()
	f.run(checks)
}

// ARP asserts that frame is an ARP message, and checks.
func ARP(t testing.TB, frame []byte, checks ...Check) {
	t.Helper()
	f := locate(t, frame)
	if f.EtherType != packet.EtherTypeARP {
		f.fatalf("EtherType 0x%04x, want ARP", f.EtherType)
	}
	f.run(checks)
}

func (f *Frame) ip4() packet.IPv4Header { return packet.IPv4Header(f.Bytes[f.L3:f.End]) }
func (f *Frame) ip6() packet.IPv6Header { return packet.IPv6Header(f.Bytes[f.L3:f.End]) }

func (f *Frame) arp() packet.ARPHeader {
	f.t.Helper()
	if f.EtherType != packet.EtherTypeARP {
		f.fatalf("EtherType 0x%04x, want ARP", f.EtherType)
	}
	return packet.ARPHeader(f.Bytes[f.L3:f.End])
}

func (f *Frame) segment() []byte {
	f.t.Helper()
	if f.L4 == 0 {
		f.fatalf("no transport header")
	}
	return f.Bytes[f.L4:f.End]
}

func (f *Frame) transportSum() {
	f.t.Helper()
	if f.L4 == 0 || f.Fragment {
		return
	}
	seg := f.segment()
	switch f.Proto {
	case packet.ProtoTCP, packet.ProtoICMPv6:
	case packet.ProtoICMP:
		if packet.Sum(seg) != 0xffff {
			f.Errorf("ICMP checksum 0x%04x is wrong", packet.ICMPHeader(seg).Checksum())
		}
		return
	case packet.ProtoUDP:
		u := packet.UDPHeader(seg)
		if u.Checksum() == 0 && f.EtherType == packet.EtherTypeIPv4 {
			return
		}
		seg = seg[:u.Len()]
	default:
		return
	}
	sum := uint16(0)
	if f.EtherType == packet.EtherTypeIPv4 {
		sum = f.ip4().TransportSum(f.Proto, seg)
	} else {
		sum = f.ip6().TransportSum(f.Proto, seg)
	}
	if sum != 0xffff {
		f.Errorf("transport checksum is wrong: the sum over it is 0x%04x", sum)
	}
}

// Equal asserts that two frames have the same bytes.
func Equal(t testing.TB, got, want []byte) {
	t.Helper()
	if bytes.Equal(got, want) {
		return
	}
	at := 0
	for at < len(got) && at < len(want) && got[at] == want[at] {
		at++
	}
	t.Errorf("frames differ from byte %d on\n\t got %3d bytes: %s\n\t              %x\n\twant %3d bytes: %s\n\t              %x",
		at, len(got), packet.Summary(got), got, len(want), packet.Summary(want), want)
}
