package policy

import (
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nitrod/nitrod/internal/drop"
)

func TestENIRecordIsACacheLineWithoutPointers(t *testing.T) {
	typ := reflect.TypeFor[ENIRecord]()
	if typ.Size() != 64 {
		t.Errorf("size %d, want 64", typ.Size())
	}
	for i := range typ.NumField() {
		f := typ.Field(i)
		k := f.Type.Kind()
		if k == reflect.Array {
			k = f.Type.Elem().Kind()
		}
		if k < reflect.Bool || k > reflect.Float64 {
			t.Errorf("field %s is a %v", f.Name, f.Type)
		}
	}
}

func TestSlots(t *testing.T) {
	a := assign(slots{}, []string{"x", "y", "z"})
	b := assign(a, []string{"z", "new"})
	if d := cmp.Diff([]string{"", "", "z", "new"}, b.names); d != "" {
		t.Errorf("an index that has just become free must rest once: %s", d)
	}
	c := assign(b, []string{"x", "z", "y2", "new", "w"})
	if d := cmp.Diff([]string{"x", "y2", "z", "new", "w"}, c.names); d != "" {
		t.Errorf("free indices must be used again: %s", d)
	}
	for id, i := range c.at {
		if c.names[i] != id {
			t.Errorf("index of %s leads to %s", id, c.names[i])
		}
	}
}

func TestSlotsWhenFull(t *testing.T) {
	ids := make([]string, MaxObjects)
	for i := range ids {
		ids[i] = strconv.Itoa(i)
	}
	full := assign(slots{}, ids)
	ids[7] = "other"
	again := assign(full, ids)
	if len(again.names) != MaxObjects || again.at["other"] != 7 {
		t.Errorf("%d indices, the new one %d; want %d and 7", len(again.names), again.at["other"], MaxObjects)
	}
}

// The slot of a removed ENI is dead for one snapshot at least; who takes it
// has a higher generation than whoever had it before.
func TestRemovedENI(t *testing.T) {
	o := fixture()
	s1 := compiled(t, o, nil)
	at := eniOf(t, s1, "web2")
	o.ENIs = slices.DeleteFunc(o.ENIs, func(e ENI) bool { return e.ID == "web2" })
	s2 := compiled(t, o, s1)
	if r := &s2.ENIs[at]; !r.Dead() || r.Gen <= s1.ENIs[at].Gen || s2.ENI(at).ID != "" {
		t.Fatalf("the slot of the removed ENI is %+v, known as %q", r, s2.ENI(at).ID)
	}
	if s3 := compiled(t, o, s2); s3.ENIs[at].Gen != s2.ENIs[at].Gen {
		t.Error("a dead slot must keep its generation")
	}
	e := o.ENIs[0]
	e.ID, e.MAC, e.Addresses = "newcomer", [6]byte{2, 9}, []netip.Addr{ip("10.0.1.77")}
	o.ENIs = append(o.ENIs, e)
	s3 := compiled(t, o, s2)
	if got := eniOf(t, s3, "newcomer"); got != at || s3.ENIs[at].Dead() || s3.ENIs[at].Gen <= s2.ENIs[at].Gen {
		t.Fatalf("newcomer has index %d and record %+v, want index %d", got, s3.ENIs[at], at)
	}
}

