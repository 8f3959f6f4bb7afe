package config

import (
	"log/slog"
	"net"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/nitrod/nitrod/internal/instancetype"
	"github.com/nitrod/nitrod/policy"
)

// A codec reads one kind of single value. The schema's field types, and where
// a Go type does not say enough the tag `as`, choose it.
type codec struct {
	name  string // the kind's name in docs/configuration.md
	want  string // completes the sentence "KEY must be ..."
	tag   string // YAML type that the value must have; "" for any text
	own   bool   // the value reads itself, see Value
	parse func(text string) (reflect.Value, bool)
}

func codecOf[T any](name, want, tag string, parse func(string) (T, bool)) *codec {
	return &codec{name: name, want: want, tag: tag, parse: func(text string) (reflect.Value, bool) {
		v, ok := parse(text)
		return reflect.ValueOf(v), ok
	}}
}

// byName holds the codecs that the tag `as` chooses, all of Go type string.
var byName = map[string]*codec{
	"id": codecOf("id", "an id of at most 63 letters, digits, dots, dashes and underscores, beginning with a letter or digit", "",
		func(s string) (string, bool) { return s, validID(s) }),
	"device": codecOf("device string", "a DPDK device string such as net_null0,no-rx=1 or 0000:00:04.0", "",
		func(s string) (string, bool) { return s, validDevice(s) }),
	"ifname": codecOf("interface name", "an interface name of at most 15 characters without spaces, slashes and colons", "",
		func(s string) (string, bool) { return s, len(s) <= 15 && validFileName(s) && !strings.Contains(s, ":") }),
	"netns": codecOf("namespace name", "the name of a network namespace, as `ip netns` prints it", "",
		func(s string) (string, bool) { return s, len(s) <= 255 && validFileName(s) }),
	"socket": codecOf("path", "an absolute path of at most 107 bytes", "",
		func(s string) (string, bool) { return s, len(s) <= 107 && strings.HasPrefix(s, "/") && printable(s) }),
	"type": codecOf("instance type", "an instance type of docs/instance-types.md, such as c7i.large", "",
		func(s string) (string, bool) { return s, instancetype.Lookup(s) != nil }),
	"argument": codecOf("text", "an argument without control characters", "",
		func(s string) (string, bool) { return s, s != "" && printable(s) }),
}

// byType holds the codecs that a field's Go type chooses.
var byType = map[reflect.Type]*codec{
	reflect.TypeFor[int]():           codecOf("whole number", "a whole number", "!!int", parseInt),
	reflect.TypeFor[bool]():          codecOf("true or false", "true or false", "!!bool", parseBool),
	reflect.TypeFor[Size]():          codecOf("size", "a size with its unit, such as 64KiB or 256MiB", "", parseSize),
	reflect.TypeFor[BitRate]():       codecOf("bandwidth", "a bandwidth with its unit, such as 800kbps, 781mbps or 12.5gbps", "", parseBitRate),
	reflect.TypeFor[PacketRate]():    codecOf("packet rate", "a packet rate with its unit, such as 500pps, 100kpps or 2.2mpps", "", parsePacketRate),
	reflect.TypeFor[time.Duration](): codecOf("duration", "a duration with its unit, such as 100us, 350s or 5d", "", parseDuration),
	reflect.TypeFor[slog.Level]():    codecOf("`debug`, `info`, `warn` or `error`", "debug, info, warn or error", "", parseLevel),
	reflect.TypeFor[LcoreSpec]():     codecOf("`auto`, a count, or a list of CPU numbers", "auto, a count such as 2, or a list of CPU numbers such as [2, 3]", "", parseLcores),
	reflect.TypeFor[netip.Addr]():    codecOf("address", "an IPv4 or IPv6 address such as 10.0.1.10", "", parseAddr),
	reflect.TypeFor[netip.Prefix]():  codecOf("CIDR block", "a CIDR block such as 10.0.1.0/24", "", parsePrefix),
	reflect.TypeFor[mac]():           codecOf("MAC address", "a unicast MAC address such as 02:00:00:00:00:01", "", parseMAC),
	reflect.TypeFor[protocol]():      codecOf("protocol", "tcp, udp, icmp, icmpv6, all, or a protocol number from -1 to 255", "", parseProtocol),
	reflect.TypeFor[portRange]():     codecOf("ports", "a port such as 80, a range such as 1000-2000, or all", "", parsePorts),
	reflect.TypeFor[icmpValue]():     codecOf("0-255 or `all`", "a number from 0 to 255, or all", "", parseICMPValue),
	reflect.TypeFor[target]():        codecOf("route target", "local, blackhole, eni:ID, internet_gateway:ID or gateway:NAME", "", parseTarget),
	reflect.TypeFor[rssKey]():        codecOf("RSS key", "40 bytes in hexadecimal, separated by colons", "", parseKey),
	reflect.TypeFor[maskedAddr]():    codecOf("address with mask", "an address alone, with a prefix length or with a mask, such as 10.0.1.10, 10.0.1.0/24 or 10.0.1.0/255.0.255.0", "", parseMaskedAddr),
	reflect.TypeFor[maskedPort]():    codecOf("port with mask", "a port alone or with a mask, such as 443 or 0x1000/0xf000", "", parseMaskedPort),
	reflect.TypeFor[maskedByte]():    codecOf("byte with mask", "a byte alone or with a mask, such as 184 or 0x20/0xfc", "", parseMaskedByte),
	reflect.TypeFor[liveFlows]():     codecOf("`aws`, `cut` or `drain=TIME`", "aws, cut, or drain= and a time in whole seconds up to 8h, such as drain=30s", "", parseLiveFlows),
}

