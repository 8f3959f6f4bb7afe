package main

import (
	"fmt"
	"io"

	"github.com/nitrod/nitrod/internal/control"
	"github.com/spf13/cobra"
)

func newCoalesce() *cobra.Command {
	var c client
	var rx, tx int
	var adaptive bool
	cmd := &cobra.Command{
		Use:   "coalesce",
		Short: "Show, or change while packets flow, for how long lcores let packets gather",
		Long: `coalesce shows for how long lcores let packets gather, or changes it while packets
flow, as ethtool -c and -C do for a guest's driver. What is changed so holds until
the daemon ends; the configuration's section coalesce has what it begins with.`,
		Example: "  nitrod coalesce --rx-usecs 20 --tx-usecs 10\n  nitrod coalesce --adaptive-rx",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var change control.CoalesceChange
			f := cmd.Flags()
			if f.Changed("rx-usecs") {
				change.RxUsecs = &rx
			}
			if f.Changed("tx-usecs") {
				change.TxUsecs = &tx
			}
			if f.Changed("adaptive-rx") {
				change.AdaptiveRx = &adaptive
			}
			var now control.Coalesce
			var err error
			if change == (control.CoalesceChange{}) {
				err = control.NewClient(c.socket).Get("/v1/coalesce", nil, &now)
			} else {
				err = control.NewClient(c.socket).Post("/v1/coalesce", &change, &now)
			}
			if err != nil {
				return err
			}
			return c.show(cmd.OutOrStdout(), now, func(w io.Writer) { printCoalesce(w, &now) })
		},
	}
	c.flags(cmd)
	f := cmd.Flags()
	f.IntVar(&rx, "rx-usecs", 0, "microseconds for which an lcore that has taken all there was lets packets gather")
	f.IntVar(&tx, "tx-usecs", 0, "microseconds for which packets for a device may be held back")
	f.BoolVar(&adaptive, "adaptive-rx", false, "whether each lcore finds rx-usecs itself")
	return cmd
}

func printCoalesce(w io.Writer, c *control.Coalesce) {
	rx := fmt.Sprint(c.RxUsecs)
	if c.AdaptiveRx {
		rx = "found by each lcore: see nitrod stats"
	}
	fmt.Fprintf(w, "adaptive-rx\t%s\n", map[bool]string{false: "off", true: "on"}[c.AdaptiveRx])
	fmt.Fprintf(w, "rx-usecs\t%s\ntx-usecs\t%d\n", rx, c.TxUsecs)
}
