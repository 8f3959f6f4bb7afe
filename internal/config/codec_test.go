package config

import (
	"fmt"
	"math/big"
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/nitrod/nitrod/policy"
)

func TestSize(t *testing.T) {
	tests := []struct {
		text string
		want Size
		ok   bool
	}{
		{"0B", 0, true}, {"1B", 1, true}, {"64KiB", 64 << 10, true}, {"9.5KiB", 9728, true}, {"256 MiB", 256 << 20, true},
		{"1.5GiB", 3 << 29, true}, {"2.000KiB", 2048, true},
		{"", 0, false}, {"64", 0, false}, {"B", 0, false}, {"KiB", 0, false}, {"64KB", 0, false}, {"64kib", 0, false},
		{"-1KiB", 0, false}, {"+1KiB", 0, false}, {"1.5B", 0, false}, {"0.3KiB", 0, false}, {".5KiB", 0, false}, {"1.KiB", 0, false},
		{"1e3B", 0, false}, {"99999999999GiB", 0, false}, {"9223372036854775808B", 0, false},
	}
	for _, tt := range tests {
		if got, ok := parseSize(tt.text); ok != tt.ok || ok && got != tt.want {
			t.Errorf("parseSize(%q) = %d, %v; want %d, %v", tt.text, got, ok, tt.want, tt.ok)
		}
	}
}

// The twin computes with fractions of any precision.
func TestSizeAgainstTwin(t *testing.T) {
	units := map[string]int64{"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.StringMatching(`[0-9]{1,6}(\.[0-9]{1,4}|\.(5|25|125|75))?`).Draw(t, "number")
		unit := rapid.SampledFrom([]string{"B", "KiB", "MiB", "GiB"}).Draw(t, "unit")
		exact, _ := new(big.Rat).SetString(number)
		exact.Mul(exact, new(big.Rat).SetInt64(units[unit]))
		got, ok := parseSize(number + unit)
		if ok != exact.IsInt() {
			t.Fatalf("parseSize(%s%s) is accepted: %v; exactly it is %v bytes", number, unit, ok, exact)
		}
		if ok && int64(got) != exact.Num().Int64() {
			t.Fatalf("parseSize(%s%s) = %d, want %v", number, unit, got, exact)
		}
	})
}

func TestSizeString(t *testing.T) {
	for want, s := range map[string]Size{"0B": 0, "9729B": 9729, "10KiB": 10240, "512MiB": 512 * MiB, "3GiB": 3 * GiB} {
		if got := s.String(); got != want {
			t.Errorf("Size(%d) is written %q, want %q", int64(s), got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		s := Size(rapid.Int64Range(0, 1<<50).Draw(t, "size"))
		if got, ok := parseSize(s.String()); !ok || got != s {
			t.Fatalf("%d is written %q, which reads as %d, %v", int64(s), s, got, ok)
		}
	})
}

func TestDuration(t *testing.T) {
	tests := []struct {
		text string
		want time.Duration
		ok   bool
	}{
		{"350s", 350 * time.Second, true}, {"100us", 100 * time.Microsecond, true}, {"1h30m", 90 * time.Minute, true},
		{"5d", 120 * time.Hour, true}, {"1.5s", 1500 * time.Millisecond, true}, {"0s", 0, true},
		{"", 0, false}, {"0", 0, false}, {"350", 0, false}, {"-1s", 0, false}, {"+1s", 0, false}, {"1.5d", 0, false}, {"d", 0, false},
		{"-5d", 0, false}, {"200000d", 0, false}, {"1w", 0, false}, {"350 s", 0, false},
	}
	for _, tt := range tests {
		if got, ok := parseDuration(tt.text); ok != tt.ok || ok && got != tt.want {
			t.Errorf("parseDuration(%q) = %v, %v; want %v, %v", tt.text, got, ok, tt.want, tt.ok)
		}
	}
}

func TestIntIsWhatIsWritten(t *testing.T) {
	for _, text := range []string{"007", "+7", "1_000", "0x10", "", "7.0", "99999999999999999999"} {
		if n, ok := parseInt(text); ok {
			t.Errorf("parseInt(%q) = %d", text, n)
		}
	}
}

// The twin tries every range that there could be.
func TestPortsAgainstTwin(t *testing.T) {
	shape := regexp.MustCompile(`^(0|[1-9][0-9]*)(?:-(0|[1-9][0-9]*))?$`)
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(
			rapid.StringMatching(`[0-9]{1,6}(-[0-9]{1,6})?`),
			rapid.StringMatching(`[0-9 -]{0,6}`),
			rapid.SampledFrom([]string{"all", "0-65535", "65535-65535", "80-79", "65536"}),
		).Draw(t, "text")
		var want portRange
		ok := text == "all"
		if ok {
			want = portRange{0, 65535}
		} else if m := shape.FindStringSubmatch(text); m != nil {
			fmt.Sscan(m[1], &want.from)
			want.to = want.from
			if m[2] != "" {
				fmt.Sscan(m[2], &want.to)
			}
			ok = want.from <= want.to && want.to <= 65535
		}
		if got, gotOK := parsePorts(text); gotOK != ok || ok && got != want {
			t.Fatalf("parsePorts(%q) = %v, %v; want %v, %v", text, got, gotOK, want, ok)
		}
	})
}

