package hash

import (
	"errors"
	"slices"
	"syscall"
	"testing"

	"pgregory.net/rapid"
)

// slowMatch compares one rule field by field.
func slowMatch(r *SteerRule, k *FlowKey, tos uint8) bool {
	v6 := r.Type == FlowIPv6 || r.Type == FlowIPv6TCP || r.Type == FlowIPv6UDP
	if v6 != k.IsIPv6() {
		return false
	}
	switch r.Type {
	case FlowIPv4TCP, FlowIPv6TCP:
		if k.Proto() != 6 {
			return false
		}
	case FlowIPv4UDP, FlowIPv6UDP:
		if k.Proto() != 17 {
			return false
		}
	}
	same := func(a, b Addr, m Addr) bool { return a.Hi&m.Hi == b.Hi&m.Hi && a.Lo&m.Lo == b.Lo&m.Lo }
	return same(r.Src, k.Src, r.SrcMask) && same(r.Dst, k.Dst, r.DstMask) &&
		r.SrcPort&r.SrcPortMask == k.SrcPort()&r.SrcPortMask &&
		r.DstPort&r.DstPortMask == k.DstPort()&r.DstPortMask &&
		r.TrafficClass&r.TrafficMask == tos&r.TrafficMask
}

// genRule draws rules that Add takes but for their location. Values come from
// genKey, so they often match its keys.
func genRule() *rapid.Generator[SteerRule] {
	return rapid.Custom(func(t *rapid.T) SteerRule {
		k := genKey().Draw(t, "values")
		mask := rapid.SampledFrom([]uint64{0, 0, 1, 1<<64 - 1, 0xff00})
		r := SteerRule{
			ENI:      rapid.Uint16Range(0, 2).Draw(t, "eni"),
			Location: rapid.Uint32Range(0, 17).Draw(t, "location"),
			Queue:    rapid.Uint16().Draw(t, "queue"),
			Type:     FlowType(rapid.Uint8Range(1, 6).Draw(t, "type")),
			Src:      k.Src, Dst: k.Dst, SrcPort: k.SrcPort(), DstPort: k.DstPort(),
			SrcMask: Addr{Lo: mask.Draw(t, "srcLo")}, DstMask: Addr{Lo: mask.Draw(t, "dstLo")},
		}
		if r.Type == FlowIPv6 || r.Type == FlowIPv6TCP || r.Type == FlowIPv6UDP {
			r.SrcMask.Hi, r.DstMask.Hi = mask.Draw(t, "srcHi"), mask.Draw(t, "dstHi")
		} else {
			r.SrcMask.Lo &= 0xffffffff
			r.DstMask.Lo &= 0xffffffff
			r.TrafficClass = rapid.Byte().Draw(t, "tos")
			r.TrafficMask = rapid.SampledFrom([]byte{0, 0, 0xff, 0xfc, 1}).Draw(t, "tosMask")
		}
		if r.Type > FlowIPv6 {
			r.SrcPortMask = uint16(mask.Draw(t, "sportMask"))
			r.DstPortMask = uint16(mask.Draw(t, "dportMask"))
		}
		return r
	})
}

func slowest(rules map[uint32]SteerRule, match func(*SteerRule) bool) (q uint16, loc uint32, ok bool) {
	for l, r := range rules {
		if match(&r) && (!ok || l < loc) {
			q, loc, ok = r.Queue, l, true
		}
	}
	return q, loc, ok
}

// Random edits against a map; every table on the way still answers as when it
// was made.
func TestSteeringTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const size = 16
		table := NewSteeringTable(size)
		rules := map[uint32]SteerRule{}
		for range rapid.IntRange(0, 30).Draw(t, "edits") {
			before := table
			var err, want error
			r := genRule().Draw(t, "rule")
			switch rapid.IntRange(0, 9).Draw(t, "edit") {
			case 0:
				table = table.RemoveAll(r.ENI)
				for l, old := range rules {
					if old.ENI == r.ENI {
						delete(rules, l)
					}
				}
			case 1, 2:
				old, used := rules[r.Location]
				if r.Location >= size {
					want = ErrSteerIndex
				} else if !used || old.ENI != r.ENI {
					want = ErrSteerUnused
				} else {
					delete(rules, r.Location)
				}
				table, err = table.Remove(r.ENI, r.Location)
			default:
				if _, used := rules[r.Location]; used {
					want = ErrSteerTaken
				} else if r.Location >= size {
					want = ErrSteerIndex
				} else {
					rules[r.Location] = r
				}
				table, err = table.Add(r)
			}
			if err != want {
				t.Fatalf("got %v, want %v", err, want)
			}
			gen := before.Generation()
			if want == nil {
				gen++
			}
			if table.Generation() != gen || table.Len() != len(rules) {
				t.Fatalf("generation %d, %d rules; want %d, %d", table.Generation(), table.Len(), gen, len(rules))
			}
		}
		for range 10 {
			k := genKey().Draw(t, "flow")
			tos := rapid.Byte().Draw(t, "tos")
			eni := rapid.Uint16Range(0, 2).Draw(t, "eni")
			q, loc, ok := table.Match(eni, &k, tos)
			wq, wloc, wok := slowest(rules, func(r *SteerRule) bool { return r.ENI == eni && slowMatch(r, &k, tos) })
			if q != wq || loc != wloc || ok != wok {
				t.Fatalf("got %d %d %v, want %d %d %v", q, loc, ok, wq, wloc, wok)
			}
		}
	})
}

