package pipeline

import (
	"runtime"
	"testing"

	"github.com/nitrod/nitrod/hash"
	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/internal/pktio"
	"github.com/nitrod/nitrod/policy"
	"pgregory.net/rapid"
)

// parseCommon against parseFrame, on frames that are nearly right.
func TestParseCommonTwin(t *testing.T) {
	eni := &policy.ENIRecord{MAC: [6]byte{2, 1, 2, 3, 4, 5}, RouterMAC: [6]byte{2, 9, 8, 7, 6, 5}, VPC: 3}
	taken := 0
	rapid.Check(t, func(t *rapid.T) {
		mac := rapid.SampledFrom([]packet.MAC{eni.RouterMAC, {2, 7, 7, 7, 7, 7}, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}})
		layers := []packet.Layer{packet.Ether{Dst: mac.Draw(t, "dst"), Src: eni.MAC}}
		if rapid.Bool().Draw(t, "v6") {
			layers = append(layers, packet.IPv6{Src: packet.MustIP("2001:db8::1"), Dst: packet.MustIP("2001:db8::2"), TrafficClass: rapid.Byte().Draw(t, "class")})
		} else {
			layers = append(layers, packet.IPv4{Src: packet.MustIP("10.0.0.1"), Dst: packet.MustIP("10.0.0.2"), TOS: rapid.Byte().Draw(t, "tos"),
				DF: rapid.Bool().Draw(t, "df"), MF: rapid.IntRange(0, 9).Draw(t, "mf") == 0})
		}
		sp, dp := rapid.Uint16().Draw(t, "sport"), rapid.Uint16().Draw(t, "dport")
		if rapid.Bool().Draw(t, "tcp") {
			layers = append(layers, packet.TCP{SrcPort: sp, DstPort: dp, Flags: rapid.Byte().Draw(t, "flags"),
				Seq: rapid.Uint32().Draw(t, "seq"), Ack: rapid.Uint32().Draw(t, "ack"), Window: rapid.Uint16().Draw(t, "window"), Options: make([]byte, 4*rapid.IntRange(0, 10).Draw(t, "options"))})
		} else {
			layers = append(layers, packet.UDP{SrcPort: sp, DstPort: dp})
		}
		frame := packet.Build(append(layers, packet.Fill(rapid.IntRange(0, 40).Draw(t, "payload")))...)
		frame = packet.Pad(frame, rapid.SampledFrom([]int{0, 60, 90}).Draw(t, "pad"))
		total := uint32(len(frame))
		switch rapid.IntRange(0, 3).Draw(t, "damage") {
		case 1:
			frame[rapid.IntRange(0, len(frame)-1).Draw(t, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		case 2:
			frame = frame[:rapid.IntRange(0, len(frame)).Draw(t, "cut")]
			if rapid.Bool().Draw(t, "for good") {
				total = uint32(len(frame))
			}
		}
		var k, k2 hash.FlowKey
		var m, m2 Meta
		if !oneCommon(frame, total, eni, &k, &m) {
			return
		}
		taken++
		if m.headers(frame) > commonHeaders {
			t.Fatalf("parseCommon took headers of %d bytes", m.headers(frame))
		}
		if r := parseFrame(frame, total, eni, 7, &k2, &m2); r != drop.Unset || k != k2 || m != m2 {
			t.Fatalf("parseFrame says %v\n%+v\n%+v\nparseCommon\n%+v\n%+v", r, k2, m2, k, m)
		}
	})
	if taken == 0 {
		t.Fatal("parseCommon took no frame at all")
	}
}

// oneCommon is parseCommon for one frame that ENI 7 sends.
func oneCommon(frame []byte, total uint32, eni *policy.ENIRecord, k *hash.FlowKey, m *Meta) bool {
	d := []pktio.Desc{{Data: startOf(frame), Len: uint32(len(frame)), PktLen: total, Segs: 1}}
	keys, metas := make([]hash.FlowKey, 1), make([]Meta, 1)
	n := parseCommon(d, wordsOf(eni), eni.VPC, 7, keys, metas)
	*k, *m = keys[0], metas[0]
	runtime.KeepAlive(frame)
	return n == 1
}
