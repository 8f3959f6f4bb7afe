package main

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/nitrod/nitrod/internal/control"
	"github.com/spf13/cobra"
)

func newQueuesRebalance() *cobra.Command {
	var c client
	var eni, mode string
	cmd := &cobra.Command{
		Use:   "rebalance",
		Short: "Show or set what is done about receive queues that carry unevenly",
		Long: `rebalance shows what each receive queue of the ENIs carries, and which entries of the
indirection table would move to other queues, or have moved. It measures where the
mode is propose or on; with on it makes the changes, without reordering any flow.`,
		Example: `  nitrod queues rebalance --eni app --mode propose
  nitrod queues rebalance --eni app`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client := control.NewClient(c.socket)
			if mode != "" {
				if eni == "" {
					return usageError{errors.New("--mode needs --eni")}
				}
				return client.Post("/v1/queues/rebalance", &control.RebalanceChange{ENI: eni, Mode: mode}, new(struct{}))
			}
			q := url.Values{}
			if eni != "" {
				q.Set("eni", eni)
			}
			var all []control.Rebalance
			if err := client.Get("/v1/queues/rebalance", q, &all); err != nil {
				return err
			}
			return c.show(cmd.OutOrStdout(), all, func(w io.Writer) { printRebalance(w, all) })
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&eni, "eni", "", "only this ENI")
	cmd.Flags().StringVar(&mode, "mode", "", "off, propose or on")
	return cmd
}

func printRebalance(w io.Writer, all []control.Rebalance) {
	fmt.Fprintf(w, "ENI\tMODE\tSTATE\tABOVE MEAN\tTHRESHOLD\tCHANGES\tPACKETS/S BY QUEUE\n")
	for i := range all {
		r := &all[i]
		above, queues := "-", []string{"-"}
		if len(r.Queues) != 0 {
			above, queues = fmt.Sprintf("%.0f%%", r.Excess), nil
		}
		for _, n := range r.Queues {
			queues = append(queues, strconv.FormatUint(n, 10))
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%.0f%%\t%d\t%s\n", r.ENI, r.Mode, r.State, above, r.Threshold, r.Changes, strings.Join(queues, " "))
	}
	for i := range all {
		r := &all[i]
		if len(r.Proposal) != 0 {
			fmt.Fprintf(w, "\n%s: proposed, to come to %.0f%% above the mean:\n", r.ENI, r.ExcessAfter)
			printMoves(w, r.Proposal)
		}
		if len(r.LastChange) != 0 {
			fmt.Fprintf(w, "\n%s: last change, at %s:\n", r.ENI, time.Unix(0, r.LastChangedNS).UTC().Format(time.DateTime))
			printMoves(w, r.LastChange)
		}
		if r.Error != "" {
			fmt.Fprintf(w, "\n%s: %s\n", r.ENI, r.Error)
		}
	}
}

func printMoves(w io.Writer, moves []control.EntryMove) {
	fmt.Fprintf(w, "ENTRY\tFROM\tTO\tPACKETS\n")
	for _, m := range moves {
		fmt.Fprintf(w, "%d\t%d\t%d\t%d\n", m.Entry, m.From, m.To, m.Packets)
	}
}