// Who is concerned by a change, and who is not.
func TestGenerations(t *testing.T) {
	for _, tc := range []struct {
		name string
		edit func(*Objects)
		want []string
	}{
		{"nothing", func(*Objects) {}, nil},
		{"rule of a group", func(o *Objects) { o.SecurityGroups[1].Inbound[2].ToPort = 5202 }, []string{"app", "app2"}},
		{"name of a rule", func(o *Objects) { o.SecurityGroups[0].Inbound[0].ID = "web" }, nil},
		{"ignored port", func(o *Objects) { o.SecurityGroups[0].Outbound[0].FromPort = 7 }, nil},
		{"prefix list", func(o *Objects) { o.PrefixLists[0].Prefixes = nil }, []string{"web", "app2"}},
		{"ACL", func(o *Objects) { o.NetworkACLs[1].Inbound[0].Allow = false }, []string{"app", "app2"}},
		{"route", func(o *Objects) {
			o.RouteTables[0].Routes[0].Target = TargetLocal
			o.RouteTables[0].Routes[0].Destination = pfx("10.0.0.0/16")
		}, []string{"web", "web2"}},
		{"main table", func(o *Objects) {
			o.RouteTables[1].Routes = []Route{{Destination: pfx("0.0.0.0/0"), Target: TargetBlackhole}}
		}, []string{"app", "app2", "fw"}},
		{"member of a group that is referred to", func(o *Objects) { o.ENIs[4].SecurityGroups = []string{"sg-web"} }, []string{"web2", "app", "app2"}},
		{"member of a group that nobody refers to", func(o *Objects) { o.ENIs[4].SecurityGroups = []string{"sg-fw"} }, []string{"web2"}},
		{"timeout", func(o *Objects) { o.ENIs[0].UDP = 31 }, []string{"web"}},
		{"prefix", func(o *Objects) { o.ENIs[4].Prefixes = []netip.Prefix{pfx("10.0.1.32/28")} }, []string{"web2"}},
		{"prefix of a member of a group that is referred to", func(o *Objects) { o.ENIs[0].Prefixes = []netip.Prefix{pfx("10.0.1.32/28")} }, []string{"web", "app", "app2"}},
		{"check", func(o *Objects) { o.ENIs[3].SourceDestCheck = true }, []string{"fw"}},
		{"new ENI without groups", func(o *Objects) {
			e := o.ENIs[4]
			e.ID, e.MAC, e.Addresses = "x", [6]byte{2, 9}, []netip.Addr{ip("10.0.1.99")}
			o.ENIs = append(o.ENIs, e)
		}, nil},
		{"allowance of the instance", func(o *Objects) { o.Instances[0].ConntrackAllowance = 7 }, nil},
		{"limits", func(o *Objects) {
			o.Instances[0].Packets = Limit{Rate: 1000, Burst: 64}
			o.ENIs[3].In = Limit{Rate: 1e9, Burst: 1 << 16}
			o.ENIs[4].Express = true
			o.Subnets[1].Zone = "az-2"
		}, nil},
		{"guarantee and budget", func(o *Objects) { o.ENIs[1].ConntrackGuaranteed, o.ENIs[1].ConntrackHalfOpen = 9, 8 }, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := fixture()
			s1 := compiled(t, o, nil)
			tc.edit(o)
			s2 := compiled(t, o, s1)
			var raised []string
			for i := range s1.ENIs {
				switch s2.ENIs[i].Gen - s1.ENIs[i].Gen {
				case 0:
				case 1:
					raised = append(raised, s1.ENI(uint16(i)).ID)
				default:
					t.Errorf("ENI %d went from generation %d to %d", i, s1.ENIs[i].Gen, s2.ENIs[i].Gen)
				}
			}
			slices.Sort(raised)
			slices.Sort(tc.want)
			if !slices.Equal(raised, tc.want) {
				t.Errorf("raised %v, want %v", raised, tc.want)
			}
		})
	}
}

func TestENIsOfEqualGroupsShareTheirRules(t *testing.T) {
	o := fixture()
	o.ENIs[4].SecurityGroups = []string{"sg-web"}
	s := compiled(t, o, nil)
	a, b := s.enis[eniOf(t, s, "web")], s.enis[eniOf(t, s, "web2")]
	if a.rules != b.rules || a.groupSet != b.groupSet {
		t.Error("two ENIs of the same groups must share one compiled set")
	}
	o.NetworkACLs[0].Inbound = nil
	if next := compiled(t, o, s); next.enis[eniOf(t, next, "web")].rules != a.rules {
		t.Error("rules that have not changed must not be compiled again")
	}
}

func TestENIInfo(t *testing.T) {
	s := compiled(t, fixture(), nil)
	got := s.ENI(eniOf(t, s, "app"))
	want := ENIInfo{
		ID: "app", Instance: "i-app", VPC: "vpc-1", Subnet: "app",
		Addresses: []netip.Addr{ip("10.0.2.10"), ip("10.0.2.11"), ip("2001:db8:0:2::10")}, SecurityGroups: []string{"sg-app"},
		Primary4: ip("10.0.2.10"), Prefix4: pfx("10.0.2.0/24"), Router4: ip("10.0.2.1"),
		Primary6: ip("2001:db8:0:2::10"), Prefix6: pfx("2001:db8:0:2::/64"), Router6: ip("2001:db8:0:2::1"),
		RouterLinkLocal: linkLocal(routerMAC("vpc-1", "app")), Resolver: ip("10.0.0.2"),
	}
	if d := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(ENIInfo{}, s.ENI(NoENI), cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); d != "" {
		t.Error(d)
	}
	subnet := s.Subnet(s.ENIs[eniOf(t, s, "fw")].Subnet)
	if subnet.ID != "fw" || subnet.RouteTable != "rt-main" || subnet.NetworkACL != "default" {
		t.Errorf("subnet %+v", subnet)
	}
	if in := s.Instance(s.ENIs[eniOf(t, s, "far")].Instance); in.ID != "i-far" || in.ConntrackAllowance != 5000 {
		t.Errorf("instance %+v", in)
	}
}

func TestRouterMAC(t *testing.T) {
	a := routerMAC("vpc-1", "web")
	if a != routerMAC("vpc-1", "web") || a == routerMAC("vpc-1", "app") || a == routerMAC("vpc-2", "web") {
		t.Error("a router's MAC must follow from its VPC and subnet")
	}
	if a[0]&1 != 0 || a[0]&2 == 0 {
		t.Errorf("%x is not a unicast, locally administered MAC", a)
	}
}