// Both directions of a flow match one rule of the host, the first that matches
// either.
func TestMatchEitherTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table := NewHostSteeringTable(18)
		rules := map[uint32]SteerRule{}
		for _, r := range rapid.SliceOfN(genRule(), 0, 12).Draw(t, "rules") {
			r.ENI, r.TrafficMask = 0, 0
			next, err := table.Add(r)
			if err == nil {
				rules[r.Location] = r
			} else if _, used := rules[r.Location]; !used || err != ErrSteerTaken {
				t.Fatal(err)
			}
			table = next
		}
		for range 10 {
			k := genKey().Draw(t, "flow")
			back := reversed(k)
			wq, wloc, wok := slowest(rules, func(r *SteerRule) bool {
				return slowMatch(r, &k, 0) || slowMatch(r, &back, 0)
			})
			for _, dir := range []FlowKey{k, back} {
				if q, loc, ok := table.MatchEither(&dir); q != wq || loc != wloc || ok != wok {
					t.Fatalf("got %d %d %v, want %d %d %v", q, loc, ok, wq, wloc, wok)
				}
			}
		}
	})
}

func TestSteeringRefuses(t *testing.T) {
	full := Addr{Lo: 0xffffffff}
	for name, c := range map[string]struct {
		rule  SteerRule
		want  error
		errno syscall.Errno
		host  bool
	}{
		"any location":      {SteerRule{Type: FlowIPv4, Location: 0xffffffff}, ErrSteerLocation, syscall.EOPNOTSUPP, false},
		"first location":    {SteerRule{Type: FlowIPv4, Location: 0xfffffffe}, ErrSteerLocation, syscall.EOPNOTSUPP, false},
		"last location":     {SteerRule{Type: FlowIPv4, Location: 0xfffffffd}, ErrSteerLocation, syscall.EOPNOTSUPP, false},
		"beyond the table":  {SteerRule{Type: FlowIPv4, Location: 4}, ErrSteerIndex, syscall.EINVAL, false},
		"taken":             {SteerRule{Type: FlowIPv4, Location: 1}, ErrSteerTaken, syscall.EINVAL, false},
		"taken by another":  {SteerRule{Type: FlowIPv4, Location: 1, ENI: 9}, ErrSteerTaken, syscall.EINVAL, false},
		"no type":           {SteerRule{}, ErrSteerUnsupported, syscall.EOPNOTSUPP, false},
		"unknown type":      {SteerRule{Type: 7}, ErrSteerUnsupported, syscall.EOPNOTSUPP, false},
		"port without L4":   {SteerRule{Type: FlowIPv4, DstPortMask: 1}, ErrSteerUnsupported, syscall.EOPNOTSUPP, false},
		"port without L4 6": {SteerRule{Type: FlowIPv6, SrcPortMask: 1}, ErrSteerUnsupported, syscall.EOPNOTSUPP, false},
		"class of IPv6":     {SteerRule{Type: FlowIPv6TCP, TrafficMask: 1}, ErrSteerUnsupported, syscall.EOPNOTSUPP, false},
		"long IPv4 source":  {SteerRule{Type: FlowIPv4TCP, SrcMask: Addr{Hi: 1}}, ErrSteerUnsupported, syscall.EOPNOTSUPP, false},
		"long IPv4 dest":    {SteerRule{Type: FlowIPv4UDP, DstMask: Addr{Lo: 1 << 32}}, ErrSteerUnsupported, syscall.EOPNOTSUPP, false},
		"host with class":   {SteerRule{Type: FlowIPv4, TrafficMask: 1}, ErrSteerUnsupported, syscall.EOPNOTSUPP, true},
		"host with ENI":     {SteerRule{Type: FlowIPv4, ENI: 1}, ErrSteerUnsupported, syscall.EOPNOTSUPP, true},
	} {
		t.Run(name, func(t *testing.T) {
			table := NewSteeringTable(4)
			if c.host {
				table = NewHostSteeringTable(4)
			}
			table, err := table.Add(SteerRule{Type: FlowIPv4TCP, Location: 1, Src: full, SrcMask: full})
			if err != nil {
				t.Fatal(err)
			}
			after, err := table.Add(c.rule)
			if err != c.want || !errors.Is(err, c.errno) {
				t.Errorf("got %v, want %v (%v)", err, c.want, c.errno)
			}
			if after.Generation() != table.Generation() || !slices.Equal(after.Rules(), table.Rules()) {
				t.Error("a refused rule changed the table")
			}
		})
	}
}

