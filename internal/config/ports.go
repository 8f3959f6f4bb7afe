package config

import (
	"math/bits"
	"strconv"
)

// portOwner is who has a port: an ENI, an internet gateway or link-local
// services.
type portOwner struct {
	noun, id string
	queues   *int
	port     *Port
}

// portOwners lists who has ports, in the order of Config.Ports.
func portOwners(doc *document) []portOwner {
	var all []portOwner
	for i := range doc.ENIs {
		e := &doc.ENIs[i]
		all = append(all, portOwner{"ENI", e.ID, &e.Queues, e.Port})
	}
	for i := range doc.Gateways {
		g := &doc.Gateways[i]
		all = append(all, portOwner{"internet gateway", g.ID, &g.Queues, g.Port})
	}
	for i := range doc.Services {
		p := &doc.Services[i]
		all = append(all, portOwner{"service port", p.ID, &p.Queues, p.Port})
	}
	return all
}

// ports collects all ports and finds those that cannot both be had.
func (d *decoder) ports(doc *document) []Port {
	all := portOwners(doc)
	list := make([]Port, len(all))
	owners := map[string]string{} // device or tap -> who has it
	for i := range all {
		e := &all[i]
		if e.port == nil {
			continue
		}
		d.port(e)
		e.port.ENI = e.id
		list[i] = *e.port

		key, what, at := "", "", any(nil)
		switch p := e.port; {
		case p.Device != "":
			what, at = "device "+deviceName(p.Device), &p.Device
			key = what
		case p.Tap != nil && p.Tap.Name != "" && d.ok(&p.Tap.Namespace):
			what, at = "tap "+p.Tap.Name, &p.Tap.Name
			key = what + "/" + p.Tap.Namespace
			if p.Tap.Namespace != "" {
				what += " in namespace " + p.Tap.Namespace
			}
		default:
			continue
		}
		if owner, taken := owners[key]; taken {
			d.fail(at, e.port.Pos, "%s is the port of %s already", what, owner)
			continue
		}
		owners[key] = e.noun + " " + strconv.Quote(e.id)
	}
	return list
}

// port applies the defaults that come from a port's owner and checks it.
func (d *decoder) port(e *portOwner) {
	p := e.port
	device, tap := d.given(&p.Device), d.given(&p.Tap)
	switch {
	case !d.ok(p):
		return
	case device && tap:
		d.fail(&p.Tap, p.Pos, "port of %s %q must have only one of the keys device and tap", e.noun, e.id)
	case !device && !tap:
		d.fail(nil, p.Pos, "port of %s %q must have one of the keys device and tap", e.noun, e.id)
	}
	if tap && p.Tap.CreateNamespace && !d.given(&p.Tap.Namespace) {
		d.fail(&p.Tap.CreateNamespace, p.Tap.Pos, "create_namespace in tap of %s %q needs the key namespace", e.noun, e.id)
	}
	if tap && p.Tap.Configure && e.noun != "ENI" {
		d.fail(&p.Tap.Configure, p.Tap.Pos, "configure in tap of %s %q: only an ENI has addresses to configure", e.noun, e.id)
	}
	if p.RxQueues == 0 {
		p.RxQueues = *e.queues
	}
	if p.TxQueues == 0 {
		p.TxQueues = *e.queues
	}
	d.rings(e)
	if !d.ok(e.queues, &p.RxQueues, &p.TxQueues) {
		return
	}
	if p.TxQueues > *e.queues {
		d.fail(&p.TxQueues, p.Pos, "tx_queues of %s %q is %d, but its guest has %s only", e.noun, e.id, p.TxQueues, counted(*e.queues, "receive queue"))
	}
	if tap && p.RxQueues != p.TxQueues {
		at := any(&p.RxQueues)
		if !d.given(at) {
			at = &p.TxQueues
		}
		d.fail(at, p.Pos, "a tap has its queues in pairs, but %s %q has %d rx_queues and %d tx_queues", e.noun, e.id, p.RxQueues, p.TxQueues)
	}
}

// rings applies the defaults of a port's rings that come from others and checks
// them.
func (d *decoder) rings(e *portOwner) {
	p := e.port
	if e.noun != "ENI" {
		if d.given(&p.LLQ) {
			d.fail(&p.LLQ, p.Pos, "llq in port of %s %q: only an ENI's device has limits for headers", e.noun, e.id)
		}
		p.LLQ = LLQOff
	}
	if p.TxRing == 0 {
		p.TxRing = 1024
		if p.LLQ == LLQWide {
			p.TxRing = 512
		}
	}
	if d.ok(&p.RxRing) && bits.OnesCount(uint(p.RxRing)) != 1 {
		d.fail(&p.RxRing, p.Pos, "rx_ring of %s %q must be a power of two, not %d", e.noun, e.id, p.RxRing)
	}
	if d.ok(&p.TxRing) && bits.OnesCount(uint(p.TxRing)) != 1 {
		d.fail(&p.TxRing, p.Pos, "tx_ring of %s %q must be a power of two, not %d", e.noun, e.id, p.TxRing)
	}
}
