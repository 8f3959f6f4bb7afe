package config

import (
	"reflect"
	"strings"
	"time"

	"github.com/nitrod/nitrod/internal/instancetype"
	"github.com/nitrod/nitrod/policy"
)

// types puts into the document what instances and ENIs have by the types of the
// instances, and finds what a type does not allow.
func (d *decoder) types(doc *document) {
	uses := make(map[string]*typeUse)
	for i := range doc.Instances {
		in := &doc.Instances[i]
		t := instancetype.Lookup(in.Type)
		if t == nil {
			continue
		}
		if !d.given(&in.Nitro) && t.Nitro.N >= 6 {
			in.Nitro = NitroV6
		}
		if !d.given(&in.VCPUs) {
			in.VCPUs = t.VCPUs.N
		}
		if uses[in.ID] == nil { // an id that is there twice is an error of its own
			uses[in.ID] = &typeUse{Type: t}
		}
	}
	for i := range doc.ENIs {
		e := &doc.ENIs[i]
		if u := uses[e.Instance]; u != nil {
			if !d.given(&e.Queues) {
				e.Queues = u.Queues.N
			}
			d.typeAllows(e, u)
		}
	}
}

// typeUse is what the ENIs so far take of an instance's type.
type typeUse struct {
	*instancetype.Type
	enis, queues int
}

// typeAllows counts an ENI against what AWS publishes of its instance's type.
// The ENI with which a bound is passed is named.
func (d *decoder) typeAllows(e *eniDoc, u *typeUse) {
	v4 := 0
	for _, a := range e.Addresses {
		if a.Is4() {
			v4++
		}
	}
	for _, p := range e.Prefixes {
		if p.Addr().Is4() {
			v4++
		}
	}
	queues := u.queues
	u.enis, u.queues = u.enis+1, u.queues+e.Queues
	within := func(at any, before, n int, f instancetype.Figure, format string) {
		if f.N != 0 && !f.Ours && before <= f.N && n > f.N && d.ok(at) {
			d.fail(at, e.Pos, format, e.ID, n, u.Name, f.N)
		}
	}
	within(&e.Instance, u.enis-1, u.enis, u.ENIs, "ENI %q is number %d of its instance, and a %s has at most %d")
	within(&e.Addresses, 0, v4, u.Addresses, "ENI %q has %d IPv4 addresses and prefixes; an ENI of a %s has at most %d")
	within(&e.Queues, 0, e.Queues, u.MaxQueues, "ENI %q has %d queues; an ENI of a %s has at most %d")
	within(&e.Queues, queues, u.queues, u.TotalQueues, "with ENI %q the ENIs of its instance have %d queues together, and those of a %s have at most %d")
}

// instance turns an instance into policy's, its limits with it.
func (d *decoder) instance(in *instanceDoc) policy.Instance {
	out := policy.Instance{ID: in.ID, ConntrackAllowance: in.ConntrackAllowance, Placement: in.PlacementGroup, Pos: in.Pos}
	out.VCPUs, out.Steering = in.VCPUs, convert(in.Steering, d.steering)
	t, l := instancetype.Lookup(in.Type), in.Limits
	if l == nil {
		l = &instanceLimitsDoc{}
	}
	// What is not given is a mapping without keys, which d knows nothing of.
	flow := l.Flow
	if flow == nil && t != nil {
		flow = withDefaults[flowLimitsDoc](d)
	}
	if flow != nil {
		out.Flow = d.flowLimits(flow)
	}
	out.In = d.bandwidth(l.BandwidthIn, t)
	out.Out = d.bandwidth(l.BandwidthOut, t)
	out.InternetIn = d.internet(l.InternetIn, t)
	out.InternetOut = d.internet(l.InternetOut, t)
	out.Packets = d.packets(l.Packets, t)
	return out
}

// withDefaults returns an object of which the file says nothing.
func withDefaults[T any](d *decoder) *T {
	x := new(T)
	d.applyDefaults(reflect.ValueOf(x).Elem())
	return x
}

// bandwidth returns an instance's bandwidth in one direction.
func (d *decoder) bandwidth(b *bandwidthDoc, t *instancetype.Type) policy.Bandwidth {
	if b == nil {
		b = withDefaults[bandwidthDoc](d)
	}
	rate, baseline := uint64(b.Rate), uint64(b.Baseline)
	if t != nil {
		typeBaseline, typeRate := t.BitsSecond()
		if !d.given(&b.Rate) {
			rate = max(typeRate, baseline)
		}
		if baseline == 0 {
			baseline = min(typeBaseline, rate)
		}
	}
	if baseline == 0 {
		baseline = rate
	}
	switch {
	case !d.rate(&b.Rate, b.Pos) || !d.ok(&b.Baseline):
		return policy.Bandwidth{}
	case d.given(&b.Baseline) && !d.given(&b.Rate) && t == nil:
		d.fail(&b.Baseline, b.Pos, "baseline needs the key rate beside it, or a type of the instance")
		return policy.Bandwidth{}
	case rate == 0:
		return policy.Bandwidth{}
	case baseline > rate:
		d.fail(&b.Baseline, b.Pos, "baseline must be at most rate, which is %v, not %v", BitRate(rate), b.Baseline)
		return policy.Bandwidth{}
	}
	return policy.Bandwidth{
		Limit:    limit(rate, b.Burst, b.Delay),
		Baseline: baseline, Credits: policy.CreditBytes(rate, baseline, b.CreditTime),
	}
}

