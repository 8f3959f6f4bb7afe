// Command gen writes docs/instance-types.md from the table of instance types.
//
//	go run ./internal/instancetype/gen OUTPUT_FILE
package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/nitrod/nitrod/internal/instancetype"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: gen OUTPUT_FILE")
		os.Exit(2)
	}
	if err := os.WriteFile(os.Args[1], render(), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

const preamble = `<!-- Generated from internal/instancetype by go generate; do not edit. -->

# Instance types

An instance with one of these as its ` + "`type`" + ` has the numbers of its row, of which each may be set otherwise
([configuration](configuration.md), [semantics S6.3](semantics.md#s63-an-instance)). They are what the EC2
instance types guide publishes. **~** marks a figure that is ours, by what its family has otherwise; packets per
second are ours throughout. A row without a figure sets no such bound, and a figure of ours is none either: only what
AWS publishes refuses a file.

- **Gbit/s** is the bandwidth in each direction, baseline and burst; a single number is both.
- **kpps** is packets per second of both directions together, in thousands.
- **Queues** of an ENI are those it has by default, the most that it may have, and the most of all ENIs of the
  instance.
- Types with two network cards count as one card here, whose bandwidth a single ENI may use alone.

| Type | Nitro | vCPUs | Gbit/s | kpps | Queues | ENIs | IPv4 addresses of an ENI |
|---|---|---|---|---|---|---|---|
`

func render() []byte {
	var b strings.Builder
	b.WriteString(preamble)
	all := instancetype.All()
	for i := range all {
		t := &all[i]
		bandwidth := gbit(t.Baseline)
		if t.Burst != t.Baseline {
			bandwidth += " / " + gbit(t.Burst)
		}
		queues := figure(t.Queues)
		if t.MaxQueues.N != 0 {
			queues += " / " + figure(t.MaxQueues)
		}
		if t.TotalQueues.N != 0 {
			queues += " / " + figure(t.TotalQueues)
		}
		fmt.Fprintf(&b, "| `%s` | v%s | %s | %s | %d | %s | %s | %s |\n", t.Name, figure(t.Nitro), figure(t.VCPUs),
			bandwidth, t.PacketsSecond()/1000, queues, figure(t.ENIs), figure(t.Addresses))
	}
	return []byte(b.String())
}

func figure(f instancetype.Figure) string {
	if f.N == 0 {
		return ""
	}
	return strconv.Itoa(f.N) + mark(f)
}

// gbit writes a bandwidth in Gbit/s.
func gbit(f instancetype.Figure) string {
	return strconv.FormatFloat(float64(f.N)/1000, 'f', -1, 64) + mark(f)
}

func mark(f instancetype.Figure) string {
	if f.Ours {
		return "~"
	}
	return ""
}
