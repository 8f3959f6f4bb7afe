package control

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/nitrod/nitrod/internal/packet"
)

func TestExplainErrors(t *testing.T) {
	b := newBed(t)
	b.carry("web")
	ok := ExplainRequest{ENI: "web", Src: "10.0.1.10", Dst: "10.0.2.20"}
	with := func(change func(*ExplainRequest)) ExplainRequest {
		r := ok
		change(&r)
		return r
	}
	frame := b.tcp("web", 1000, 80, packet.TCPSyn)
	stranger := slices.Clone(frame)
	stranger[11] = 99
	for _, c := range []struct {
		request ExplainRequest
		want    string
	}{
		{ExplainRequest{Frame: "02zz"}, "the frame is not hexadecimal: encoding/hex: invalid byte: U+007A 'z'"},
		{ExplainRequest{Frame: "020"}, "the frame is not hexadecimal: encoding/hex: odd length hex string"},
		{ExplainRequest{Frame: hex.EncodeToString(frame), ENI: "db"}, `there is no ENI "db"`},
		{ExplainRequest{Frame: hex.EncodeToString(stranger)}, "no ENI has the frame's source MAC; say which one sends it"},
		{ExplainRequest{Frame: "0200"}, "no ENI has the frame's source MAC; say which one sends it"},
		{ExplainRequest{Frame: hex.EncodeToString(frame)}, "several ENIs have the frame's source MAC; say which one sends it"},
		{ExplainRequest{}, `source "" is not an address`},
		{with(func(r *ExplainRequest) { r.Src = "web" }), `source "web" is not an address`},
		{with(func(r *ExplainRequest) { r.Dst = "10.0.2.0/24" }), `destination "10.0.2.0/24" is not an address`},
		{with(func(r *ExplainRequest) { r.Dst = "2001:db8:0:2::20" }), "source and destination are not of one family"},
		{with(func(r *ExplainRequest) { r.ENI = "db" }), `there is no ENI "db"`},
		{with(func(r *ExplainRequest) { r.ENI = "" }), "several VPCs have 10.0.1.10; name the VPC or the ENI"},
		{with(func(r *ExplainRequest) { r.ENI, r.VPC = "", "third" }), "no ENI has the address 10.0.1.10; name the ENI that sends"},
		{with(func(r *ExplainRequest) { r.ENI, r.Src = "", "10.0.1.99" }), "no ENI has the address 10.0.1.99; name the ENI that sends"},
		{with(func(r *ExplainRequest) { r.Protocol = "ipx" }), `protocol "ipx" is neither tcp, udp, icmp, icmpv6 nor a number up to 255`},
		{with(func(r *ExplainRequest) { r.Protocol = "256" }), `protocol "256" is neither tcp, udp, icmp, icmpv6 nor a number up to 255`},
		{with(func(r *ExplainRequest) { r.TCPFlags = "SX" }), `TCP flag 'X' is none of F, S, R, P, A, U`},
	} {
		body, err := json.Marshal(c.request)
		if err != nil {
			t.Fatal(err)
		}
		if got := b.refused(http.MethodPost, "/v1/explain", string(body)); got != c.want {
			t.Errorf("explain %s says\n%q, want\n%q", body, got, c.want)
		}
	}
}