func TestResolveMAC(t *testing.T) {
	s := compiled(t, fixture(), nil)
	web := eniOf(t, s, "web")
	router := s.ENIs[web].RouterMAC
	for addr, want := range map[string][6]byte{
		"10.0.1.1": router, "2001:db8:0:1::1": router, "fe80:ec2::1": router, linkLocal(router).String(): router, "169.254.169.254": router,
		"10.0.1.20": s.ENIs[eniOf(t, s, "web2")].MAC,
		"10.0.1.10": {}, "10.0.1.99": {}, "10.0.2.10": {}, "10.0.2.1": {}, "10.0.1.2": {}, "10.0.1.255": {}, "10.0.0.2": {}, "169.254.1.1": {}, "fe80::1": {}, "8.8.8.8": {},
	} {
		mac, ok := s.ResolveMAC(web, ip(addr))
		if mac != want || ok != (want != [6]byte{}) {
			t.Errorf("%s resolves to %x, %v; want %x", addr, mac, ok, want)
		}
	}
	if _, ok := s.ResolveMAC(NoENI, ip("10.0.1.1")); ok {
		t.Error("there is no such ENI")
	}
	a := ip("10.0.1.20")
	if n := testing.AllocsPerRun(100, func() { s.ResolveMAC(web, a); s.ENIByMAC(0, router); s.ENIByAddress(0, a) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestResolveMACOfTheResolverOnLink(t *testing.T) {
	o := fixture()
	addSubnet(o, "10.0.0.0/24")
	e := o.ENIs[4]
	e.ID, e.Subnet, e.MAC, e.Addresses = "x", "s", [6]byte{2, 9}, []netip.Addr{ip("10.0.0.10")}
	o.ENIs = append(o.ENIs, e)
	s := compiled(t, o, nil)
	x := eniOf(t, s, "x")
	if mac, ok := s.ResolveMAC(x, ip("10.0.0.2")); !ok || mac != s.ENIs[x].RouterMAC {
		t.Errorf("got %x, %v; want the router's MAC", mac, ok)
	}
}

func TestENIByMACAndAddress(t *testing.T) {
	s := compiled(t, fixture(), nil)
	for i := range s.ENIs {
		r := &s.ENIs[i]
		if got, ok := s.ENIByMAC(r.Subnet, r.MAC); !ok || int(got) != i {
			t.Errorf("ENI %d by MAC is %d, %v", i, got, ok)
		}
		for _, a := range s.ENI(uint16(i)).Addresses {
			if got, ok := s.ENIByAddress(r.VPC, a); !ok || int(got) != i {
				t.Errorf("ENI %d by address is %d, %v", i, got, ok)
			}
		}
	}
	if _, ok := s.ENIByMAC(0, [6]byte{2, 7, 7, 7}); ok {
		t.Error("nobody has this MAC")
	}
	if _, ok := s.ENIByAddress(999, ip("10.0.1.10")); ok {
		t.Error("there is no such VPC")
	}
}

func TestReservedAddresses(t *testing.T) {
	s := compiled(t, fixture(), nil)
	got := s.Reserved(s.ENIs[eniOf(t, s, "web")].Subnet)
	for _, a := range []string{
		"10.0.1.0", "10.0.1.1", "10.0.1.2", "10.0.1.3", "10.0.1.255",
		"2001:db8:0:1::", "2001:db8:0:1::1", "2001:db8:0:1::2", "2001:db8:0:1::3", "2001:db8:0:1:ffff:ffff:ffff:ffff",
	} {
		if !slices.Contains(got, ip(a)) {
			t.Errorf("%s must be reserved", a)
		}
	}
	if len(got) != 10 {
		t.Errorf("%d addresses reserved, want 10", len(got))
	}
}

// A verdict about another subnet's reserved address is not kept: the subnet may
// be cut anew, and no ENI's generation tells.
func TestReservedAddressElsewhereIsNotCacheable(t *testing.T) {
	s := compiled(t, fixture(), nil)
	for dst, want := range map[string]bool{"10.0.1.1": true, "10.0.2.1": false, "10.0.2.99": false, "192.0.2.1": true, "10.0.2.10": true} {
		if d := s.Decide(query(t, s, "web", "10.0.1.10", dst, 6, 80), nil); d.Cacheable != want {
			t.Errorf("%s: cacheable %v (%v), want %v", dst, d.Cacheable, d.Reason, want)
		}
	}
}

func TestImpliedMainTable(t *testing.T) {
	o := fixture()
	s := compiled(t, o, nil)
	far := eniOf(t, s, "far")
	if name := s.Subnet(s.ENIs[far].Subnet).RouteTable; name != "(main of vpc-2)" {
		t.Errorf("route table %q", name)
	}
	if d := s.Decide(query(t, s, "far", "10.0.1.10", "10.1.0.1", 6, 80), nil); d.Reason != drop.NoRoute {
		t.Errorf("reason %v, want %v", d.Reason, drop.NoRoute)
	}
}
