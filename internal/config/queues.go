package config

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math/bits"
	"net/netip"
	"strconv"
	"strings"

	"github.com/nitrod/nitrod/hash"
	"github.com/nitrod/nitrod/policy"
)

// A value of which only the bits of a mask count: 1 in a mask means compared.
type (
	maskedAddr struct{ addr, mask netip.Addr } // both invalid for any address
	maskedPort struct{ value, mask uint16 }
	maskedByte struct{ value, mask uint8 }
)

func parseKey(s string) (rssKey, bool) {
	k, err := hash.ParseKey(s)
	return rssKey(k), err == nil
}

// String is the key as it is written in a file.
func (k rssKey) String() string {
	var b strings.Builder
	for i, c := range k {
		if i != 0 {
			b.WriteByte(':')
		}
		b.WriteString(hex.EncodeToString([]byte{c}))
	}
	return b.String()
}

// parseMaskedAddr reads an address alone, with the length of a prefix, or with
// a mask of any bits, which is written as an address.
func parseMaskedAddr(s string) (maskedAddr, bool) {
	text, by, masked := strings.Cut(s, "/")
	a, ok := parseAddr(text)
	if !ok {
		return maskedAddr{}, false
	}
	if !masked {
		return maskedAddr{a, onesOf(a, a.BitLen())}, true
	}
	if n, ok := parseInt(by); ok {
		return maskedAddr{a, onesOf(a, n)}, n >= 0 && n <= a.BitLen()
	}
	mask, ok := parseAddr(by)
	return maskedAddr{a, mask}, ok && mask.Is4() == a.Is4()
}

// onesOf returns the mask of n leading ones in the family of an address.
func onesOf(a netip.Addr, n int) netip.Addr {
	ones := netip.IPv4Unspecified()
	full := []byte{255, 255, 255, 255}
	if a.Is6() {
		ones, full = netip.IPv6Unspecified(), append(append(append(full, full...), full...), full...)
	}
	all, _ := netip.AddrFromSlice(full)
	if p, err := all.Prefix(n); err == nil {
		return p.Addr()
	}
	return ones
}

// String is the value as it is written in a file.
func (m maskedAddr) String() string {
	if !m.addr.IsValid() {
		return "any"
	}
	return fmt.Sprintf("%v/%v", m.addr, m.mask)
}

func parseMaskedPort(s string) (maskedPort, bool) {
	v, m, ok := parseMasked(s, 16)
	return maskedPort{uint16(v), uint16(m)}, ok
}

// String is the value as it is written in a file.
func (m maskedPort) String() string { return fmt.Sprintf("%d/%#x", m.value, m.mask) }

func parseMaskedByte(s string) (maskedByte, bool) {
	v, m, ok := parseMasked(s, 8)
	return maskedByte{uint8(v), uint8(m)}, ok
}

// String is the value as it is written in a file.
func (m maskedByte) String() string { return fmt.Sprintf("%#x/%#x", m.value, m.mask) }

// parseMasked reads a number alone, or with a mask of any bits.
func parseMasked(s string, size int) (value, mask uint64, ok bool) {
	text, by, masked := strings.Cut(s, "/")
	mask, ok = 1<<size-1, true
	if masked {
		mask, ok = parseBits(by, size)
	}
	value, valid := parseBits(text, size)
	return value, mask, ok && valid
}

// parseBits reads a number of so many bits, decimal or with 0x before it.
func parseBits(s string, size int) (uint64, bool) {
	base := 10
	if digits, is := strings.CutPrefix(s, "0x"); is {
		s, base = digits, 16
	}
	n, err := strconv.ParseUint(s, base, size)
	return n, err == nil
}

// rss turns an ENI's spread into policy's, nil where none is given.
func (d *decoder) rss(e *eniDoc) *policy.RSS {
	r := e.RSS
	if r == nil || !d.ok(&r.Function, &r.Key, &r.Mode, &r.TableSize, &r.Entries, &r.Weights, &e.Queues) {
		return nil
	}
	out := &policy.RSS{CRC32: r.Function == rssCRC32, Keyed: d.given(&r.Key), Key: hash.Key(r.Key), Mode: rssModes[r.Mode]}
	for _, p := range []struct {
		at  any
		key string
	}{{&r.Key, "key"}, {&r.Mode, "mode"}} {
		if out.CRC32 && d.given(p.at) {
			d.fail(p.at, r.Pos, "the function crc32 has no %s", p.key)
		}
	}
	if bits.OnesCount(uint(r.TableSize)) != 1 {
		d.fail(&r.TableSize, r.Pos, "table_size must be a power of two, not %d", r.TableSize)
		return nil
	}
	table, err := hash.NewIndirectionTable(r.TableSize, e.Queues)
	switch {
	case err != nil:
		return nil
	case d.given(&r.Entries) && d.given(&r.Weights):
		d.fail(&r.Weights, r.Pos, "an indirection table is given by entries or by weights, not by both")
	case d.given(&r.Entries):
		if len(r.Entries) != r.TableSize {
			d.fail(&r.Entries, r.Pos, "entries must name a queue for each of the %d entries of the table, not for %d", r.TableSize, len(r.Entries))
		}
		table, _ = table.WithEntries(d.entries(e))
	case d.given(&r.Weights):
		table, _ = table.WithWeights(d.weights(e))
	}
	out.Entries = table.Entries()
	return out
}

