package main

import (
	"net"
	"net/netip"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// zone has a name for each ENI: its id before the zone. Names outside it are
// refused: this server asks no other.
const zone = ".internal."

// answerTTL is for how many seconds an answer may be kept.
const answerTTL = 60

// serveDNS answers queries over UDP until the socket fails. What is no query
// gets no answer.
func serveDNS(c net.PacketConn, guests *directory) error {
	query := make([]byte, 512) // the longest without extensions (RFC 1035 section 4.2.1)
	for {
		n, from, err := c.ReadFrom(query)
		if err != nil {
			return err
		}
		if reply := guests.answer(query[:n]); reply != nil {
			// A guest that is gone is no reason to end.
			_, _ = c.WriteTo(reply, from)
		}
	}
}

// answer returns the reply to a query; nil if it is none.
func (d *directory) answer(query []byte) []byte {
	var p dnsmessage.Parser
	asked, err := p.Start(query)
	if err != nil || asked.Response {
		return nil
	}
	reply := dnsmessage.Message{Header: dnsmessage.Header{
		ID: asked.ID, Response: true, OpCode: asked.OpCode, RecursionDesired: asked.RecursionDesired,
	}}
	q, err := p.Question()
	switch {
	case asked.OpCode != 0:
		reply.RCode = dnsmessage.RCodeNotImplemented
	case err != nil:
		reply.RCode = dnsmessage.RCodeFormatError
	default:
		reply.Questions = []dnsmessage.Question{q}
		d.resolve(&reply, q)
	}
	packed, err := reply.Pack()
	if err != nil {
		return nil
	}
	return packed
}

// resolve answers one question.
func (d *directory) resolve(reply *dnsmessage.Message, q dnsmessage.Question) {
	name, inZone := strings.CutSuffix(strings.ToLower(q.Name.String()), zone)
	if !inZone || q.Class != dnsmessage.ClassINET {
		reply.RCode = dnsmessage.RCodeRefused
		return
	}
	reply.Authoritative = true
	eni, ok := d.byName[name]
	if !ok {
		reply.RCode = dnsmessage.RCodeNameError
		return
	}
	for _, a := range eni.Addresses {
		if typ, body := record(a); typ == q.Type {
			reply.Answers = append(reply.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: answerTTL}, Body: body,
			})
		}
	}
}

func record(a netip.Addr) (dnsmessage.Type, dnsmessage.ResourceBody) {
	if a.Is4() {
		return dnsmessage.TypeA, &dnsmessage.AResource{A: a.As4()}
	}
	return dnsmessage.TypeAAAA, &dnsmessage.AAAAResource{AAAA: a.As16()}
}