func TestTexts(t *testing.T) {
	tests := []struct {
		codec string
		good  []string
		bad   []string
	}{
		{"id", []string{"a", "web-1.x_Y", "010", strings.Repeat("a", 63)}, []string{"", "-a", ".a", "a b", "a/b", "a:b", "ä", strings.Repeat("a", 64)}},
		{"device", []string{"net_null0", "net_pcap0,rx_pcap=/tmp/a b.pcap", "0000:00:04.0"}, []string{"", ",x=1", "net null", "net_null0\n", strings.Repeat("x", 1025)}},
		{"ifname", []string{"web0", "a.b-c@d", strings.Repeat("a", 15)}, []string{"", ".", "..", "a b", "a/b", "a:b", strings.Repeat("a", 16)}},
		{"netns", []string{"web", "ns:1"}, []string{"", "..", "a/b", strings.Repeat("a", 256)}},
		{"socket", []string{"/run/x.sock"}, []string{"", "x.sock", "/a\x00b", "/" + strings.Repeat("a", 107)}},
		{"argument", []string{"--telemetry", "a b"}, []string{"", "a\tb", "a\x7f"}},
	}
	for _, tt := range tests {
		for _, text := range tt.good {
			if _, ok := byName[tt.codec].parse(text); !ok {
				t.Errorf("%q is refused as %s", text, tt.codec)
			}
		}
		for _, text := range tt.bad {
			if _, ok := byName[tt.codec].parse(text); ok {
				t.Errorf("%q is accepted as %s", text, tt.codec)
			}
		}
	}
}

func TestAddresses(t *testing.T) {
	for _, text := range []string{"fe80::1%eth0", "::ffff:10.0.0.1", "10.0.0", "", "10.0.0.1/32"} {
		if a, ok := parseAddr(text); ok {
			t.Errorf("parseAddr(%q) = %v", text, a)
		}
	}
	for _, text := range []string{"::ffff:10.0.0.0/104", "10.0.0.0", "10.0.0.0/33", "fe80::%eth0/64", ""} {
		if p, ok := parsePrefix(text); ok {
			t.Errorf("parsePrefix(%q) = %v", text, p)
		}
	}
	for _, text := range []string{"01:00:00:00:00:00", "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "02:00:00:00:00", "02:00:00:00:00:00:00:01"} {
		if m, ok := parseMAC(text); ok {
			t.Errorf("parseMAC(%q) = %v", text, m)
		}
	}
}

func TestTarget(t *testing.T) {
	good := map[string]target{
		"local": {kind: policy.TargetLocal}, "blackhole": {kind: policy.TargetBlackhole},
		"eni:fw": {policy.TargetENI, "fw"}, "gateway:igw": {policy.TargetGateway, "igw"},
	}
	for text, want := range good {
		if got, ok := parseTarget(text); !ok || got != want {
			t.Errorf("parseTarget(%q) = %v, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "eni", "eni:", "gateway:a b", "local:x", "nat:1"} {
		if got, ok := parseTarget(text); ok {
			t.Errorf("parseTarget(%q) = %v", text, got)
		}
	}
}
