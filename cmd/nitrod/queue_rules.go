package main

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"

	"github.com/nitrod/nitrod/internal/control"
	"github.com/spf13/cobra"
)

func newQueuesRSS() *cobra.Command {
	var c client
	var eni, tuple string
	var tos uint8
	var fragment bool
	cmd := &cobra.Command{
		Use:   "rss --eni ENI",
		Short: "Show how an ENI spreads what it receives over its queues",
		Long: `rss shows the function, the key and the indirection table by which an ENI spreads
what no steering rule takes. With --tuple it says to which queue such a packet goes,
and why, whatever policy says of it; explain asks policy too.`,
		Example: `  nitrod queues rss --eni app --tuple tcp,10.0.1.10:40000,10.0.2.10:443`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := url.Values{"eni": {eni}}
			if tuple != "" {
				q.Set("tuple", tuple)
				q.Set("tos", strconv.Itoa(int(tos)))
				q.Set("fragment", strconv.FormatBool(fragment))
			} else if cmd.Flags().Changed("tos") || fragment {
				return usageError{errors.New("--tos and --fragment go with --tuple")}
			}
			var r control.RSS
			if err := control.NewClient(c.socket).Get("/v1/queues/rss", q, &r); err != nil {
				return err
			}
			return c.show(cmd.OutOrStdout(), r, func(w io.Writer) { printRSS(w, &r) })
		},
	}
	c.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&eni, "eni", "", "the ENI")
	f.StringVar(&tuple, "tuple", "", "protocol, source and destination of a packet that it receives; tcp and udp with ports")
	f.Uint8Var(&tos, "tos", 0, "the packet's type of service")
	f.BoolVar(&fragment, "fragment", false, "the packet is a fragment")
	cmd.AddCommand(newQueuesRSSSet())
	return cmd
}

func newQueuesRSSSet() *cobra.Command {
	var c client
	var change control.RSSChange
	var weights, table []uint
	cmd := &cobra.Command{
		Use:   "set --eni ENI",
		Short: "Change it, while packets flow and without reordering any flow",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, n := range weights {
				change.Weights = append(change.Weights, uint32(min(n, 1<<32-1)))
			}
			for _, n := range table {
				change.Table = append(change.Table, uint16(min(n, 1<<16-1)))
			}
			return control.NewClient(c.socket).Post("/v1/queues/rss", &change, new(struct{}))
		},
	}
	c.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&change.ENI, "eni", "", "the ENI")
	f.StringVar(&change.Function, "function", "", "toeplitz, or crc32, whose polynomial and initial value are nitrod's own choice")
	f.StringVar(&change.Key, "key", "", "40 bytes in hexadecimal, separated by colons")
	f.StringVar(&change.Mode, "mode", "", "standard (ENA under DPDK), symmetric, ena_fixed, ena_linux or ena_linux_unset")
	f.IntVar(&change.Size, "size", 0, "entries of the indirection table, a power of two; it is then spread anew")
	f.IntVar(&change.Equal, "equal", 0, "spread evenly over the first so many queues")
	f.UintSliceVar(&weights, "weight", nil, "spread by these weights, one for each queue")
	f.UintSliceVar(&table, "table", nil, "the queue of each entry")
	return cmd
}

func printRSS(w io.Writer, r *control.RSS) {
	if p := r.Packet; p != nil {
		fmt.Fprintf(w, "packet\tqueue %d: %s\n", p.Queue, p.Why)
	}
	fmt.Fprintf(w, "ENI\t%s\n", r.ENI)
	fmt.Fprintf(w, "function\t%s\n", r.Function)
	if r.Key != "" {
		fmt.Fprintf(w, "mode\t%s\nkey\t%s\n", r.Mode, r.Key)
	}
	if r.Moving {
		fmt.Fprintf(w, "change\tunder way\n")
	}
	for i := 0; i < len(r.Table); i += 8 {
		var row []string
		for _, q := range r.Table[i:min(i+8, len(r.Table))] {
			row = append(row, strconv.Itoa(int(q)))
		}
		fmt.Fprintf(w, "%d:\t%s\n", i, strings.Join(row, " "))
	}
}

func newQueuesSteer() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "steer",
		Short: "Show and change the steering rules of an instance",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usageError{errors.New("steer needs list, add or remove")}
		},
	}
	cmd.AddCommand(newSteerList(), newSteerAdd(), newSteerRemove())
	return cmd
}

