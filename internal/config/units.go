package config

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// Size is a number of bytes. In a file it carries a binary unit: B, KiB, MiB
// or GiB, with a decimal fraction where that is a whole number of bytes
// ("9.5KiB").
type Size int64

// The units of Size.
const (
	Byte Size = 1
	KiB       = 1024 * Byte
	MiB       = 1024 * KiB
	GiB       = 1024 * MiB
)

var sizeUnits = []struct {
	suffix string
	size   Size
}{{"GiB", GiB}, {"MiB", MiB}, {"KiB", KiB}, {"B", Byte}} // "B" ends them all, so it comes last

// String returns the size in the largest unit that leaves it whole.
func (s Size) String() string {
	for _, u := range sizeUnits {
		if s%u.size == 0 && s != 0 {
			return strconv.FormatInt(int64(s/u.size), 10) + u.suffix
		}
	}
	return "0B"
}

func parseSize(text string) (Size, bool) {
	for _, u := range sizeUnits {
		number, ok := strings.CutSuffix(text, u.suffix)
		if !ok {
			continue
		}
		whole, fraction, hasFraction := strings.Cut(strings.TrimRight(number, " "), ".")
		if !digits(whole) || hasFraction && !digits(fraction) || len(fraction) > 9 {
			return 0, false
		}
		n, err := strconv.ParseInt(whole, 10, 64)
		if err != nil || n > math.MaxInt64/int64(u.size)-1 {
			return 0, false
		}
		size := Size(n) * u.size
		if hasFraction {
			scale := int64(1)
			for range fraction {
				scale *= 10
			}
			part, _ := strconv.ParseInt(fraction, 10, 64) // at most nine digits
			if part*int64(u.size)%scale != 0 {
				return 0, false
			}
			size += Size(part * int64(u.size) / scale)
		}
		return size, true
	}
	return 0, false
}

// parseDuration reads what time.ParseDuration reads, without signs, and whole
// days besides: AWS's longest idle timeout is 5 days.
func parseDuration(text string) (time.Duration, bool) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseInt(days, 10, 64)
		if !digits(days) || err != nil || n > int64(math.MaxInt64/(24*time.Hour)) {
			return 0, false
		}
		return time.Duration(n) * 24 * time.Hour, true
	}
	if text == "0" || strings.HasPrefix(text, "-") || strings.HasPrefix(text, "+") {
		return 0, false
	}
	d, err := time.ParseDuration(text)
	return d, err == nil
}

// digits reports whether s is one or more decimal digits.
func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