func TestExplainTuples(t *testing.T) {
	b := newBed(t)
	type1 := uint8(1)
	for _, c := range []struct {
		name    string
		request ExplainRequest
		want    Explanation
	}{
		{"admitted", ExplainRequest{VPC: "main", Src: "10.0.1.10", SrcPort: 5, Dst: "10.0.2.20", DstPort: 80},
			Explanation{Verdict: "forward", ENI: "web", Class: "flow", Cache: "miss", Session: "new, syn_sent", Egress: "app"}},
		{"named sender", ExplainRequest{ENI: "web", Protocol: "TCP", Src: "10.0.1.10", Dst: "10.0.2.20", DstPort: 80, TCPFlags: "s"},
			Explanation{Verdict: "forward", ENI: "web", Class: "flow", Cache: "miss", Session: "new, syn_sent", Egress: "app"}},
		{"no rule", ExplainRequest{ENI: "web", Src: "10.0.1.10", Dst: "10.0.2.20", DstPort: 8080},
			Explanation{Verdict: "drop", Reason: "security_group_in", Code: "ENI_SG_RULES_MISMATCH", ENI: "web", Class: "flow", Cache: "miss", Egress: "app"}},
		{"echo", ExplainRequest{ENI: "web", Protocol: "icmp", Src: "10.0.1.10", Dst: "10.0.2.20"},
			Explanation{Verdict: "forward", ENI: "web", Class: "flow", Cache: "miss", Session: "new, icmp", Egress: "app"}},
		{"echo in IPv6", ExplainRequest{Protocol: "icmp", Src: "2001:db8:0:1::10", Dst: "2001:db8:0:2::20"},
			Explanation{Verdict: "forward", ENI: "web", Class: "flow", Cache: "miss", Session: "new, icmp", Egress: "app"}},
		{"spoofed", ExplainRequest{ENI: "web", Src: "10.0.1.11", Dst: "10.0.2.20", DstPort: 80},
			Explanation{Verdict: "drop", Reason: "source_ip_spoofed", Code: "ENI_SOURCE_DEST_CHECK_RESTRICTION", ENI: "web", Class: "flow", Cache: "miss"}},
		{"neighbour", ExplainRequest{ENI: "web", Protocol: "udp", Src: "10.0.1.10", Dst: "10.0.1.11", DstPort: 53},
			Explanation{Verdict: "drop", Reason: "security_group_in", Code: "ENI_SG_RULES_MISMATCH", ENI: "web", Class: "flow", Cache: "miss", Egress: "web2"}},
		{"nobody", ExplainRequest{ENI: "twin", Protocol: "47", Src: "10.0.1.10", Dst: "10.0.2.20"},
			Explanation{Verdict: "drop", Reason: "unknown_destination", Code: "UNKNOWN_DESTINATION", ENI: "twin", Class: "flow", Cache: "miss"}},
		{"ICMP error", ExplainRequest{ENI: "web", Protocol: "icmpv6", ICMPType: &type1, Src: "2001:db8:0:1::10", Dst: "2001:db8:0:2::20"},
			Explanation{Verdict: "drop", Reason: "icmp_error_unmatched", ENI: "web", Class: "icmp_error"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			x, err := Explain(b.engine, &c.request)
			if err != nil {
				t.Fatal(err)
			}
			got := Explanation{
				Verdict: x.Verdict, Reason: x.Reason, Code: x.Code, ENI: x.ENI, Class: x.Class, Cache: x.Cache,
				Session: x.Session, Egress: x.Egress,
			}
			if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", c.want) {
				t.Errorf("explain says\n%+v, want\n%+v", got, c.want)
			}
			if (x.Help != "") != (x.Verdict == "drop") || x.Packet == "" {
				t.Errorf("help %q, packet %q", x.Help, x.Packet)
			}
			if x.Class == "flow" && len(x.Steps) == 0 {
				t.Error("there are no steps")
			}
		})
	}
}

// TestExplainFollowsTheDatapath asks about a flow before, while and after it is
// carried.
func TestExplainFollowsTheDatapath(t *testing.T) {
	b := newBed(t)
	req := ExplainRequest{ENI: "web", Src: "10.0.1.10", SrcPort: 1000, Dst: "10.0.2.20", DstPort: 80, TCPFlags: "A"}
	ask := func(cache, session string) {
		t.Helper()
		x, err := Explain(b.engine, &req)
		if err != nil {
			t.Fatal(err)
		}
		if x.Verdict != "forward" || x.Cache != cache || x.Session != session || (x.LeftNS > 0) != (cache == "hit") {
			t.Errorf("explain says %s, cache %s, session %q, %d ns left; want forward, %s, %q", x.Verdict, x.Cache, x.Session, x.LeftNS, cache, session)
		}
	}
	ask("miss", "new, established") // picked up in its middle
	b.carry("web", b.tcp("web", 1000, 80, packet.TCPSyn))
	req.TCPFlags = "S"
	ask("hit", "syn_sent, original direction")
	b.carry("app", b.answer("web", 1000))
	req.TCPFlags = "A"
	ask("hit", "syn_received to established, original direction")
	req.Frame = hex.EncodeToString(b.tcp("web", 1000, 80, packet.TCPSyn))
	req.Frame = strings.ToUpper(req.Frame[:12]) + ": \n\t" + req.Frame[12:] // as people paste it
	ask("hit", "syn_received, original direction")
}

