package main

import (
	"fmt"
	"io"

	"github.com/nitrod/nitrod/internal/control"
	"github.com/spf13/cobra"
)

func newQueues() *cobra.Command {
	cmd := newList("queues", "List the receive queues of the ENIs: how full they are and were", "/v1/queues", printQueues)
	cmd.Long = `List the receive queues of the ENIs, as the guests see them: what a guest
receives is what nitrod sends to its port. A queue that is full refuses packets,
which are dropped as tx_queue_full and are its overruns.`
	return cmd
}

func printQueues(w io.Writer, queues []control.Queue) {
	fmt.Fprintln(w, "ENI\tQUEUE\tLCORE\tPACKETS\tBYTES\tWAITING\tHIGH WATER\tDEPTH\tOVERRUNS")
	for _, q := range queues {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\n", q.ENI, q.Queue, q.Lcore, q.Packets, q.Bytes,
			q.Waiting, q.HighWater, q.Depth, q.Overruns)
	}
}
