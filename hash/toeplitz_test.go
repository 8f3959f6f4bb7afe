package hash

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// slowToeplitz is Microsoft's definition, bit by bit: for every bit of input
// that is set, XOR the leftmost 32 bits of the key, then shift the key.
func slowToeplitz(key Key, init uint32, in []byte) uint32 {
	k := slices.Clone(key[:])
	h := init
	for _, b := range in {
		for bit := 7; bit >= 0; bit-- {
			if b>>bit&1 == 1 {
				h ^= uint32(k[0])<<24 | uint32(k[1])<<16 | uint32(k[2])<<8 | uint32(k[3])
			}
			for i := range k {
				k[i] <<= 1
				if i+1 < len(k) {
					k[i] |= k[i+1] >> 7
				}
			}
		}
	}
	return h
}

// slowMode is what a mode says, step by step.
func slowMode(key Key, mode Mode, k FlowKey, ports bool) uint32 {
	if !ports {
		k.Tail &= 0xffffffff
	}
	srcFirst := input(&k, false)
	half := len(srcFirst) / 2
	src, dst := srcFirst[:half], srcFirst[half:]
	sp, dp := k.SrcPort(), k.DstPort()
	switch mode {
	case ModeSymmetric:
		if c := slices.Compare(src, dst); c > 0 || c == 0 && sp > dp {
			src, dst, sp, dp = dst, src, dp, sp
		}
	case ModeENAFixed:
		if slices.Compare(src, dst) > 0 {
			src, dst = dst, src
		}
		if sp > dp {
			sp, dp = dp, sp
		}
	}
	in := append(slices.Clone(src), dst...)
	if ports {
		in = append(in, byte(sp>>8), byte(sp), byte(dp>>8), byte(dp))
	}
	switch mode {
	case ModeENAFixed:
		h := slowToeplitz(ENAFixedKey(), 0xffffffff, in)
		return h&0xffff | h<<16
	case ModeENALinux, ModeENALinuxUnset:
		slices.Reverse(key[:])
		init := uint32(0)
		if mode == ModeENALinux {
			init = 0xffffffff
		}
		return slowToeplitz(key, init, in)
	}
	return slowToeplitz(key, 0, in)
}

// Microsoft, "Verifying the RSS hash calculation".
func TestToeplitzMicrosoft(t *testing.T) {
	std := NewToeplitz(MicrosoftKey(), ModeStandard)
	for _, c := range []struct {
		src, dst     string
		addrs, ports uint32
	}{
		{"66.9.149.187:2794", "161.142.100.80:1766", 0x323e8fc2, 0x51ccc178},
		{"199.92.111.2:14230", "65.69.140.83:4739", 0xd718262a, 0xc626b0ea},
		{"24.19.198.95:12898", "12.22.207.184:38024", 0xd2d0a5de, 0x5c2b394a},
		{"38.27.205.30:48228", "209.142.163.6:2217", 0x82989176, 0xafc7327f},
		{"153.39.163.191:44251", "202.188.127.2:1303", 0x5d1809c5, 0x10e828a2},
		{"[3ffe:2501:200:1fff::7]:2794", "[3ffe:2501:200:3::1]:1766", 0x2cc18cd5, 0x40207d3d},
		{"[3ffe:501:8::260:97ff:fe40:efab]:14230", "[ff02::1]:4739", 0x0f0c461c, 0xdde51bbf},
		{"[3ffe:1900:4545:3:200:f8ff:fe21:67cf]:44251", "[fe80::200:f8ff:fe21:67cf]:38024", 0x4b61e985, 0x02d1feef},
	} {
		for _, proto := range []uint8{protoTCP, protoUDP} {
			k := keyOf(t, c.src, c.dst, proto)
			if got := std.Hash(&k); got != c.ports {
				t.Errorf("%s > %s: %#08x, want %#08x", c.src, c.dst, got, c.ports)
			}
			if got := std.HashAddrs(&k); got != c.addrs {
				t.Errorf("%s > %s addresses: %#08x, want %#08x", c.src, c.dst, got, c.addrs)
			}
		}
		k := keyOf(t, c.src, c.dst, 132)
		if got := std.Hash(&k); got != c.addrs {
			t.Errorf("%s > %s SCTP: %#08x, want %#08x", c.src, c.dst, got, c.addrs)
		}
	}
}

