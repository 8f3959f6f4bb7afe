package config

import (
	"math"
	"strconv"
	"strings"
)

// BitRate is a bandwidth in bits a second. In a file it carries a decimal unit:
// bps, kbps, mbps, gbps, with a decimal fraction where that is a whole number
// of bits ("12.5gbps").
type BitRate int64

// PacketRate is a number of packets a second. In a file it carries a decimal
// unit: pps, kpps, mpps, with a fraction likewise ("2.2mpps").
type PacketRate int64

// rateUnits are decimal, from the largest; the last one ends them all.
var rateUnits = []struct {
	prefix string
	scale  int64
}{{"g", 1_000_000_000}, {"m", 1_000_000}, {"k", 1000}, {"", 1}}

func (r BitRate) String() string    { return rateText(int64(r), "bps") }
func (r PacketRate) String() string { return rateText(int64(r), "pps") }

// ParseBitRate reads a bandwidth as files have it.
func ParseBitRate(text string) (BitRate, bool) { return parseBitRate(text) }

func parseBitRate(text string) (BitRate, bool) {
	n, ok := parseRate(text, "bps")
	return BitRate(n), ok
}

func parsePacketRate(text string) (PacketRate, bool) {
	n, ok := parseRate(text, "pps")
	return PacketRate(n), ok
}

// rateText writes a rate in the largest unit that it has one of, which leaves
// no more than nine digits behind the point.
func rateText(n int64, unit string) string {
	for _, u := range rateUnits {
		if n < u.scale {
			continue
		}
		text := strconv.FormatInt(n/u.scale, 10)
		if rest := n % u.scale; rest != 0 {
			digits := strconv.FormatInt(u.scale+rest, 10)[1:] // with its leading zeros
			text += "." + strings.TrimRight(digits, "0")
		}
		return text + u.prefix + unit
	}
	return "0" + unit
}

func parseRate(text, unit string) (int64, bool) {
	text, ok := strings.CutSuffix(text, unit)
	if !ok {
		return 0, false
	}
	for _, u := range rateUnits {
		number, ok := strings.CutSuffix(text, u.prefix)
		if !ok {
			continue
		}
		whole, fraction, hasFraction := strings.Cut(number, ".")
		if !digits(whole) || hasFraction && !digits(fraction) || len(fraction) > 9 {
			return 0, false
		}
		n, err := strconv.ParseInt(whole, 10, 64)
		if err != nil || n > math.MaxInt64/u.scale-1 {
			return 0, false
		}
		part, scale := int64(0), int64(1)
		for _, digit := range fraction {
			part, scale = part*10+int64(digit-'0'), scale*10
		}
		return n*u.scale + part*u.scale/scale, part*u.scale%scale == 0
	}
	return 0, false
}
