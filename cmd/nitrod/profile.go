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
	"github.com/nitrod/nitrod/internal/traffic"
	"github.com/spf13/cobra"
)

// watcher is what top and profile have in common: they compare samples.
type watcher struct {
	client
	interval   time.Duration
	flows      int
	lcoreShare int
	flowShare  int
}

func (x *watcher) flags(cmd *cobra.Command, interval time.Duration, flows int) {
	x.client.flags(cmd)
	cmd.Flags().DurationVar(&x.interval, "interval", interval, "time between two samples")
	cmd.Flags().IntVar(&x.flows, "flows", flows, "list so many of the largest flows")
	cmd.Flags().IntVar(&x.lcoreShare, "whale-lcore", int(100*traffic.DefaultOptions.LcoreShare), "a flow that takes so many percent of an lcore's time is a whale")
	cmd.Flags().IntVar(&x.flowShare, "whale-limit", int(100*traffic.DefaultOptions.FlowShare), "so is one that has so many percent of the bandwidth of a single flow")
}

func (x *watcher) check() error {
	switch {
	case x.interval <= 0:
		return usageError{errors.New("--interval is not above zero")}
	case x.flows < 0:
		return usageError{errors.New("--flows is below zero")}
	case x.lcoreShare < 1 || x.lcoreShare > 100:
		return usageError{errors.New("--whale-lcore is not from 1 to 100")}
	case x.flowShare < 1 || x.flowShare > 100:
		return usageError{errors.New("--whale-limit is not from 1 to 100")}
	}
	return nil
}

func (x *watcher) options() traffic.Options {
	return traffic.Options{LcoreShare: float64(x.lcoreShare) / 100, FlowShare: float64(x.flowShare) / 100}
}

func newProfile() *cobra.Command {
	var x watcher
	cmd := &cobra.Command{
		Use:   "profile",
		Short: "Say what the traffic is like: rates, spread over queues, whales, the limit that is hit first",
		Long: `profile takes two samples and says what the traffic between them was like: rates
of instances and ENIs, how flows spread over the queues, the largest flows of the
last whole second, those that no queue can share, and how near each ENI is to its
limits. docs/traffic.md tells what to look at.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := x.check(); err != nil {
				return err
			}
			c := control.NewClient(x.socket)
			var before, after traffic.Sample
			if err := c.Get("/v1/profile", nil, &before); err != nil {
				return err
			}
			time.Sleep(x.interval)
			if err := c.Get("/v1/profile", url.Values{"queues": {"true"}}, &after); err != nil {
				return err
			}
			p, err := traffic.Between(&before, &after, x.options())
			if err != nil {
				return err
			}
			p.Flows = p.Flows[:min(len(p.Flows), x.flows)]
			return x.show(cmd.OutOrStdout(), p, func(w io.Writer) { printProfile(w, p) })
		},
	}
	x.flags(cmd, 2*time.Second, 10)
	return cmd
}

func printProfile(w io.Writer, p *traffic.Profile) {
	fmt.Fprintf(w, "over\t%.1f s\n", p.Seconds)
	printRates(w, p)
	fmt.Fprintf(w, "\nENI\tLIMIT\tUSED\tOF\tSHARE\tEXCEEDED/S\n")
	for _, e := range p.ENIs {
		for _, u := range e.Limits {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", e.ID, u.Name, amount(u.Used, u.Unit), amount(u.Limit, u.Unit), percent(u.Share), si(u.Exceeded))
		}
	}
	for _, e := range p.ENIs {
		if text := firstLimit(&e); text != "" {
			fmt.Fprintf(w, "%s %s.\n", e.ID, text)
		}
	}
	fmt.Fprintf(w, "\nENI\tFLOWS RECEIVED\tEVENNESS\tENTROPY\tBY QUEUE\n")
	for _, e := range p.ENIs {
		if s := e.Spread; s != nil {
			fmt.Fprintf(w, "%s\t%d\t%.2f\t%.2f bit\t%s\n", e.ID, sum(s.Flows), s.Evenness, s.Entropy, counts(s.Flows))
		}
	}
	printHeavy(w, p)
	if len(p.Whales) == 0 && !p.FlowsOff {
		fmt.Fprintf(w, "\nNo flow is so large that it could not be carried where it is.\n")
	}
	for i := range p.Whales {
		printWhale(w, &p.Whales[i])
	}
}

// firstLimit says which limit an ENI will hit first, "" where it uses none.
func firstLimit(e *traffic.ENI) string {
	if len(e.Limits) == 0 {
		return ""
	}
	u := &e.Limits[0]
	switch {
	case u.Exceeded > 0:
		return fmt.Sprintf("exceeds %s now, by %s packets a second", u.Name, si(u.Exceeded))
	case u.Share == 0:
		return ""
	case u.Share > 1:
		return fmt.Sprintf("is at %s of %s", percent(u.Share), u.Name)
	}
	text := fmt.Sprintf("hits %s first: at %.3g times this traffic", u.Name, 1/u.Share)
	if u.FullIn != nil {
		text += fmt.Sprintf(", or in %s if it fills as it does", time.Duration(*u.FullIn*float64(time.Second)).Round(time.Second))
	}
	return text
}

// printWhale writes a paragraph. Lines without tabs are left as they are.
func printWhale(w io.Writer, x *traffic.Whale) {
	fmt.Fprintf(w, "\nWHALE: %s, %s to %s from ENI %s\n", x.Kind, endpoint(x.Src, x.SrcPort), endpoint(x.Dst, x.DstPort), x.ENI)
	fmt.Fprintf(w, "  %s packets/s, %s; %s of lcore %d", si(x.Packets), bits(x.Bits), percent(x.OfLcore), x.Lcore)
	if !x.Dropped {
		fmt.Fprintf(w, ", %s of what one flow may have (%s)", percent(x.OfLimit), bits(x.LimitBits))
	}
	fmt.Fprintf(w, "\n  Why: %s\n  Remedy: %s\n", x.Why, x.Remedy)
}

func sum(counts []uint64) (n uint64) {
	for _, c := range counts {
		n += c
	}
	return n
}

func counts(list []uint64) string {
	words := make([]string, len(list))
	for i, n := range list {
		words[i] = strconv.FormatUint(n, 10)
	}
	return strings.Join(words, " ")
}

// si writes a number in three digits with a prefix.
func si(x float64) string {
	for _, p := range []struct {
		from   float64
		prefix string
	}{{1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if x >= 0.9995*p.from { // which three digits would round up to it
			return fmt.Sprintf("%.*f%s", digits(x/p.from), x/p.from, p.prefix)
		}
	}
	if x == 0 {
		return "0"
	}
	return fmt.Sprintf("%.*f", digits(x), x)
}

// digits is how many stand behind the point where three are written.
func digits(x float64) int {
	switch {
	case x >= 99.95:
		return 0
	case x >= 9.995:
		return 1
	}
	return 2
}

func bits(x float64) string { return si(x) + "bit/s" }

func amount(x float64, unit string) string {
	if unit == "" {
		return strconv.FormatFloat(x, 'f', 0, 64)
	}
	return si(x) + unit
}

func percent(x float64) string { return strconv.FormatFloat(100*x, 'f', 1, 64) + " %" }