func TestSteeringValueSemantics(t *testing.T) {
	first, err := NewSteeringTable(8).Add(SteerRule{Type: FlowIPv4, Location: 3, Queue: 3})
	if err != nil {
		t.Fatal(err)
	}
	k := keyOf(t, "10.0.0.1:1", "10.0.0.2:2", 47)
	for l := range uint32(3) {
		if _, err := first.Add(SteerRule{Type: FlowIPv4, Location: l, Queue: 9}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := first.Remove(0, 3); err != nil {
		t.Fatal(err)
	}
	first.RemoveAll(0)
	first.Rules()[0].Queue = 8
	if q, loc, ok := first.Match(0, &k, 0); q != 3 || loc != 3 || !ok || first.Len() != 1 {
		t.Errorf("a copy changed its origin: %d %d %v", q, loc, ok)
	}
	if _, err := (SteeringTable{}).Add(SteerRule{Type: FlowIPv4}); err != ErrSteerIndex {
		t.Errorf("the zero value took a rule: %v", err)
	}
	if n := NewSteeringTable(1 << 20).Size(); n != MaxSteering {
		t.Errorf("size %d", n)
	}
	if n := NewSteeringTable(-1).Size(); n != 0 {
		t.Errorf("size %d", n)
	}
}

// fullTable has rules none of which matches but the last.
func fullTable(tb testing.TB, table SteeringTable) SteeringTable {
	for i := range uint32(table.Size()) {
		r := SteerRule{Type: FlowIPv4UDP, Location: i, Queue: uint16(i), DstPort: uint16(i) + 1, DstPortMask: 0xffff}
		if int(i) == table.Size()-1 {
			r.DstPortMask = 0
		}
		var err error
		if table, err = table.Add(r); err != nil {
			tb.Fatal(err)
		}
	}
	return table
}

func TestSteeringNoAllocation(t *testing.T) {
	table, host := fullTable(t, NewSteeringTable(8)), fullTable(t, NewHostSteeringTable(8))
	k := keyOf(t, "10.0.0.1:60000", "10.0.0.2:60000", 17)
	if n := testing.AllocsPerRun(100, func() {
		if _, loc, ok := table.Match(0, &k, 0); !ok || loc != 7 {
			t.Fatal("no match")
		}
		if _, loc, ok := host.MatchEither(&k); !ok || loc != 7 {
			t.Fatal("no match")
		}
	}); n != 0 {
		t.Errorf("a match allocates %v times", n)
	}
}

func BenchmarkSteering(b *testing.B) {
	for _, size := range []int{8, 128} {
		name := map[int]string{8: "8 rules", 128: "128 rules"}[size]
		table, host := fullTable(b, NewSteeringTable(size)), fullTable(b, NewHostSteeringTable(size))
		k := keyOf(b, "10.0.0.1:60000", "10.0.0.2:60000", 17)
		b.Run("Match/"+name, func(b *testing.B) {
			for b.Loop() {
				table.Match(0, &k, 0)
			}
		})
		b.Run("MatchEither/"+name, func(b *testing.B) {
			for b.Loop() {
				host.MatchEither(&k)
			}
		})
	}
	b.Run("MatchEither/empty", func(b *testing.B) {
		k := keyOf(b, "10.0.0.1:60000", "10.0.0.2:60000", 17)
		t := NewHostSteeringTable(8)
		for b.Loop() {
			t.MatchEither(&k)
		}
	})
}
