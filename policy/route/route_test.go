package route

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// scan is the dumb twin of Lookup.
func scan(entries []Entry, dst netip.Addr) int {
	best := -1
	for i := range entries {
		if entries[i].Destination.Contains(dst) && (best < 0 || entries[i].Destination.Bits() > entries[best].Destination.Bits()) {
			best = i
		}
	}
	return best
}

var genPrefix = rapid.Custom(func(t *rapid.T) netip.Prefix {
	if rapid.Bool().Draw(t, "v6") {
		p, _ := netip.AddrFrom16([16]byte{0xfd, 0, rapid.ByteRange(0, 2).Draw(t, "b"), 7: rapid.Byte().Draw(t, "c")}).
			Prefix(rapid.SampledFrom([]int{0, 16, 24, 32, 56, 64, 128}).Draw(t, "bits"))
		return p
	}
	p, _ := netip.AddrFrom4([4]byte{10, rapid.ByteRange(0, 2).Draw(t, "b"), rapid.Byte().Draw(t, "c"), 0}).
		Prefix(rapid.SampledFrom([]int{0, 8, 16, 20, 24, 32}).Draw(t, "bits"))
	return p
})

func TestLookupEqualsScan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var entries []Entry
		for i, p := range rapid.SliceOfNDistinct(genPrefix, 0, 30, rapid.ID).Draw(t, "prefixes") {
			entries = append(entries, Entry{Destination: p, Target: TargetENI, ENI: uint16(i)})
		}
		table := Compile(entries)
		for range 20 {
			dst := genPrefix.Draw(t, "dst").Addr()
			want := scan(entries, dst)
			got, ok := table.Lookup(dst)
			if ok != (want >= 0) {
				t.Fatalf("Lookup(%v) = %v, scan = %d", dst, ok, want)
			}
			if ok && table.Entry(got).Destination != entries[want].Destination {
				t.Fatalf("Lookup(%v) = %v, scan = %v", dst, table.Entry(got).Destination, entries[want].Destination)
			}
		}
	})
}

func TestCompileIsCanonical(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		prefixes := rapid.SliceOfNDistinct(genPrefix, 0, 10, rapid.ID).Draw(t, "prefixes")
		shuffled := rapid.Permutation(prefixes).Draw(t, "order")
		build := func(ps []netip.Prefix) []Entry {
			var es []Entry
			for _, p := range ps {
				es = append(es, Entry{Destination: p, Target: TargetBlackhole})
			}
			return Compile(es).Entries()
		}
		if d := cmp.Diff(build(prefixes), build(shuffled), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); d != "" {
			t.Fatal(d)
		}
	})
}

func TestClassify(t *testing.T) {
	for addr, want := range map[string]Class{
		"10.0.0.1": Routable, "8.8.8.8": Routable, "239.255.255.255": Multicast, "224.0.0.1": Multicast,
		"255.255.255.255": Broadcast, "255.255.255.254": Unusable, "240.0.0.1": Unusable, "127.0.0.1": Unusable, "0.0.0.0": Unusable, "0.1.2.3": Unusable,
		"169.254.169.254": Service, "169.254.168.0": Service, "169.254.171.255": Service, "169.254.172.0": LinkLocal, "169.254.167.255": LinkLocal,
		"fd00:ec2::254": Service, "fd00:ec2:1::": Service, "fd00:ec3::1": Routable, "2001:db8::1": Routable,
		"fe80::1": LinkLocal, "febf::1": LinkLocal, "fec0::1": Routable, "ff02::1": Multicast, "::": Unusable, "::1": Unusable, "::ffff:10.0.0.1": Unusable,
	} {
		if got := Classify(netip.MustParseAddr(addr)); got != want {
			t.Errorf("Classify(%s) = %d, want %d", addr, got, want)
		}
	}
}

// Every address of a block that a VPC may have is routable, so that no local
// route can be shadowed by a class.
func TestUsableBlocksAreRoutable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var a netip.Addr
		if rapid.Bool().Draw(t, "v6") {
			b := rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "addr")
			a = netip.AddrFrom16([16]byte(b))
		} else {
			b := rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "addr")
			a = netip.AddrFrom4([4]byte(b))
		}
		p := netip.PrefixFrom(a, a.BitLen())
		if usable, routable := UnusableBlock(p) == "", Classify(a) == Routable; usable && !routable {
			t.Fatalf("%v may lie in a VPC but is of class %d", a, Classify(a))
		}
	})
}

func TestDiverts(t *testing.T) {
	for prefix, want := range map[string]bool{
		"169.254.168.0/22": true, "169.254.169.254/32": true, "169.254.0.0/16": false, "0.0.0.0/0": false,
		"169.254.172.0/24": false, "fd00:ec2::/32": true, "fd00:ec2::254/128": true, "fd00::/8": false, "::/0": false,
	} {
		if got := Diverts(netip.MustParsePrefix(prefix)); got != want {
			t.Errorf("Diverts(%s) = %v, want %v", prefix, got, want)
		}
	}
}

func TestLookupDoesNotAllocate(t *testing.T) {
	table := Compile([]Entry{
		{Destination: netip.MustParsePrefix("10.0.0.0/16"), Target: TargetLocal},
		{Destination: netip.MustParsePrefix("::/0"), Target: TargetBlackhole},
	})
	a4, a6 := netip.MustParseAddr("10.0.1.2"), netip.MustParseAddr("2001:db8::1")
	if n := testing.AllocsPerRun(100, func() {
		table.Lookup(a4)
		table.Lookup(a6)
		Classify(a4)
		Classify(a6)
	}); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func BenchmarkLookup(b *testing.B) {
	var entries []Entry
	for i := range 500 {
		p, _ := netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}).Prefix(24)
		entries = append(entries, Entry{Destination: p, Target: TargetBlackhole})
	}
	table := Compile(entries)
	dst := netip.MustParseAddr("10.1.20.9")
	for b.Loop() {
		table.Lookup(dst)
	}
}
