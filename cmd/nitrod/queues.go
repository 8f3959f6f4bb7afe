package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"time"

	"github.com/nitrod/nitrod/internal/config"
	"github.com/nitrod/nitrod/internal/control"
	"github.com/spf13/cobra"
)

// newQueues makes the command that lists the queues of the ENIs, and the parent
// of those that are about them.
func newQueues() *cobra.Command {
	var c client
	var eni string
	var ena bool
	cmd := &cobra.Command{
		Use:   "queues",
		Short: "List the queues of the ENIs as their guests see them: depth, waiting, overruns, lcore",
		Long: `queues lists the queues of the ENIs, as their guests see them: rx is what a guest
receives. An overrun is a packet for which a receive ring had no room. Queues that
space packets out come again: with the flows and packets that wait, how long those
have waited that had to, and what was dropped, as drops say.

With --ena it prints the counters under the names that the ENA driver gives them
in ethtool -S.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := url.Values{}
			if eni != "" {
				q.Set("eni", eni)
			}
			var queues []control.ENIQueues
			if err := control.NewClient(c.socket).Get("/v1/queues", q, &queues); err != nil {
				return err
			}
			if ena {
				counters := enaOf(queues)
				return c.show(cmd.OutOrStdout(), counters, func(w io.Writer) { printENA(w, counters) })
			}
			return c.show(cmd.OutOrStdout(), queues, func(w io.Writer) { printQueues(w, queues) })
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&eni, "eni", "", "only those of this ENI")
	cmd.Flags().BoolVar(&ena, "ena", false, "print counters by ENA's names")
	cmd.AddCommand(newQueuesRSS(), newQueuesSteer(), newQueuesRebalance())
	return cmd
}

func printQueues(w io.Writer, enis []control.ENIQueues) {
	fmt.Fprintln(w, "ENI\tQUEUE\tLCORE\tPACKETS\tBYTES\tDEPTH\tWAITING\tHIGH WATER\tOVERRUNS")
	for i := range enis {
		e := &enis[i]
		for n, q := range e.Rx {
			fmt.Fprintf(w, "%s\trx %d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\n", e.ENI, n, q.Lcore, q.Packets, q.Bytes, q.Depth, q.Waiting, q.HighWater, q.Overruns)
		}
		for n, q := range e.Tx {
			lcore, depth := "-", "-"
			if q.Lcore >= 0 {
				lcore = strconv.Itoa(q.Lcore)
			}
			if q.Depth != 0 {
				depth = strconv.Itoa(q.Depth)
			}
			fmt.Fprintf(w, "%s\ttx %d\t%s\t%d\t%d\t%s\t-\t-\t-\n", e.ENI, n, lcore, q.Packets, q.Bytes, depth)
		}
	}
	printPaces(w, enis)
	fmt.Fprintf(w, "\nENI\tPORT\tRX OVERRUNS\tRX DROPS\tTX DROPS\n")
	for i := range enis {
		e := &enis[i]
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\n", e.ENI, e.Port, e.RxOverruns, e.RxDrops, e.TxDrops)
	}
}

// printPaces prints how the receive queues space packets out, of those that do.
func printPaces(w io.Writer, enis []control.ENIQueues) {
	head := "\nENI\tQUEUE\tPACE\tOF A FLOW\tFLOWS\tWAITING\tHIGH WATER\tDELAYED\tAVERAGE\tFLOW FULL\tFULL\tTOO LATE\n"
	rate := func(bits uint64) string {
		if bits == 0 {
			return "-"
		}
		return config.BitRate(bits).String()
	}
	for i := range enis {
		for n, q := range enis[i].Rx {
			p := q.Pace
			if p == nil {
				continue
			}
			fmt.Fprint(w, head)
			head = ""
			fmt.Fprintf(w, "%s\trx %d\t%s\t%s\t%d\t%d\t%d\t%d\t%v\t%d\t%d\t%d\n", enis[i].ENI, n, rate(p.Rate), rate(p.FlowRate),
				p.Flows, p.Waiting, p.High, p.Delayed, time.Duration(p.DelayNS/max(p.Delayed, 1)), p.FlowFull, p.Full, p.Late)
		}
	}
}

// enaCounters is an ENI's counters by ENA's names, in the order in which ethtool
// prints them.
type enaCounters struct {
	ENI      string  `json:"eni"`
	Counters enaList `json:"counters"`
}

type enaCounter struct {
	name  string
	value uint64
}

// enaList is an object in JSON whose members keep their order.
type enaList []enaCounter

// MarshalJSON implements json.Marshaler.
func (l enaList) MarshalJSON() ([]byte, error) {
	out := []byte{'{'}
	for i, c := range l {
		if i > 0 {
			out = append(out, ',')
		}
		name, err := json.Marshal(c.name)
		if err != nil {
			return nil, err
		}
		out = append(append(out, name...), ':')
		out = strconv.AppendUint(out, c.value, 10)
	}
	return append(out, '}'), nil
}

// enaOf names counters as ENA does (docs/semantics.md S5.2).
func enaOf(enis []control.ENIQueues) []enaCounters {
	all := []enaCounters{}
	for i := range enis {
		e := &enis[i]
		list := enaList{{"rx_drops", e.RxDrops}, {"tx_drops", e.TxDrops}, {"rx_overruns", e.RxOverruns}}
		for n, q := range e.Tx {
			prefix := fmt.Sprintf("queue_%d_tx_", n)
			list = append(list, enaCounter{prefix + "cnt", q.Packets}, enaCounter{prefix + "bytes", q.Bytes})
		}
		for n, q := range e.Rx {
			prefix := fmt.Sprintf("queue_%d_rx_", n)
			list = append(list, enaCounter{prefix + "cnt", q.Packets}, enaCounter{prefix + "bytes", q.Bytes})
		}
		all = append(all, enaCounters{e.ENI, list})
	}
	return all
}

func printENA(w io.Writer, enis []enaCounters) {
	for i := range enis {
		fmt.Fprintf(w, "%s\n", enis[i].ENI)
		for _, c := range enis[i].Counters {
			fmt.Fprintf(w, "     %s: %d\n", c.name, c.value)
		}
	}
}