// internet returns an instance's bandwidth from or to internet gateways.
func (d *decoder) internet(b *internetDoc, t *instancetype.Type) policy.Limit {
	if b == nil {
		b = withDefaults[internetDoc](d)
	}
	rate := uint64(b.Rate)
	if t != nil && !d.given(&b.Rate) {
		rate = t.InternetBitsSecond()
	}
	if !d.rate(&b.Rate, b.Pos) || rate == 0 {
		return policy.Limit{}
	}
	return limit(rate, b.Burst, b.Delay)
}

// packets returns an instance's packet rate.
func (d *decoder) packets(p *packetsDoc, t *instancetype.Type) policy.Limit {
	if p == nil {
		p = withDefaults[packetsDoc](d)
	}
	rate := uint64(p.Rate)
	if t != nil && !d.given(&p.Rate) {
		rate = t.PacketsSecond()
	}
	if rate == 0 {
		return policy.Limit{}
	}
	burst := uint64(p.Burst)
	if burst == 0 {
		burst = policy.DefaultPacketBurst(rate)
	}
	return policy.Limit{Rate: rate, Burst: burst, Delay: p.Delay}
}

func (d *decoder) flowLimits(f *flowLimitsDoc) policy.FlowLimits {
	one := func(rate *BitRate) policy.Limit {
		if !d.rate(rate, f.Pos) || *rate == 0 {
			return policy.Limit{}
		}
		return limit(uint64(*rate), f.Burst, f.Delay)
	}
	return policy.FlowLimits{Default: one(&f.Rate), ClusterTCP: one(&f.ClusterTCP), ClusterUDP: one(&f.ClusterUDP), Express: one(&f.Express)}
}

// eniLimits puts an ENI's limits into policy's.
func (d *decoder) eniLimits(e *eniDoc, to *policy.ENI) {
	to.Express = e.Express == expressTCP || e.Express == expressAll
	to.ExpressUDP = e.Express == expressAll
	if e.Limits == nil {
		return
	}
	one := func(l *limitDoc) policy.Limit {
		if l == nil || !d.rate(&l.Rate, l.Pos) || l.Rate == 0 {
			return policy.Limit{}
		}
		return limit(uint64(l.Rate), l.Burst, l.Delay)
	}
	to.In, to.Out, to.Queue = one(e.Limits.BandwidthIn), one(e.Limits.BandwidthOut), one(e.Limits.Queue)
}

// limit returns a bandwidth of rate bits a second; a burst of 0 is the default.
func limit(rate uint64, burst Size, delay time.Duration) policy.Limit {
	bytes := uint64(burst)
	if bytes == 0 {
		bytes = policy.DefaultBurst(rate)
	}
	return policy.Limit{Rate: rate, Burst: bytes, Delay: delay}
}

// rate reports whether a bandwidth is usable, with an error for one that is so
// low that a single frame would take seconds.
func (d *decoder) rate(r *BitRate, otherwise policy.Pos) bool {
	if d.ok(r) && *r != 0 && *r < policy.MinBandwidth {
		d.bad[r] = true
		d.fail(r, otherwise, "a rate must be at least %v, or 0bps for no limit, not %v", BitRate(policy.MinBandwidth), *r)
	}
	return d.ok(r)
}

// Limits says in one line what limits an instance has, its type resolved to
// numbers; "" for none.
func Limits(in *policy.Instance) string {
	var parts []string
	add := func(what string, l *policy.Limit, value string) {
		if l.Limits() {
			parts = append(parts, what+" "+value)
		}
	}
	bandwidth := func(what string, b *policy.Bandwidth) {
		value := BitRate(b.Rate).String()
		if b.Bursts() {
			value += " on " + BitRate(b.Baseline).String()
		}
		add(what, &b.Limit, value)
	}
	bandwidth("in", &in.In)
	bandwidth("out", &in.Out)
	add("from the internet", &in.InternetIn, BitRate(in.InternetIn.Rate).String())
	add("to it", &in.InternetOut, BitRate(in.InternetOut.Rate).String())
	add("packets", &in.Packets, PacketRate(in.Packets.Rate).String())
	flow := func(what string, l *policy.Limit) { add(what, l, BitRate(l.Rate).String()) }
	flow("a flow", &in.Flow.Default)
	flow("in a cluster", &in.Flow.ClusterTCP)
	flow("UDP there", &in.Flow.ClusterUDP)
	flow("by ENA Express", &in.Flow.Express)
	return strings.Join(parts, ", ")
}
