package hash

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

// keyOf makes a key from "address:port" texts.
func keyOf(t testing.TB, src, dst string, proto uint8) FlowKey {
	t.Helper()
	s, err := netip.ParseAddrPort(src)
	if err != nil {
		t.Fatal(err)
	}
	d, err := netip.ParseAddrPort(dst)
	if err != nil {
		t.Fatal(err)
	}
	var flags uint8
	if s.Addr().Is6() {
		flags = KeyIPv6
	}
	return FlowKey{Src: addrOf(s.Addr()), Dst: addrOf(d.Addr()), Tail: Tail(s.Port(), d.Port(), 0, proto, flags)}
}

func addrOf(a netip.Addr) Addr {
	if a.Is4() {
		b := a.As4()
		return Addr{Lo: uint64(binary.BigEndian.Uint32(b[:]))}
	}
	b := a.As16()
	return Addr{Hi: binary.BigEndian.Uint64(b[:8]), Lo: binary.BigEndian.Uint64(b[8:])}
}

// reversed is the key of the opposite direction, from another ENI that sends
// to its router if the first did not.
func reversed(k FlowKey) FlowKey {
	return FlowKey{Src: k.Dst, Dst: k.Src,
		Tail: Tail(k.DstPort(), k.SrcPort(), k.ENI()+1, k.Proto(), k.Flags()^KeyRouted)}
}

// input is the tuple as bytes in network order.
func input(k *FlowKey, ports bool) []byte {
	b := make([]byte, 0, 36)
	for _, a := range []Addr{k.Src, k.Dst} {
		if k.IsIPv6() {
			b = binary.BigEndian.AppendUint64(b, a.Hi)
			b = binary.BigEndian.AppendUint64(b, a.Lo)
		} else {
			b = binary.BigEndian.AppendUint32(b, uint32(a.Lo))
		}
	}
	if ports {
		b = binary.BigEndian.AppendUint16(b, k.SrcPort())
		b = binary.BigEndian.AppendUint16(b, k.DstPort())
	}
	return b
}

func hasPorts(k *FlowKey) bool { return k.Proto() == 6 || k.Proto() == 17 }

// genKey draws keys of both families; half of the time from so few addresses
// and ports that ties in sorting are common.
func genKey() *rapid.Generator[FlowKey] {
	return rapid.Custom(func(t *rapid.T) FlowKey {
		word := rapid.Uint64()
		port := rapid.Uint16()
		if rapid.Bool().Draw(t, "few") {
			word = rapid.SampledFrom([]uint64{0, 1, 1 << 31, 1 << 63, 0xffffffff, 1<<64 - 1})
			port = rapid.SampledFrom([]uint16{0, 1, 0x8000, 0xffff})
		}
		k := FlowKey{
			Src: Addr{word.Draw(t, "srcHi"), word.Draw(t, "srcLo")},
			Dst: Addr{word.Draw(t, "dstHi"), word.Draw(t, "dstLo")},
			Tail: Tail(port.Draw(t, "sport"), port.Draw(t, "dport"), rapid.Uint16().Draw(t, "eni"),
				rapid.SampledFrom([]uint8{6, 17, 1, 58, 47, 0, 255}).Draw(t, "proto"),
				rapid.Uint8Range(0, 3).Draw(t, "flags")),
		}
		if !k.IsIPv6() {
			k.Src = Addr{Lo: k.Src.Lo & 0xffffffff}
			k.Dst = Addr{Lo: k.Dst.Lo & 0xffffffff}
		}
		return k
	})
}

func genRSSKey() *rapid.Generator[Key] {
	return rapid.Custom(func(t *rapid.T) Key {
		return Key(rapid.SliceOfN(rapid.Byte(), KeySize, KeySize).Draw(t, "key"))
	})
}

// randomKeys are keys for benchmarks: every share-th is IPv6 (none if 0).
func randomKeys(n, share int) []FlowKey {
	r := rand.New(rand.NewPCG(1, 2))
	keys := make([]FlowKey, n)
	for i := range keys {
		k := &keys[i]
		if share != 0 && i%share == 0 {
			k.Src, k.Dst = Addr{r.Uint64(), r.Uint64()}, Addr{r.Uint64(), r.Uint64()}
			k.Tail = Tail(uint16(r.Uint32()), uint16(r.Uint32()), 1, 6, KeyIPv6)
			continue
		}
		k.Src.Lo, k.Dst.Lo = uint64(r.Uint32()), uint64(r.Uint32())
		k.Tail = Tail(uint16(r.Uint32()), uint16(r.Uint32()), 1, 17, 0)
	}
	return keys
}

// perKey reports a benchmark of bursts in ns per key.
func perKey(b *testing.B, burst int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(burst), "ns/key")
}

const benchBurst = 32

// families are the mixes of IPv4 and IPv6 that benchmarks run on.
var families = []struct {
	name  string
	share int
}{{"v4", 0}, {"v6", 1}, {"mixed", 4}}
