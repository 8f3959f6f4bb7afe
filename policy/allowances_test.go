package policy

import (
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// gbit is a limit that tests can tell by its rate in Gbit/s.
func gbit(n uint64) Limit {
	return Limit{Rate: n * 1e9, Burst: DefaultBurst(n * 1e9), Delay: DefaultDelay}
}

// flowLimits are AWS's.
func flowLimits() FlowLimits {
	return FlowLimits{Default: gbit(5), ClusterTCP: gbit(10), ClusterUDP: gbit(8), Express: gbit(25)}
}

// A flow has the limit of its way: by the placement of both ends, by what both
// of them use, and by protocol.
func TestFlowLimit(t *testing.T) {
	const tcp, udp, gre = ProtoTCP, ProtoUDP, 47
	for _, tc := range []struct {
		name          string
		edit          func(*Objects)
		tcp, udp, gre uint64 // Gbit/s
	}{
		{"default", func(*Objects) {}, 5, 5, 5},
		{"one in the cluster", func(o *Objects) { o.Instances[0].Placement = "near" }, 5, 5, 5},
		{"both in the cluster", func(o *Objects) { o.Instances[0].Placement, o.Instances[1].Placement = "near", "near" }, 10, 8, 10},
		{"two clusters", func(o *Objects) { o.Instances[0].Placement, o.Instances[1].Placement = "near", "near2" }, 5, 5, 5},
		{"both spread", func(o *Objects) { o.Instances[0].Placement, o.Instances[1].Placement = "apart", "apart" }, 5, 5, 5},
		{"express at the sender", func(o *Objects) { o.ENIs[0].Express = true }, 5, 5, 5},
		{"express at the receiver", func(o *Objects) { o.ENIs[1].Express = true }, 5, 5, 5},
		{"express at both", func(o *Objects) { o.ENIs[0].Express, o.ENIs[1].Express = true, true }, 25, 5, 5},
		{"express for UDP at one", func(o *Objects) { express(o); o.ENIs[1].ExpressUDP = false }, 25, 5, 5},
		{"express for UDP at both", express, 25, 25, 5},
		{"express across zones", func(o *Objects) { express(o); o.Subnets[0].Zone = "az-1" }, 5, 5, 5},
		{"express in a cluster", func(o *Objects) {
			o.ENIs[0].Express, o.ENIs[1].Express = true, true
			o.Instances[0].Placement, o.Instances[1].Placement = "near", "near"
		}, 25, 8, 10},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := fixture()
			o.Placements = []PlacementGroup{{ID: "apart"}, {ID: "near", Cluster: true}, {ID: "near2", Cluster: true}}
			o.Instances[0].Flow = flowLimits()
			tc.edit(o)
			s := compiled(t, o, nil)
			from, _ := s.ENIByID("web")
			to, _ := s.ENIByID("app")
			for protocol, want := range map[uint8]uint64{tcp: tc.tcp, udp: tc.udp, gre: tc.gre} {
				if got := s.FlowLimit(from, to, protocol).Rate; got != want*1e9 {
					t.Errorf("protocol %d: %d bits a second, want %d Gbit/s", protocol, got, want)
				}
				// The other end sends without limits.
				if got := s.FlowLimit(to, from, protocol).Rate; got != 0 {
					t.Errorf("protocol %d, back: %d bits a second, want no limit", protocol, got)
				}
			}
		})
	}
}

func express(o *Objects) {
	for i := range 2 {
		o.ENIs[i].Express, o.ENIs[i].ExpressUDP = true, true
	}
}

// What goes to the world has the default limit, and what comes from there none.
func TestFlowLimitOutside(t *testing.T) {
	o := fixture()
	o.Instances[0].Flow = flowLimits()
	o.Gateways = []InternetGateway{{ID: "igw", VPC: "vpc-1", MAC: [6]byte{2, 7}, MTU: 1500, Queues: 1}}
	s := compiled(t, o, nil)
	web, _ := s.ENIByID("web")
	igw, _ := s.ENIByID("igw")
	if out, in := s.FlowLimit(web, igw, ProtoTCP).Rate, s.FlowLimit(igw, web, ProtoTCP).Rate; out != 5e9 || in != 0 {
		t.Errorf("out %d, in %d bits a second; want 5 Gbit/s and no limit", out, in)
	}
}