// Values computed with Amazon's tool, amzn-ec2-ena-utilities ena-toeplitz.
func TestToeplitzENA(t *testing.T) {
	k1, err := ParseKey("77:d1:c9:34:a4:c9:bd:87:6e:35:dd:17:b2:e3:23:9e:39:6d:8a:93:2a:95:b4:72:3a:b3:7f:56:8e:de:b6:01:97:af:3b:2f:3a:70:e7:04")
	if err != nil {
		t.Fatal(err)
	}
	ms := MicrosoftKey()
	table, err := NewIndirectionTable(DefaultIndirection, DefaultIndirection)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		key      Key
		mode     Mode
		src, dst string
		want     uint32
		entry    uint16
	}{
		{ms, ModeENAFixed, "1.2.3.4:7000", "1.2.3.5:7000", 0x50705070, 112},
		{ms, ModeENAFixed, "1.2.3.5:7000", "1.2.3.4:7000", 0x50705070, 112},
		{ms, ModeENAFixed, "10.0.0.1:1234", "10.0.0.2:80", 0x09c209c2, 66},
		{ms, ModeENAFixed, "10.0.0.2:80", "10.0.0.1:1234", 0x09c209c2, 66},
		{ms, ModeENAFixed, "66.9.149.187:2794", "161.142.100.80:1766", 0x373c373c, 60},
		{ms, ModeENAFixed, "161.142.100.80:1766", "66.9.149.187:2794", 0x373c373c, 60},
		{ms, ModeENAFixed, "10.0.0.5:40000", "10.0.1.9:443", 0x23e623e6, 102},
		{ms, ModeENAFixed, "10.0.1.9:443", "10.0.0.5:40000", 0x23e623e6, 102},
		{ms, ModeENADPDK, "66.9.149.187:2794", "161.142.100.80:1766", 0x51ccc178, 120},
		{ms, ModeENALinux, "66.9.149.187:2794", "161.142.100.80:1766", 0x3dc77368, 104},
		{ms, ModeENALinuxUnset, "66.9.149.187:2794", "161.142.100.80:1766", 0xc2388c97, 23},
		{k1, ModeENADPDK, "1.2.3.4:7000", "1.2.3.5:7000", 0xa9828bd4, 84},
		{k1, ModeENALinuxUnset, "1.2.3.4:7000", "1.2.3.5:7000", 0xa4a1471a, 26},
	} {
		k := keyOf(t, c.src, c.dst, protoTCP)
		got := NewToeplitz(c.key, c.mode).Hash(&k)
		if got != c.want {
			t.Errorf("mode %d, %s > %s: %#08x, want %#08x", c.mode, c.src, c.dst, got, c.want)
		}
		if e := table.Entry(got); e != c.entry {
			t.Errorf("mode %d, %s > %s: entry %d, want %d", c.mode, c.src, c.dst, e, c.entry)
		}
	}
}

var allModes = []Mode{ModeStandard, ModeSymmetric, ModeENAFixed, ModeENALinux, ModeENALinuxUnset}

func TestToeplitzTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := genRSSKey().Draw(t, "rss")
		mode := rapid.SampledFrom(allModes).Draw(t, "mode")
		k := genKey().Draw(t, "flow")
		h := NewToeplitz(key, mode)
		if got, want := h.Hash(&k), slowMode(key, mode, k, hasPorts(&k)); got != want {
			t.Fatalf("Hash %#08x, want %#08x", got, want)
		}
		if got, want := h.HashAddrs(&k), slowMode(key, mode, k, false); got != want {
			t.Fatalf("HashAddrs %#08x, want %#08x", got, want)
		}
	})
}

// The burst agrees with the twin at every length, with vectors and without.
func TestToeplitzBurstTwin(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			key := genRSSKey().Draw(t, "rss")
			mode := rapid.SampledFrom(allModes).Draw(t, "mode")
			keys := rapid.SliceOfN(genKey(), 0, 70).Draw(t, "flows")
			if rapid.Bool().Draw(t, "IPv4 only") {
				keys = slices.DeleteFunc(keys, func(k FlowKey) bool { return k.IsIPv6() })
			}
			out := make([]uint32, len(keys)+1)
			out[len(keys)] = 0xdeadbeef
			NewToeplitz(key, mode).HashBurst(keys, out)
			for i := range keys {
				if want := slowMode(key, mode, keys[i], hasPorts(&keys[i])); out[i] != want {
					t.Fatalf("flow %d of %d: %#08x, want %#08x", i, len(keys), out[i], want)
				}
			}
			if out[len(keys)] != 0xdeadbeef {
				t.Fatal("wrote behind the last key")
			}
		})
	})
}

func TestToeplitzFrameTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.Byte(), 12, 12).Draw(t, "addresses")
		key := genRSSKey().Draw(t, "rss")
		got := NewToeplitz(key, ModeStandard).HashFrame([6]byte(b[:6]), [6]byte(b[6:]))
		if want := slowToeplitz(key, 0, b); got != want {
			t.Fatalf("%#08x, want %#08x", got, want)
		}
	})
}

func TestToeplitzNoAllocation(t *testing.T) {
	h := NewToeplitz(RandomKey(), ModeSymmetric)
	eachPath(t, func(t *testing.T) {
		keys := randomKeys(benchBurst+3, 4)
		out := make([]uint32, len(keys))
		if n := testing.AllocsPerRun(100, func() { h.HashBurst(keys, out) }); n != 0 {
			t.Errorf("HashBurst allocates %v times", n)
		}
	})
}

func BenchmarkToeplitzBurst(b *testing.B) {
	for _, m := range []struct {
		name string
		mode Mode
	}{{"standard", ModeStandard}, {"symmetric", ModeSymmetric}, {"fixed", ModeENAFixed}} {
		b.Run(m.name, func(b *testing.B) {
			h := NewToeplitz(RandomKey(), m.mode)
			eachPath(b, func(b *testing.B) {
				for _, f := range families {
					b.Run(f.name, func(b *testing.B) {
						keys := randomKeys(64*benchBurst, f.share)
						var out [benchBurst]uint32
						i := 0
						for b.Loop() {
							h.HashBurst(keys[i:i+benchBurst], out[:])
							i = (i + benchBurst) % len(keys)
						}
						perKey(b, benchBurst)
					})
				}
			})
		})
	}
}
