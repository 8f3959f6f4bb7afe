package config

import "github.com/nitrod/nitrod/policy"

// checkPlaces checks what is said of lcores by their numbers.
func (d *decoder) checkPlaces(doc *document, lcores int) {
	h, file := &doc.Host, policy.Pos{File: d.file}
	if !d.ok(&h.Lcores, &h.Lcores.CPUs) {
		return
	}
	if d.given(&h.FlowShares) && d.ok(&h.FlowShares) {
		sum := 0
		for _, n := range h.FlowShares {
			sum += n
		}
		switch {
		case len(h.FlowShares) != lcores:
			d.fail(&h.FlowShares, file, "flow_shares in host has %s for %s", counted(len(h.FlowShares), "number"), counted(lcores, "lcore"))
		case sum == 0:
			d.fail(&h.FlowShares, file, "flow_shares in host gives no lcore a share")
		}
	}
	for _, e := range portOwners(doc) {
		if e.port == nil || !d.ok(&e.port.Lcores) {
			continue
		}
		for i := range e.port.Lcores {
			if l := &e.port.Lcores[i]; d.ok(l) && *l >= lcores {
				d.fail(l, e.port.Pos, "lcores in port of %s %q names lcore %d, but host has %s, numbered from 0", e.noun, e.id, *l, counted(lcores, "lcore"))
			}
		}
	}
}
