package peers

import (
	"fmt"
	"strings"
)

// Features are what nitrod measures and limits beside forwarding. They are for
// the comparison of nitrod with itself: no peer has them.
type Features struct {
	// Limits of each flow, each queue, ENI and instance, the latter in bandwidth
	// with credits and in packets, all of them so high that none holds anything
	// back: what is measured is the asking.
	Limits     bool
	Bursts     bool // windows and bursts of the receive queues
	HeavyFlows bool // the flows that carry most
}

// measuring returns the sections that say what is measured.
func (f Features) measuring() string {
	onOff := map[bool]string{false: "off", true: "on"}
	return fmt.Sprintf("bursts: {measure: %s}\nheavy_flows: {measure: %s}\n", onOff[f.Bursts], onOff[f.HeavyFlows])
}

// instanceLimits returns the lines of an instance's limits.
func (f Features) instanceLimits() string {
	if !f.Limits {
		return ""
	}
	return `    limits:
      bandwidth_in: {rate: 200gbps, baseline: 100gbps}
      bandwidth_out: {rate: 200gbps, baseline: 100gbps}
      packets: {rate: 500mpps}
      flow: {rate: 100gbps}
`
}

// eniLimits returns the lines of an ENI's limits.
func (f Features) eniLimits() string {
	if !f.Limits {
		return ""
	}
	var b strings.Builder
	b.WriteString("    limits:\n")
	for _, limit := range []string{"bandwidth_in", "bandwidth_out", "queue"} {
		fmt.Fprintf(&b, "      %s: {rate: 100gbps}\n", limit)
	}
	return b.String()
}
