package main

import (
	"fmt"
	"io"
	"time"

	"github.com/nitrod/nitrod/internal/control"
	"github.com/spf13/cobra"
)

func newExplain() *cobra.Command {
	var c client
	var req control.ExplainRequest
	var icmpType uint8
	cmd := &cobra.Command{
		Use:   "explain (--src ADDRESS --dst ADDRESS | --frame HEX)",
		Short: "Say what the daemon would do with a packet now, stage by stage, and why",
		Long: `explain asks the running daemon what it would do with a packet now: each stage's
verdict and why. The packet is a tuple, sent as a guest would send it, or a whole
frame in hexadecimal. Nothing is changed by asking.`,
		Example: `  nitrod explain --src 10.0.1.10 --dst 10.0.2.10 --dport 8080
  nitrod explain --protocol udp --src 10.0.1.10 --sport 5000 --dst 10.0.2.10 --dport 5201
  nitrod explain --eni web --frame '0200 0000 ...'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if req.Frame == "" && (req.Src == "" || req.Dst == "") {
				return usageError{fmt.Errorf("explain needs --src and --dst, or --frame")}
			}
			if cmd.Flags().Changed("icmp-type") {
				req.ICMPType = &icmpType
			}
			var x control.Explanation
			if err := control.NewClient(c.socket).Post("/v1/explain", &req, &x); err != nil {
				return err
			}
			return c.show(cmd.OutOrStdout(), x, func(w io.Writer) { printExplanation(w, &x) })
		},
	}
	c.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&req.Frame, "frame", "", "the frame in hexadecimal; spaces and colons are ignored")
	f.StringVar(&req.ENI, "eni", "", "the ENI that sends; found by its address or MAC if not given")
	f.StringVar(&req.VPC, "vpc", "", "the VPC, where several have the source address")
	f.StringVar(&req.Protocol, "protocol", "tcp", "tcp, udp, icmp, icmpv6, or a number")
	f.StringVar(&req.Src, "src", "", "source address")
	f.StringVar(&req.Dst, "dst", "", "destination address")
	f.Uint16Var(&req.SrcPort, "sport", 40000, "source port, or the identifier of an echo")
	f.Uint16Var(&req.DstPort, "dport", 80, "destination port")
	f.StringVar(&req.TCPFlags, "tcp-flags", "S", "TCP flags by their letters, of FSRPAU")
	f.Uint8Var(&icmpType, "icmp-type", 8, "ICMP type; an echo request if not given")
	f.Uint8Var(&req.ICMPCode, "icmp-code", 0, "ICMP code")
	return cmd
}

func printExplanation(w io.Writer, x *control.Explanation) {
	fmt.Fprintf(w, "packet\t%s\n", x.Packet)
	fmt.Fprintf(w, "sent by\tENI %s\n", x.ENI)
	if x.Class != "" {
		fmt.Fprintf(w, "parse\t%s\n", x.Class)
		fmt.Fprintf(w, "dispatch\tshard %d, lcore %d\n", x.Shard, x.Lcore)
	}
	if x.Cache != "" {
		fmt.Fprintf(w, "lookup\tflow cache %s\n", x.Cache)
	}
	for _, s := range x.Steps {
		rule := s.Object
		if s.Rule != "" {
			rule += " " + s.Rule
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", s.Stage, s.Outcome, rule, s.Text)
	}
	if x.Session != "" {
		left := ""
		if x.LeftNS > 0 {
			left = ", " + time.Duration(x.LeftNS).Round(time.Millisecond).String() + " left"
		}
		fmt.Fprintf(w, "track\t%s%s\n", x.Session, left)
	}
	switch {
	case x.Verdict == "drop":
		code := ""
		if x.Code != "" {
			code = " (" + x.Code + ")"
		}
		fmt.Fprintf(w, "verdict\tdrop: %s%s\n\t%s\n", x.Reason, code, x.Help)
	case x.Verdict == "forward":
		fmt.Fprintf(w, "verdict\tforward to ENI %s, its receive queue %d\n", x.Egress, x.Queue)
	default:
		fmt.Fprintf(w, "verdict\t%s\n", x.Verdict)
	}
}
