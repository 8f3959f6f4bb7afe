package traffic

import "fmt"

// Whale is a flow so large that it fills what a single flow can have, and that no
// number of queues would spread.
type Whale struct {
	Flow
	Kind    string  `json:"kind"`             // what it is: a connection, or which kind of tunnel
	OfLcore float64 `json:"of_lcore"`         // the share of its lcore's time that it takes
	OfLimit float64 `json:"of_flow_limit"`    // the share of the bandwidth that a single flow may have
	Why     string  `json:"why"`              // it stays where it is
	Remedy  string  `json:"remedy,omitempty"` // what would spread it
}

// tunnels are the protocols that carry others and have no ports (FACTS on flows
// that are neither TCP nor UDP: source, destination and protocol are all there is).
var tunnels = map[uint8]string{
	4: "IP-in-IP tunnel", 41: "IPv6-in-IP tunnel", 47: "GRE tunnel", 50: "IPsec ESP tunnel", 51: "IPsec AH tunnel", 97: "EtherIP tunnel",
	115: "L2TPv3 tunnel", 137: "MPLS-in-IP tunnel",
}

// encapsulations are tunnels over UDP by destination port, whose source port is
// meant to differ from one inner flow to the next.
var encapsulations = map[uint16]string{4789: "VXLAN tunnel", 6081: "GENEVE tunnel", 2152: "GTP-U tunnel", 6635: "MPLS-over-UDP tunnel"}

// natTraversal is the port of IPsec in UDP, at both ends.
const natTraversal = 4500

// whaleOf reports whether a flow is a whale, and what can be said of it.
func whaleOf(f *Flow, lcores []Lcore, o Options) (Whale, bool) {
	w := Whale{Flow: *f}
	if f.Lcore < len(lcores) {
		w.OfLcore = f.LcoreShare * lcores[f.Lcore].Busy
	}
	if f.LimitBits > 0 && !f.Dropped {
		w.OfLimit = f.Bits / f.LimitBits
	}
	if w.OfLcore < o.LcoreShare && w.OfLimit < o.FlowShare {
		return w, false
	}
	w.describe()
	return w, true
}

// describe says what a whale is, why it cannot spread, and what would help.
func (w *Whale) describe() {
	place := fmt.Sprintf("queue %d of %s, by way of lcore %d", w.Queue, w.Egress, w.Lcore)
	const udp = "Encapsulate it in UDP with a source port for each inner flow: VXLAN (4789), GENEVE (6081), GTP-U (2152) or MPLS over UDP (6635)."
	tunnel, isTunnel := tunnels[w.Number]
	over := encapsulations[w.DstPort]
	switch {
	case w.Dropped:
		w.Kind = "refused flow"
		w.Why = fmt.Sprintf("Nobody receives it, but its packets take the time of lcore %d, where those of one flow always go.", w.Lcore)
		w.Remedy = "Stop it where it comes from, ENI " + w.ENI + "."
	case isTunnel:
		w.Kind = tunnel
		w.Why = "It has no ports: source, destination and protocol are all that tells its packets apart, so that every flow inside goes to " + place +
			", and all of them together are a single flow to every limit."
		w.Remedy = udp
	case w.Number == 17 && (w.SrcPort == natTraversal || w.DstPort == natTraversal):
		w.Kind = "IPsec tunnel in UDP"
		w.Why = "Its ports are those of the tunnel and not of the flows inside, which all go to " + place + "."
		w.Remedy = "Use several tunnels between different ports or addresses. UDP alone does not help where the source port is always 4500."
	case w.Number == 17 && over != "":
		w.Kind = over
		w.Why = "Its source port is the same for every packet, so that all of them go to " + place + "."
		w.Remedy = "Let the sender take the source port from a hash of the inner flow. If it does, a single inner flow is as large as this: split that."
	case w.Number == 6 || w.Number == 17:
		w.Kind = "single connection"
		w.Why = "Packets of one connection stay in order, so that all of them go to " + place + "."
		w.Remedy = "Share the load among several connections with different ports. On EC2 the limit of a single flow is 10 Gbit/s within a cluster placement group and 25 with ENA Express."
	default:
		w.Kind = "flow of protocol " + w.Protocol
		w.Why = "It has no ports: source, destination and protocol are all that tells its packets apart, so that all go to " + place + "."
		w.Remedy = udp
	}
}