// TestExplainNeverFails asks about tuples of all kinds.
func TestExplainNeverFails(t *testing.T) {
	b := newBed(t)
	addresses := []string{
		"10.0.1.10", "10.0.1.11", "10.0.2.20", "10.0.1.1", "0.0.0.0", "255.255.255.255", "224.0.0.1", "127.0.0.1", "169.254.169.254",
		"2001:db8:0:1::10", "2001:db8:0:2::20", "::", "ff02::1", "fe80::1", "fe80::1%eth0", "::ffff:10.0.1.10", "::1",
	}
	rapid.Check(t, func(t *rapid.T) {
		req := ExplainRequest{
			ENI:      rapid.SampledFrom([]string{"web", "app", "twin", ""}).Draw(t, "eni"),
			Src:      rapid.SampledFrom(addresses).Draw(t, "src"),
			Dst:      rapid.SampledFrom(addresses).Draw(t, "dst"),
			Protocol: rapid.OneOf(rapid.SampledFrom([]string{"", "tcp", "udp", "icmp", "icmpv6"}), rapid.StringMatching(`[0-9]{1,3}`)).Draw(t, "protocol"),
			SrcPort:  rapid.Uint16().Draw(t, "sport"),
			DstPort:  rapid.SampledFrom([]uint16{0, 67, 68, 80, 547, 65535}).Draw(t, "dport"),
			TCPFlags: rapid.StringMatching(`[FSRPAU]{0,6}`).Draw(t, "flags"),
			ICMPType: rapid.Ptr(rapid.Uint8(), true).Draw(t, "type"),
			ICMPCode: rapid.Uint8().Draw(t, "code"),
		}
		x, err := Explain(b.engine, &req)
		if err == nil {
			wantSound(t, x)
		}
	})
}

// wantSound checks what holds of every explanation.
func wantSound(t interface{ Errorf(string, ...any) }, x *Explanation) {
	switch x.Verdict {
	case "drop":
		if x.Reason == "" || x.Reason == "unset" || x.Help == "" {
			t.Errorf("a drop without a reason: %+v", x)
		}
	case "forward":
		if x.Egress == "" || x.Reason != "" {
			t.Errorf("a packet goes nowhere, or for a reason: %+v", x)
		}
	case "answer", "consume":
		if x.Reason != "" {
			t.Errorf("a reason without a drop: %+v", x)
		}
	default:
		t.Errorf("verdict %q is not one of the list", x.Verdict)
	}
}

// FuzzExplainBody wants an explanation or a sentence for every body.
func FuzzExplainBody(f *testing.F) {
	b := newBed(f)
	frame := hex.EncodeToString(b.tcp("web", 1000, 80, packet.TCPSyn))
	f.Add([]byte(`{"eni":"web","frame":"` + frame + `"}`))
	f.Add([]byte(`{"eni":"web","src":"10.0.1.10","dst":"10.0.2.20","dst_port":80,"tcp_flags":"SA"}`))
	f.Add([]byte(`{"eni":"web","protocol":"icmp","src":"2001:db8:0:1::10","dst":"2001:db8:0:2::20","icmp_type":1}`))
	f.Add([]byte(`{"eni":"web","src":"fe80::1%x","dst":"::ffff:10.0.2.20"}`))
	f.Add([]byte(`{"eni":"web","frame":"` + strings.Repeat("00", 70_000) + `"}`))
	f.Add([]byte(`{"frame":[]}`))
	f.Add([]byte(`[`))
	f.Fuzz(func(t *testing.T, body []byte) {
		w := httptest.NewRecorder()
		b.server.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/v1/explain", strings.NewReader(string(body))))
		switch w.Code {
		case http.StatusOK:
			var x Explanation
			if err := json.Unmarshal(w.Body.Bytes(), &x); err != nil {
				t.Fatal(err)
			}
			wantSound(t, &x)
		case http.StatusBadRequest:
			var p Problem
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Error == "" {
				t.Fatalf("refused in no words: %v %s", err, w.Body)
			}
		default:
			t.Fatalf("status %d: %s", w.Code, w.Body)
		}
	})
}
