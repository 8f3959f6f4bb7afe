package policy

import (
	"fmt"
	"time"
)

// frameHeader is what a frame has besides the IP packet that the MTU bounds.
const frameHeader = 14

// checkAllowances sees that limits can be kept and that no packet is too large
// to ever pass, and that instances are where their placement groups are.
func (c *checker) checkAllowances() {
	largest := make(map[string]int) // frame that an instance may see
	zones := make(map[string]int)   // the first ENI of each instance whose subnet is known
	for i := range c.o.ENIs {
		e := &c.o.ENIs[i]
		frame := e.MTU + frameHeader
		largest[e.Instance] = max(largest[e.Instance], frame)
		owner := fmt.Sprintf("ENI %q", e.ID)
		c.bandwidth(e.Pos, owner, "inbound bandwidth", &e.In, frame)
		c.bandwidth(e.Pos, owner, "outbound bandwidth", &e.Out, frame)
		c.bandwidth(e.Pos, owner, "bandwidth of a queue", &e.Queue, frame)
		c.pacing(e, owner)
		if e.ExpressUDP && !e.Express {
			c.errorf(e.Pos, "%s: ENA Express for UDP needs ENA Express", owner)
		}
		if _, known := c.subnets.at[e.Subnet]; !known {
			continue
		}
		if first, seen := zones[e.Instance]; !seen {
			zones[e.Instance] = i
		} else if a, b := c.zone(&c.o.ENIs[first]), c.zone(e); a != b {
			c.errorf(e.Pos, "%s lies in %s, but ENI %q of the same instance in %s; an instance is in one availability zone",
				owner, zoneName(b), c.o.ENIs[first].ID, zoneName(a))
		}
	}
	clusters := make(map[string]int) // the first ENI in each
	for i := range c.o.Instances {
		in := &c.o.Instances[i]
		owner := fmt.Sprintf("instance %q", in.ID)
		frame := largest[in.ID]
		c.credits(in.Pos, owner, "inbound bandwidth", &in.In, frame)
		c.credits(in.Pos, owner, "outbound bandwidth", &in.Out, frame)
		c.bandwidth(in.Pos, owner, "bandwidth from the internet", &in.InternetIn, frame)
		c.bandwidth(in.Pos, owner, "bandwidth to the internet", &in.InternetOut, frame)
		c.limit(in.Pos, owner, "packet rate", &in.Packets, 1, MaxPacketRate)
		c.bandwidth(in.Pos, owner, "bandwidth of a flow", &in.Flow.Default, frame)
		c.bandwidth(in.Pos, owner, "bandwidth of a TCP flow within a cluster", &in.Flow.ClusterTCP, frame)
		c.bandwidth(in.Pos, owner, "bandwidth of a UDP flow within a cluster", &in.Flow.ClusterUDP, frame)
		c.bandwidth(in.Pos, owner, "bandwidth of a flow by ENA Express", &in.Flow.Express, frame)
		c.placement(in, owner, zones, clusters)
	}
}

// placement sees that the members of a cluster are in one availability zone.
func (c *checker) placement(in *Instance, owner string, zones, clusters map[string]int) {
	if in.Placement == "" {
		return
	}
	group, known := c.ref(in.Pos, owner, &c.placements, in.Placement)
	at, has := zones[in.ID]
	if !known || !has || !c.o.Placements[group].Cluster {
		return
	}
	first, seen := clusters[in.Placement]
	if !seen {
		clusters[in.Placement] = at
		return
	}
	if a, b := &c.o.ENIs[first], &c.o.ENIs[at]; c.zone(a) != c.zone(b) {
		c.errorf(in.Pos, "%s lies in %s, but instance %q of the same cluster placement group in %s; a cluster is in one availability zone",
			owner, zoneName(c.zone(b)), a.Instance, zoneName(c.zone(a)))
	}
}

// zone returns the availability zone of an ENI's subnet, which is known.
func (c *checker) zone(e *ENI) string { return c.o.Subnets[c.subnets.at[e.Subnet]].Zone }

func zoneName(z string) string {
	if z == "" {
		return "a subnet without a zone"
	}
	return fmt.Sprintf("zone %q", z)
}

// credits checks an instance's bandwidth, burst and baseline.
func (c *checker) credits(pos Pos, owner, what string, b *Bandwidth, frame int) {
	c.bandwidth(pos, owner, what, &b.Limit, frame)
	switch {
	case b.Rate < MinBandwidth: // no limit, or one that is refused already
	case b.Baseline > b.Rate:
		c.errorf(pos, "%s: the baseline of %d bits a second of its %s is above its rate of %d", owner, b.Baseline, what, b.Rate)
	case b.Baseline < MinBandwidth:
		c.errorf(pos, "%s: the baseline of its %s is %d bits a second; it must be at least %d", owner, what, b.Baseline, MinBandwidth)
	case b.Credits > MaxCredits:
		c.errorf(pos, "%s: the credits of its %s are %d bytes; at most %d are kept", owner, what, b.Credits, uint64(MaxCredits))
	}
}

// bandwidth checks a limit in bits a second for who may see frames of a length.
func (c *checker) bandwidth(pos Pos, owner, what string, l *Limit, frame int) {
	c.limit(pos, owner, what, l, MinBandwidth, MaxBandwidth)
	if l.Limits() && l.Burst < uint64(frame) {
		c.errorf(pos, "%s: the burst of its %s is %d bytes; a frame of %d bytes would never pass", owner, what, l.Burst, frame)
	}
}

func (c *checker) limit(pos Pos, owner, what string, l *Limit, least, most uint64) {
	switch {
	case !l.Limits():
		return
	case l.Rate < least || l.Rate > most:
		c.errorf(pos, "%s: the rate of its %s is %d a second; it must be 0 for none, or from %d to %d", owner, what, l.Rate, least, most)
	case l.Burst < 1 || l.Burst > MaxBurst:
		c.errorf(pos, "%s: the burst of its %s is %d; it must be from 1 to %d", owner, what, l.Burst, uint64(MaxBurst))
	case l.Delay < 0 || l.Delay > MaxDelay:
		c.errorf(pos, "%s: the longest delay of its %s is %v; it must be from %v to %v", owner, what, l.Delay, time.Duration(0), MaxDelay)
	}
}