func newSteerList() *cobra.Command {
	var c client
	var eni string
	cmd := &cobra.Command{
		Use:   "list --eni ENI",
		Short: "List the steering rules of the ENI's instance",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var s control.Steering
			if err := control.NewClient(c.socket).Get("/v1/queues/steer", url.Values{"eni": {eni}}, &s); err != nil {
				return err
			}
			return c.show(cmd.OutOrStdout(), s, func(w io.Writer) { printSteering(w, &s) })
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&eni, "eni", "", "an ENI of the instance")
	return cmd
}

func printSteering(w io.Writer, s *control.Steering) {
	fmt.Fprintf(w, "INSTANCE %s: %d of %d rules\n", s.Instance, len(s.Rules), s.Size)
	fmt.Fprintf(w, "LOCATION\tENI\tTYPE\tSOURCE\tDESTINATION\tPORTS\tTOS\tQUEUE\n")
	for _, r := range s.Rules {
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%d/%#x %d/%#x\t%d/%#x\t%d\n", *r.Location, r.ENI, r.Type,
			masked(r.Src, r.SrcMask), masked(r.Dst, r.DstMask), r.SrcPort, r.SrcPortMask, r.DstPort, r.DstPortMask, r.TOS, r.TOSMask, r.Queue)
	}
}

// masked writes an address and its mask; an asterisk where none is compared.
func masked(addr, mask string) string {
	if addr == "" {
		return "*"
	}
	return addr + "/" + mask
}

func newSteerAdd() *cobra.Command {
	var c client
	var r control.SteerRule
	var location uint32
	cmd := &cobra.Command{
		Use:   "add --eni ENI --location N --type TYPE --queue N",
		Short: "Add a steering rule, while packets flow and without reordering any flow",
		Long: `add leads the packets that match to a receive queue, whatever RSS says. The lowest
location that matches wins. A bit of a mask that is 1 is compared; a value without
a mask is compared whole. Errors are those of ENA's driver.`,
		Example: `  nitrod queues steer add --eni app --location 0 --type udp4 --dport 5201 --queue 3`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f := cmd.Flags()
			if f.Changed("location") {
				r.Location = &location
			}
			if f.Changed("sport") && !f.Changed("sport-mask") {
				r.SrcPortMask = 0xffff
			}
			if f.Changed("dport") && !f.Changed("dport-mask") {
				r.DstPortMask = 0xffff
			}
			if f.Changed("tos") && !f.Changed("tos-mask") {
				r.TOSMask = 0xff
			}
			return control.NewClient(c.socket).Post("/v1/queues/steer", &r, new(struct{}))
		},
	}
	c.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&r.ENI, "eni", "", "the ENI")
	f.Uint32Var(&location, "location", 0, "the rule's index, which must be free")
	f.Uint16Var(&r.Queue, "queue", 0, "the receive queue")
	f.StringVar(&r.Type, "type", "", "ip4, ip6, tcp4, tcp6, udp4 or udp6")
	f.StringVar(&r.Src, "src", "", "source address")
	f.StringVar(&r.SrcMask, "src-mask", "", "its mask, written as an address")
	f.StringVar(&r.Dst, "dst", "", "destination address")
	f.StringVar(&r.DstMask, "dst-mask", "", "its mask, written as an address")
	f.Uint16Var(&r.SrcPort, "sport", 0, "source port")
	f.Uint16Var(&r.SrcPortMask, "sport-mask", 0, "its mask")
	f.Uint16Var(&r.DstPort, "dport", 0, "destination port")
	f.Uint16Var(&r.DstPortMask, "dport-mask", 0, "its mask")
	f.Uint8Var(&r.TOS, "tos", 0, "type of service, of IPv4")
	f.Uint8Var(&r.TOSMask, "tos-mask", 0, "its mask")
	return cmd
}

func newSteerRemove() *cobra.Command {
	var c client
	var eni string
	var location uint32
	cmd := &cobra.Command{
		Use:   "remove --eni ENI --location N",
		Short: "Remove a steering rule",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("location") {
				return usageError{errors.New("remove needs --location")}
			}
			return control.NewClient(c.socket).Delete("/v1/queues/steer", url.Values{
				"eni": {eni}, "location": {strconv.FormatUint(uint64(location), 10)},
			})
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&eni, "eni", "", "the ENI")
	cmd.Flags().Uint32Var(&location, "location", 0, "the rule's index")
	return cmd
}
