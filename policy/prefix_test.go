package policy

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/nitrod/nitrod/internal/drop"
)

// An address of a delegated prefix is its ENI's own in every respect.
func TestDelegatedPrefixes(t *testing.T) {
	o := fixture()
	o.ENIs[0].Prefixes = []netip.Prefix{pfx("10.0.1.32/28"), pfx("2001:db8:0:1:7::/80")}
	o.ENIs[2].Prefixes = []netip.Prefix{pfx("10.0.2.64/28")}
	s := compiled(t, o, nil)
	web, web2 := eniOf(t, s, "web"), eniOf(t, s, "web2")

	for _, c := range []struct {
		name, eni, src, dst string
		want                drop.Reason
		egress, text        string
	}{
		{"source in the prefix, admitted by its group", "web", "10.0.1.47", "10.0.2.10", drop.Unset, "app", "10.0.1.47 is in prefix 10.0.1.32/28, which is delegated to ENI web."},
		{"destination in a prefix", "web", "10.0.1.10", "10.0.2.79", drop.Unset, "app2", "10.0.2.79 is in prefix 10.0.2.64/28, which is delegated to ENI app2."},
		{"just behind the prefix", "web", "10.0.1.48", "10.0.2.10", drop.SourceIPSpoofed, "", "10.0.1.48 is not an address of ENI web"},
		{"in a neighbour's prefix", "web2", "10.0.1.33", "10.0.2.10", drop.SourceIPSpoofed, "", "10.0.1.33 is not an address of ENI web2"},
		{"just behind the destination's", "web", "10.0.1.10", "10.0.2.80", drop.UnknownDestination, "", "No ENI of VPC vpc-1 has the address 10.0.2.80."},
	} {
		t.Run(c.name, func(t *testing.T) {
			var tr Trace
			d := s.Decide(query(t, s, c.eni, c.src, c.dst, 6, 80), &tr)
			if d.Reason != c.want || c.egress != "" && s.ENI(d.Egress).ID != c.egress {
				t.Errorf("%v to %q, want %v to %q\n%s", d.Reason, s.ENI(d.Egress).ID, c.want, c.egress, printTrace(&tr))
			}
			if !strings.Contains(printTrace(&tr), c.text) {
				t.Errorf("the trace does not say %q:\n%s", c.text, printTrace(&tr))
			}
		})
	}
	for a, want := range map[string]bool{"10.0.1.32": true, "10.0.1.47": true, "2001:db8:0:1:7:1:2:3": true, "10.0.1.48": false, "2001:db8:0:1:8::": false} {
		if mac, ok := s.ResolveMAC(web2, ip(a)); ok != want || want && mac != s.ENIs[web].MAC {
			t.Errorf("%s resolves to %x, %v for a neighbour", a, mac, ok)
		}
		if _, ok := s.ResolveMAC(web, ip(a)); ok {
			t.Errorf("%s resolves for the ENI that has it: its probes for duplicates would find one", a)
		}
	}
	if got := s.ENI(web).Prefixes; len(got) != 2 || got[0] != pfx("10.0.1.32/28") {
		t.Errorf("ENI web has prefixes %v", got)
	}
}
