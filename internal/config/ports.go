package config

import "math/bits"

// ports collects the ports of the ENIs and finds those that cannot both be
// had.
func (d *decoder) ports(doc *document) []Port {
	list := make([]Port, len(doc.ENIs))
	owners := map[string]string{} // device or tap -> id of the ENI that has it
	for i := range doc.ENIs {
		e := &doc.ENIs[i]
		if e.Port == nil {
			continue
		}
		d.port(e)
		e.Port.ENI = e.ID
		list[i] = *e.Port

		key, what, at := "", "", any(nil)
		switch p := e.Port; {
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
			d.fail(at, e.Port.Pos, "%s is the port of ENI %q already", what, owner)
			continue
		}
		owners[key] = e.ID
	}
	return list
}

// port applies the defaults that come from the ENI and checks one port.
func (d *decoder) port(e *eniDoc) {
	p := e.Port
	device, tap := d.given(&p.Device), d.given(&p.Tap)
	switch {
	case !d.ok(p):
		return
	case device && tap:
		d.fail(&p.Tap, p.Pos, "port of ENI %q must have only one of the keys device and tap", e.ID)
	case !device && !tap:
		d.fail(nil, p.Pos, "port of ENI %q must have one of the keys device and tap", e.ID)
	}
	if tap && p.Tap.CreateNamespace && !d.given(&p.Tap.Namespace) {
		d.fail(&p.Tap.CreateNamespace, p.Tap.Pos, "create_namespace in tap of ENI %q needs the key namespace", e.ID)
	}
	if p.RxQueues == 0 {
		p.RxQueues = e.Queues
	}
	if p.TxQueues == 0 {
		p.TxQueues = e.Queues
	}
	if !d.ok(&e.Queues, &p.RxQueues, &p.TxQueues, &p.RxRing) {
		return
	}
	if p.TxQueues > e.Queues {
		d.fail(&p.TxQueues, p.Pos, "tx_queues of ENI %q is %d, but its guest has %s only", e.ID, p.TxQueues, counted(e.Queues, "receive queue"))
	}
	if tap && p.RxQueues != p.TxQueues {
		at := any(&p.RxQueues)
		if !d.given(at) {
			at = &p.TxQueues
		}
		d.fail(at, p.Pos, "a tap has its queues in pairs, but ENI %q has %d rx_queues and %d tx_queues", e.ID, p.RxQueues, p.TxQueues)
	}
	if bits.OnesCount(uint(p.RxRing)) != 1 {
		d.fail(&p.RxRing, p.Pos, "rx_ring of ENI %q must be a power of two, not %d", e.ID, p.RxRing)
	}
}
