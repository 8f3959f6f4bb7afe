package policy

import (
	"crypto/sha256"
	"encoding/binary"
	"net/netip"

	"github.com/nitrod/nitrod/policy/route"
	"github.com/nitrod/nitrod/policy/secgroup"
)

// fingerprint identifies a piece of compiled policy: equal pieces have equal
// fingerprints, and no two different ones do that anyone could find.
type fingerprint [16]byte

// encoder writes the canonical form that is fingerprinted. Every variable part
// is preceded by its length, so that no two sequences of writes look alike.
type encoder struct{ buf []byte }

func (e *encoder) num(v int)             { e.buf = binary.AppendVarint(e.buf, int64(v)) }
func (e *encoder) bytes(b []byte)        { e.num(len(b)); e.buf = append(e.buf, b...) }
func (e *encoder) text(s string)         { e.num(len(s)); e.buf = append(e.buf, s...) }
func (e *encoder) print(f fingerprint)   { e.buf = append(e.buf, f[:]...) }
func (e *encoder) addr(a netip.Addr)     { e.bytes(a.AsSlice()) }
func (e *encoder) prefix(p netip.Prefix) { e.addr(p.Addr()); e.num(p.Bits()) }

func (e *encoder) prefixes(ps []netip.Prefix) {
	e.num(len(ps))
	for _, p := range ps {
		e.prefix(p)
	}
}

func (e *encoder) sum() fingerprint {
	h := sha256.Sum256(e.buf)
	e.buf = e.buf[:0]
	return fingerprint(h[:16])
}

func printTable(t *route.Table) fingerprint {
	var e encoder
	for _, r := range t.Entries() {
		e.prefix(r.Destination)
		e.num(int(r.Target))
		e.num(int(r.ENI))
		e.text(r.Gateway)
	}
	return e.sum()
}

func printACL(a *NetworkACL) fingerprint {
	var e encoder
	for _, rules := range [][]ACLRule{a.Inbound, a.Outbound} {
		e.num(len(rules))
		for _, r := range sortedACL(rules) {
			e.num(r.Number)
			e.num(r.Protocol)
			e.num(r.FromPort)
			e.num(r.ToPort)
			e.prefix(r.CIDR)
			if r.Allow {
				e.num(1)
			} else {
				e.num(0)
			}
		}
	}
	return e.sum()
}

// listPrints are the fingerprints of prefix lists by the place of their first
// prefix, so that each is made once and not for every rule that names the list.
type listPrints map[*netip.Prefix]fingerprint

// add makes the fingerprint of a list. One of a single prefix has none: it is
// the same as a CIDR.
func (l listPrints) add(ps []netip.Prefix) {
	if len(ps) > 1 {
		var e encoder
		e.prefixes(ps)
		l[&ps[0]] = e.sum()
	}
}

func (e *encoder) groupRules(rules []secgroup.Rule, lists listPrints) {
	e.num(len(rules))
	for i := range rules {
		r := &rules[i]
		e.num(int(r.Ref))
		e.num(r.Protocol)
		e.num(r.From)
		e.num(r.To)
		if len(r.Prefixes) > 1 {
			e.num(len(r.Prefixes))
			e.print(lists[&r.Prefixes[0]])
		} else {
			e.prefixes(r.Prefixes)
		}
		if r.HasGroup {
			e.num(int(r.Group))
		} else {
			e.num(-1)
		}
	}
}