// entries returns the queues of an indirection table, those that the ENI has.
func (d *decoder) entries(e *eniDoc) []uint16 {
	queues := make([]uint16, len(e.RSS.Entries))
	for i, q := range e.RSS.Entries {
		if q < 0 || q >= e.Queues {
			d.fail(&e.RSS.Entries, e.RSS.Pos, "entry %d is receive queue %d; the ENI has the queues 0 to %d", i, q, e.Queues-1)
			return nil
		}
		queues[i] = uint16(q)
	}
	return queues
}

// maxWeight keeps the sum of all weights far from the limits of the arithmetic.
const maxWeight = 1_000_000

// weights returns the shares of the ENI's queues.
func (d *decoder) weights(e *eniDoc) []uint32 {
	list := e.RSS.Weights
	if len(list) > e.Queues {
		d.fail(&e.RSS.Weights, e.RSS.Pos, "there are %d weights; the ENI has %s", len(list), counted(e.Queues, "receive queue"))
		return nil
	}
	shares, sum := make([]uint32, len(list)), 0
	for i, w := range list {
		if w < 0 || w > maxWeight {
			d.fail(&e.RSS.Weights, e.RSS.Pos, "the weight of queue %d must be from 0 to %d, not %d", i, maxWeight, w)
			return nil
		}
		shares[i], sum = uint32(w), sum+w
	}
	if sum == 0 {
		d.fail(&e.RSS.Weights, e.RSS.Pos, "some weight must be above 0")
	}
	return shares
}

// steering turns a rule into policy's, which judges it among the others.
func (d *decoder) steering(r *steerDoc) policy.SteerRule {
	out := policy.SteerRule{ENI: r.ENI, Pos: r.Pos}
	if !d.ok(&r.Location, &r.Type, &r.Source, &r.Destination, &r.SourcePort, &r.DestinationPort, &r.TOS, &r.Queue) {
		return out
	}
	if r.Type.six() && d.given(&r.TOS) {
		d.fail(&r.TOS, r.Pos, "a rule of type %s cannot compare the traffic class", r.Type)
	}
	out.Rule = d.matches(r.Type, &r.Source, &r.Destination, &r.SourcePort, &r.DestinationPort, r.Pos)
	out.Rule.Location, out.Rule.Queue = uint32(r.Location), uint16(r.Queue)
	out.Rule.TrafficClass, out.Rule.TrafficMask = r.TOS.value, r.TOS.mask
	return out
}

func (t steerType) six() bool { return strings.HasSuffix(string(t), "6") }

// matches is what rules of queues and of lcores alike compare.
func (d *decoder) matches(t steerType, src, dst *maskedAddr, sport, dport *maskedPort, pos policy.Pos) hash.SteerRule {
	for _, a := range []*maskedAddr{src, dst} {
		if a.addr.IsValid() && a.addr.Is6() != t.six() {
			d.fail(a, pos, "a rule of type %s cannot compare the address %v", t, a.addr)
		}
	}
	for _, p := range []*maskedPort{sport, dport} {
		if d.given(p) && strings.HasPrefix(string(t), "ip") {
			d.fail(p, pos, "a rule of type %s cannot compare ports", t)
		}
	}
	out := hash.SteerRule{
		Type: steerTypes[t], SrcPort: sport.value, SrcPortMask: sport.mask, DstPort: dport.value, DstPortMask: dport.mask,
	}
	out.Src, out.SrcMask = src.words()
	out.Dst, out.DstMask = dst.words()
	return out
}

// lcoreSteering turns the host's steering rules into the engine's, lowest
// location first.
func (d *decoder) lcoreSteering(h *Host, lcores int) []hash.SteerRule {
	table := hash.NewHostSteeringTable(hash.MaxSteering)
	if !d.ok(&h.Lcores, &h.Lcores.CPUs) {
		return nil
	}
	for i := range h.Steering {
		r := &h.Steering[i]
		if !d.ok(&r.Location, &r.Type, &r.Source, &r.Destination, &r.SourcePort, &r.DestinationPort, &r.Lcore) {
			continue
		}
		rule := d.matches(r.Type, &r.Source, &r.Destination, &r.SourcePort, &r.DestinationPort, r.Pos)
		rule.Location, rule.Queue = uint32(r.Location), uint16(r.Lcore)
		if r.Lcore >= lcores {
			d.fail(&r.Lcore, r.Pos, "lcore in steering rule of host is %d, but host has %s, numbered from 0", r.Lcore, counted(lcores, "lcore"))
		}
		next, err := table.Add(rule)
		if errors.Is(err, hash.ErrSteerTaken) {
			d.fail(&r.Location, r.Pos, "location in steering rule of host is %d, where there is a rule already", r.Location)
		}
		table = next
	}
	return table.Rules()
}

// words returns the address and the mask as keys of flows hold them.
func (m maskedAddr) words() (addr, mask hash.Addr) {
	if !m.addr.IsValid() {
		return hash.Addr{}, hash.Addr{}
	}
	return policy.KeyAddr(m.addr), policy.KeyAddr(m.mask)
}
