package peers

import (
	"strings"
	"testing"
)

// What peers print is not ours to define: any text gives figures or an error.

func FuzzParseDpctlShow(f *testing.F) {
	f.Add(dpctlAnswer)
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parseDpctlShow(text)
		if err == nil && !strings.Contains(text, "dpdk") {
			t.Errorf("rx %d tx %d without a dpdk port", c.rx, c.tx)
		}
	})
}

func FuzzParseTestpmd(f *testing.F) {
	f.Add(testpmdAnswer)
	f.Fuzz(func(t *testing.T, text string) {
		pps, err := parseTestpmd(text)
		if err == nil && !strings.Contains(text, "Tx-pps:") {
			t.Errorf("%d without a rate", pps)
		}
	})
}

func FuzzParseStats(f *testing.F) {
	f.Add([]byte(statsAnswer))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := parseStats(text)
		if err != nil {
			return
		}
		next := s
		next.TimeNS++
		if next.TimeNS == 0 {
			return // the clock has wrapped
		}
		if _, err := sampleOf(s, next); err != nil {
			t.Errorf("a later reading of the same counters: %v", err)
		}
	})
}