// Whatever limits an ENI, or the instance that it belongs to, shows in its
// flags, and at no other ENI.
func TestLimitedFlag(t *testing.T) {
	for _, edit := range []func(*Objects){
		func(o *Objects) { o.Instances[1].In = Bandwidth{Limit: gbit(1), Baseline: 1e9} },
		func(o *Objects) { o.Instances[1].Out = Bandwidth{Limit: gbit(1), Baseline: 1e9} },
		func(o *Objects) { o.Instances[1].Packets = Limit{Rate: 1, Burst: 1} },
		func(o *Objects) { o.Instances[1].Flow.Default = gbit(1) },
		func(o *Objects) { o.Instances[1].Flow.ClusterTCP = gbit(1) },
		func(o *Objects) { o.Instances[1].Flow.ClusterUDP = gbit(1) },
		func(o *Objects) { o.Instances[1].Flow.Express = gbit(1) },
		func(o *Objects) { o.Instances[1].InternetIn = gbit(1) },
		func(o *Objects) { o.Instances[1].InternetOut = gbit(1) },
		func(o *Objects) { o.ENIs[1].In = gbit(1) },
		func(o *Objects) { o.ENIs[1].Out = gbit(1) },
		func(o *Objects) { o.ENIs[1].Queue = gbit(1) },
	} {
		o := fixture()
		edit(o)
		s := compiled(t, o, nil)
		for i := range s.ENIs {
			id := s.ENI(uint16(i)).ID
			if is := s.ENIs[i].Flags&Limited != 0; is != (id == "app") {
				t.Errorf("ENI %q: limited is %v", id, is)
			}
		}
		app, _ := s.ENIByID("app")
		in := &o.Instances[1]
		want := InstanceRecord{In: in.In, Out: in.Out, InternetIn: in.InternetIn, InternetOut: in.InternetOut, Packets: in.Packets, Flow: in.Flow, Cluster: NoCluster}
		if got := s.Instances[s.ENIs[app].Instance]; got != want {
			t.Errorf("instance record %+v, want %+v", got, want)
		}
		e := &o.ENIs[1]
		if got, want := s.Limits[app], (ENILimits{In: e.In, Out: e.Out, Queue: e.Queue, Zone: s.Limits[app].Zone}); got != want {
			t.Errorf("limits of the ENI %+v, want %+v", got, want)
		}
	}
}