// The single values of VPC objects.
type (
	mac       [6]byte
	protocol  int
	icmpValue int // -1 for all
	portRange struct{ from, to int }
	liveFlows policy.LiveFlows
	target    struct {
		kind policy.TargetKind
		id   string
	}
)

// allPorts is what `ports: all` means.
var allPorts = portRange{0, 65535}

func parseInt(s string) (int, bool) {
	n, err := strconv.Atoi(s)
	// No octal, no sign of plus: what is written is what is meant.
	return n, err == nil && strconv.Itoa(n) == s
}

func parseBool(s string) (bool, bool) { return s == "true", s == "true" || s == "false" }

func parseLevel(s string) (slog.Level, bool) {
	switch s {
	case "debug":
		return slog.LevelDebug, true
	case "info":
		return slog.LevelInfo, true
	case "warn":
		return slog.LevelWarn, true
	case "error":
		return slog.LevelError, true
	}
	return 0, false
}

func parseLcores(s string) (LcoreSpec, bool) {
	if s == "auto" {
		return LcoreSpec{Count: 1}, true
	}
	n, ok := parseInt(s)
	return LcoreSpec{Count: n}, ok && n >= 1
}

// parseAddr refuses zones and IPv4-mapped addresses: neither is seen on a wire.
func parseAddr(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s)
	return a, err == nil && a.Zone() == "" && !a.Is4In6()
}

// parsePrefix clears the bits beyond the prefix length, as AWS does
// (VPC guide, "Network ACL rules": CIDR blocks are put in canonical form).
func parsePrefix(s string) (netip.Prefix, bool) {
	p, err := netip.ParsePrefix(s)
	return p.Masked(), err == nil && !p.Addr().Is4In6()
}

func parseMAC(s string) (mac, bool) {
	hw, err := net.ParseMAC(s)
	if err != nil || len(hw) != len(mac{}) {
		return mac{}, false
	}
	m := mac(hw)
	return m, m != mac{} && m[0]&1 == 0
}

func parseProtocol(s string) (protocol, bool) {
	switch s {
	case "tcp":
		return policy.ProtoTCP, true
	case "udp":
		return policy.ProtoUDP, true
	case "icmp":
		return policy.ProtoICMP, true
	case "icmpv6":
		return policy.ProtoICMPv6, true
	case "all":
		return policy.ProtoAll, true
	}
	n, ok := parseInt(s)
	return protocol(n), ok && n >= policy.ProtoAll && n <= 255
}

func parsePorts(s string) (portRange, bool) {
	if s == "all" {
		return allPorts, true
	}
	low, high, isRange := strings.Cut(s, "-")
	from, ok := parsePort(low)
	if !isRange || !ok {
		return portRange{from, from}, ok
	}
	to, ok := parsePort(high)
	return portRange{from, to}, ok && from <= to
}

func parsePort(s string) (int, bool) {
	n, ok := parseInt(s)
	return n, ok && n >= 0 && n <= 65535
}

func parseICMPValue(s string) (icmpValue, bool) {
	if s == "all" {
		return -1, true
	}
	n, ok := parseInt(s)
	return icmpValue(n), ok && n >= 0 && n <= 255
}

func parseTarget(s string) (target, bool) {
	switch s {
	case "local":
		return target{kind: policy.TargetLocal}, true
	case "blackhole":
		return target{kind: policy.TargetBlackhole}, true
	}
	kind, id, _ := strings.Cut(s, ":")
	switch kind {
	case "eni":
		return target{policy.TargetENI, id}, validID(id)
	case "internet_gateway":
		return target{policy.TargetInternetGateway, id}, validID(id)
	case "gateway":
		return target{policy.TargetGateway, id}, validID(id)
	}
	return target{}, false
}

func parseLiveFlows(s string) (liveFlows, bool) {
	switch s {
	case "aws":
		return liveFlows{}, true
	case "cut":
		return liveFlows{Mode: policy.LiveCut}, true
	}
	text, ok := strings.CutPrefix(s, "drain=")
	if !ok {
		return liveFlows{}, false
	}
	d, ok := parseDuration(text)
	return liveFlows{policy.LiveDrain, d}, ok && d > 0 && d <= policy.MaxDrain && d%time.Second == 0
}

// validID keeps ids fit for metric labels, command lines and route targets.
func validID(s string) bool {
	if s == "" || len(s) > 63 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case i > 0 && (c == '.' || c == '-' || c == '_'):
		default:
			return false
		}
	}
	return true
}

// validDevice checks the outline only: the arguments are the driver's.
func validDevice(s string) bool {
	name := deviceName(s)
	return len(s) <= 1024 && printable(s) && name != "" && !strings.Contains(name, " ")
}

// deviceName returns a device string's part before its arguments, by which
// DPDK tells devices apart.
func deviceName(s string) string {
	name, _, _ := strings.Cut(s, ",")
	return name
}

func validFileName(s string) bool {
	return s != "" && s != "." && s != ".." && printable(s) && !strings.ContainsAny(s, "/ ")
}

// printable reports whether s has no control characters.
func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}
