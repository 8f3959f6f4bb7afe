package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os/signal"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/nitrod/nitrod/internal/control"
	"github.com/nitrod/nitrod/internal/traffic"
	"github.com/spf13/cobra"
)

func newTop() *cobra.Command {
	var x watcher
	var once bool
	cmd := &cobra.Command{
		Use:   "top",
		Short: "Watch rates of instances, ENIs and lcores, and the largest flows",
		Long: `top shows rates of instances, ENIs and lcores, and the largest flows, anew after
every interval until it is interrupted. With --json it prints an object in a line
each time.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := x.check(); err != nil {
				return err
			}
			return x.watch(cmd, once)
		},
	}
	x.flags(cmd, time.Second, 10)
	cmd.Flags().BoolVar(&once, "once", false, "show it once, after one interval")
	return cmd
}

// clearScreen moves a terminal's cursor to the upper left corner and clears all
// that is right of it and below.
const clearScreen = "\x1b[H\x1b[2J"

// watch shows what happens between every two samples, until it is interrupted.
func (x *watcher) watch(cmd *cobra.Command, once bool) error {
	ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	c, out := control.NewClient(x.socket), cmd.OutOrStdout()
	var before traffic.Sample
	if err := c.Get("/v1/profile", nil, &before); err != nil {
		return err
	}
	tick := time.NewTicker(x.interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		var after traffic.Sample
		if err := c.Get("/v1/profile", nil, &after); err != nil {
			return err
		}
		p, err := traffic.Between(&before, &after, x.options())
		if err != nil {
			return err
		}
		p.Flows = p.Flows[:min(len(p.Flows), x.flows)]
		if err := x.refresh(out, p, once); err != nil || once {
			return err
		}
		before = after
	}
}

// refresh writes one profile: as one piece, so that a terminal does not flicker.
func (x *watcher) refresh(out io.Writer, p *traffic.Profile, once bool) error {
	if x.json {
		return json.NewEncoder(out).Encode(p)
	}
	var text strings.Builder
	if !once {
		text.WriteString(clearScreen)
	}
	t := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	printTop(t, p)
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(out, text.String())
	return err
}

func printTop(w io.Writer, p *traffic.Profile) {
	fmt.Fprintf(w, "over\t%.1f s\n", p.Seconds)
	printRates(w, p)
	for i := range p.ENIs {
		if text := firstLimit(&p.ENIs[i]); text != "" {
			fmt.Fprintf(w, "%s %s.\n", p.ENIs[i].ID, text)
		}
	}
	printHeavy(w, p)
	for i := range p.Whales {
		x := &p.Whales[i]
		fmt.Fprintf(w, "WHALE: %s from ENI %s, %s of lcore %d; see nitrod profile\n", x.Kind, x.ENI, percent(x.OfLcore), x.Lcore)
	}
}

// printRates writes the tables of instances, ENIs and lcores.
func printRates(w io.Writer, p *traffic.Profile) {
	const columns = "RECEIVED/S\tBIT/S\tSENT/S\tBIT/S\tOPENED/S\tACCEPTED/S\tDROPPED/S"
	rates := func(r *traffic.Rates) string {
		words := make([]string, 0, 7)
		for _, x := range []float64{r.RxPackets, r.RxBits, r.TxPackets, r.TxBits, r.Opened, r.Accepted, r.Drops} {
			words = append(words, si(x))
		}
		return strings.Join(words, "\t")
	}
	if len(p.Instances) != 0 {
		fmt.Fprintf(w, "\nINSTANCE\t%s\tTRACKED\n", columns)
		for _, i := range p.Instances {
			fmt.Fprintf(w, "%s\t%s\t%d\n", i.ID, rates(&i.Rates), i.Tracked)
		}
	}
	fmt.Fprintf(w, "\nENI\t%s\tINSTANCE\n", columns)
	for _, e := range p.ENIs {
		fmt.Fprintf(w, "%s\t%s\t%s\n", e.ID, rates(&e.Rates), e.Instance)
	}
	fmt.Fprintf(w, "\nLCORE\tCPU\tBUSY\tRX/S\tTX/S\n")
	for i, l := range p.Lcores {
		fmt.Fprintf(w, "%d\t%d\t%s\t%s\t%s\n", i, l.CPU, percent(l.Busy), si(l.Rx), si(l.Tx))
	}
}

// printHeavy writes the table of the largest flows.
func printHeavy(w io.Writer, p *traffic.Profile) {
	if p.FlowsOff {
		fmt.Fprintln(w, "\nHeavy flows are not looked for: see measure in the configuration's section heavy_flows.")
	}
	if len(p.Flows) == 0 {
		return
	}
	fmt.Fprintf(w, "\nENI\tPROTOCOL\tSOURCE\tDESTINATION\tEGRESS\tQUEUE\tLCORE\tPACKETS/S\tBIT/S\tOF LCORE'S\n")
	for _, f := range p.Flows {
		egress := f.Egress
		if f.Dropped {
			egress = "(dropped)"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%d\t%s\t%s\t%s\n", f.ENI, f.Protocol, endpoint(f.Src, f.SrcPort), endpoint(f.Dst, f.DstPort),
			egress, f.Queue, f.Lcore, si(f.Packets), si(f.Bits), percent(f.LcoreShare))
	}
}
