package pipeline

import (
	"testing"

	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/internal/packet/check"
	"github.com/nitrod/nitrod/policy"
)

// What is too long for the uplink goes in pieces, each with the public address,
// and what may not be cut up is answered from the subnet's router.
func TestTooLongForUplink(t *testing.T) {
	b := newBed(t, worldly(func(o *policy.Objects) { o.Gateways[0].MTU = 1280 }))
	long := func(df bool) []byte {
		ip := packet.IPv4{Src: packet.MustIP(webPrivate), Dst: packet.MustIP(host), DF: df}
		return b.frame("web", ip, packet.UDP{SrcPort: 4000, DstPort: 53}, packet.Fill(1400))
	}
	b.inject("web", long(false))
	b.wantDrops(b.settle(), nil)
	pieces := b.received("uplink")
	if len(pieces) != 2 {
		t.Fatalf("%d pieces", len(pieces))
	}
	var payload []byte
	for _, f := range pieces {
		check.IPv4(t, f, check.Src(webPublic), check.Dst(host), check.TTL(63), check.EtherDst(b.record("uplink").MAC))
		payload = append(payload, packet.IPv4Header(f[ethHeader:]).Payload()...)
	}
	if sum := packet.IPv4Header(pieces[0][ethHeader:]).TransportSum(protoUDP, payload); sum != 0xffff {
		t.Errorf("put together the datagram has a wrong checksum: %#x", sum)
	}
	sent := long(true)
	b.inject("web", append([]byte(nil), sent...))
	b.wantDrops(b.settle(), map[drop.Reason]uint64{drop.MTUExceeded: 1})
	told := one(t, b.received("web"))
	check.IPv4(t, told, check.Src("10.0.1.1"), check.Dst(webPrivate))
	check.Equal(t, told[ethHeader+ipv4Header+8:][:28], packet.Quote(sent, 28))
	if mtu := packet.ICMPHeader(told[ethHeader+ipv4Header:]).Rest(); mtu != 1280 {
		t.Errorf("the guest is told an MTU of %d", mtu)
	}
}

// The world is told of what cannot go on to a guest from the guest's public
// address, with what the world itself has sent.
func TestWorldIsTold(t *testing.T) {
	b := newBed(t, worldly(func(o *policy.Objects) {
		o.ENIs[0].MTU = 1280
		o.SecurityGroups[0].Inbound = []policy.SGRule{{Match: policy.Match{Protocol: policy.ProtoAll}, CIDR: mustPrefix("0.0.0.0/0")}, {Match: policy.Match{Protocol: policy.ProtoAll}, CIDR: mustPrefix("::/0")}}
	}))
	for _, c := range []struct {
		ip  packet.IPv4
		typ uint8
		r   drop.Reason
	}{
		{packet.IPv4{DF: true}, packet.ICMPUnreachable, drop.MTUExceeded},
		{packet.IPv4{TTL: 1}, packet.ICMPTimeExceeded, drop.TTLExpired},
	} {
		c.ip.Src, c.ip.Dst = packet.MustIP(host), packet.MustIP(webPublic)
		sent := b.frame("uplink", c.ip, packet.UDP{SrcPort: 53, DstPort: 4000}, packet.Fill(1400))
		before := b.settle()
		b.inject("uplink", append([]byte(nil), sent...))
		if after := b.settle(); after.Drops[c.r] != before.Drops[c.r]+1 {
			t.Errorf("not dropped for %v: %v", c.r, after.Drops)
		}
		told := one(t, b.received("uplink"))
		check.IPv4(t, told, check.Src(webPublic), check.Dst(host), check.EtherDst(b.record("uplink").MAC), check.EtherSrc(b.record("uplink").RouterMAC))
		if got := packet.ICMPHeader(told[ethHeader+ipv4Header:]).Type(); got != c.typ {
			t.Errorf("ICMP type %d, want %d", got, c.typ)
		}
		check.Equal(t, told[ethHeader+ipv4Header+8:][:28], packet.Quote(sent, 28))
	}
	sent := b.frame("uplink", packet.IPv6{Src: packet.MustIP("2001:db9::1"), Dst: packet.MustIP("2001:db8:0:1::10"), HopLimit: 1}, packet.UDP{SrcPort: 53, DstPort: 4000}, packet.Fill(9))
	b.inject("uplink", sent)
	b.settle()
	check.IPv6(t, one(t, b.received("uplink")), check.Src("2001:db8:0:1::10"), check.Dst("2001:db9::1"))
}

// A service's answer that is too long for its guest goes in pieces that keep its
// TTL.
func TestServiceAnswersInPieces(t *testing.T) {
	b := newBed(t, worldly(func(o *policy.Objects) { o.ENIs[0].MTU = 1280 }))
	for _, ttl := range []uint8{1, 64, 255} {
		ip := packet.IPv4{Src: packet.MustIP("169.254.169.254"), Dst: packet.MustIP(webPrivate), TTL: ttl}
		b.inject("svc", b.frame("svc", ip, packet.UDP{SrcPort: 53, DstPort: 4000}, packet.Fill(1400)))
		b.wantDrops(b.settle(), nil)
		pieces := b.received("web")
		if len(pieces) != 2 {
			t.Fatalf("%d pieces", len(pieces))
		}
		for _, f := range pieces {
			check.IPv4(t, f, check.TTL(ttl), check.Dst(webPrivate))
		}
	}
}