// Each case makes one mistake about limits and names the one error that must
// come of it.
func TestCompileRefusesLimits(t *testing.T) {
	bandwidth := func(edit func(*Bandwidth)) func(*Objects) {
		return func(o *Objects) {
			b := Bandwidth{Limit: gbit(10), Baseline: 1e9, Credits: 1 << 30}
			edit(&b)
			o.Instances[0].Out = b
		}
	}
	for _, tc := range []struct {
		name string
		edit func(*Objects)
		want string
	}{
		{"baseline above the rate", bandwidth(func(b *Bandwidth) { b.Baseline = 11e9 }), `vpc.yaml:90: instance "i-web": the baseline of 11000000000 bits a second of its outbound bandwidth is above its rate of 10000000000`},
		{"no baseline", bandwidth(func(b *Bandwidth) { b.Baseline = 0 }), `the baseline of its outbound bandwidth is 0 bits a second; it must be at least 64000`},
		{"too many credits", bandwidth(func(b *Bandwidth) { b.Credits = 1<<50 + 1 }), `the credits of its outbound bandwidth are 1125899906842625 bytes; at most 1125899906842624 are kept`},
		{"a crawl", bandwidth(func(b *Bandwidth) { b.Rate, b.Baseline = 63_999, 63_999 }), `the rate of its outbound bandwidth is 63999 a second; it must be 0 for none, or from 64000 to 1000000000000`},
		{"a burst that lets no frame pass", func(o *Objects) { o.ENIs[4].Queue = Limit{Rate: 1e9, Burst: 9014} }, `vpc.yaml:105: ENI "web2": the burst of its bandwidth of a queue is 9014 bytes; a frame of 9015 bytes would never pass`},
		{"a huge burst", func(o *Objects) { o.ENIs[4].In = Limit{Rate: 1e9, Burst: 1<<30 + 1} }, `ENI "web2": the burst of its inbound bandwidth is 1073741825; it must be from 1 to 1073741824`},
		{"a long delay", func(o *Objects) { o.ENIs[4].Out = Limit{Rate: 1e9, Burst: 1 << 16, Delay: 101 * time.Millisecond} }, `ENI "web2": the longest delay of its outbound bandwidth is 101ms; it must be from 0s to 100ms`},
		{"a crawl to the internet", func(o *Objects) { o.Instances[0].InternetOut = Limit{Rate: 1, Burst: 1 << 16} }, `vpc.yaml:90: instance "i-web": the rate of its bandwidth to the internet is 1 a second; it must be 0 for none, or from 64000 to 1000000000000`},
		{"no burst from the internet", func(o *Objects) { o.Instances[0].InternetIn = Limit{Rate: 1e9, Burst: 60} }, `the burst of its bandwidth from the internet is 60 bytes; a frame of`},
		{"no burst of packets", func(o *Objects) { o.Instances[0].Packets = Limit{Rate: 1} }, `the burst of its packet rate is 0; it must be from 1 to 1073741824`},
		{"flow", func(o *Objects) { o.Instances[0].Flow.ClusterUDP = Limit{Rate: 1, Burst: 1 << 16} }, `the rate of its bandwidth of a UDP flow within a cluster is 1 a second`},
		{"unknown placement group", func(o *Objects) { o.Instances[0].Placement = "near" }, `vpc.yaml:90: instance "i-web" refers to placement group "near", which is not defined`},
		{"express for UDP alone", func(o *Objects) { o.ENIs[4].ExpressUDP = true }, `ENI "web2": ENA Express for UDP needs ENA Express`},
		{"an instance in two zones", func(o *Objects) { o.ENIs[4].Instance, o.Subnets[1].Zone = "i-app", "b" }, `vpc.yaml:105: ENI "web2" lies in a subnet without a zone, but ENI "app" of the same instance in zone "b"; an instance is in one availability zone`},
		{"a cluster in two zones", func(o *Objects) {
			o.Placements = []PlacementGroup{{ID: "near", Cluster: true}}
			o.Instances[0].Placement, o.Instances[1].Placement = "near", "near"
			o.Subnets[0].Zone, o.Subnets[1].Zone = "a", "b"
		}, `vpc.yaml:91: instance "i-app" lies in zone "b", but instance "i-web" of the same cluster placement group in zone "a"; a cluster is in one availability zone`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := fixture()
			tc.edit(o)
			_, err := Compile(o, nil)
			var all Errors
			if !errors.As(err, &all) || len(all) != 1 {
				t.Fatalf("got %v, want one error", err)
			}
			if !slices.ContainsFunc(all, func(e *Error) bool { return strings.Contains(e.Error(), tc.want) }) {
				t.Fatalf("got:\n%v\nwant:\n%s", err, tc.want)
			}
		})
	}
}

// CreditBytes is (rate - baseline) / 8 * time, rounded down, however large.
func TestCreditBytesTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.Uint64Range(0, MaxBandwidth).Draw(t, "rate")
		baseline := rapid.Uint64Range(0, MaxBandwidth).Draw(t, "baseline")
		lasting := time.Duration(rapid.Int64Range(-1, int64(24*time.Hour)).Draw(t, "lasting"))
		want := new(big.Int)
		if rate > baseline && lasting > 0 {
			want.SetUint64(rate - baseline)
			want.Mul(want, big.NewInt(int64(lasting)))
			want.Div(want, big.NewInt(8*int64(time.Second)))
		}
		if got := CreditBytes(rate, baseline, lasting); new(big.Int).SetUint64(got).Cmp(want) != 0 {
			t.Fatalf("%d, want %v", got, want)
		}
	})
}

func TestDefaultBursts(t *testing.T) {
	for rate, want := range map[uint64]uint64{64_000: 65536, 5e9: 65536, 12.5e9: 156_250, 100e9: 1_250_000} {
		if got := DefaultBurst(rate); got != want {
			t.Errorf("%d bits a second: %d bytes, want %d", rate, got, want)
		}
	}
	for rate, want := range map[uint64]uint64{1: 64, 640_000: 64, 2_200_000: 220} {
		if got := DefaultPacketBurst(rate); got != want {
			t.Errorf("%d packets a second: %d, want %d", rate, got, want)
		}
	}
}

func TestFlowLimitDoesNotAllocate(t *testing.T) {
	o := fixture()
	o.Instances[0].Flow = flowLimits()
	s := compiled(t, o, nil)
	if n := testing.AllocsPerRun(100, func() { s.FlowLimit(0, 1, ProtoTCP) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
