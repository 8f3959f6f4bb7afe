package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/nitrod/nitrod/internal/control"
	"github.com/nitrod/nitrod/internal/daemon"
	"github.com/nitrod/nitrod/internal/simport"
	"github.com/nitrod/nitrod/internal/wiring"
	"github.com/nitrod/nitrod/policy"
	"github.com/spf13/cobra"
)

func newExplain() *cobra.Command {
	var c client
	var req control.ExplainRequest
	var icmpType uint8
	var file, pcap string
	var number int
	cmd := &cobra.Command{
		Use:   "explain (--src ADDRESS --dst ADDRESS | --frame HEX | --pcap FILE)",
		Short: "Say what would become of a packet now, stage by stage, and why",
		Long: `explain asks the running daemon what it would do with a packet now: each stage's
verdict and why, the receive queue, what is left of the session's idle time and
of the limits that the packet may meet. With --config it asks a configuration
file alone, as a daemon would begin with it: without sessions, and with hash keys
of its own. The packet is a tuple, sent as a guest would send it, or a whole
frame, in hexadecimal or from a capture. Nothing is changed by asking.`,
		Example: `  nitrod explain --src 10.0.1.10 --dst 10.0.2.10 --dport 8080
  nitrod explain -c vpc.yaml --src 10.0.1.10 --dst 10.0.2.10 --both
  nitrod explain --pcap capture.pcap --number 3 --from web
  nitrod explain --protocol udp --src 10.0.1.10 --sport 5000 --dst 10.0.2.10 --dport 5201
  nitrod explain --eni web --frame '0200 0000 ...'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if pcap != "" {
				frame, err := capturedFrame(pcap, number)
				if err != nil {
					return usageError{err}
				}
				req.Frame = hex.EncodeToString(frame)
			}
			if req.Frame == "" && (req.Src == "" || req.Dst == "") {
				return usageError{fmt.Errorf("explain needs --src and --dst, or --frame, or --pcap")}
			}
			if cmd.Flags().Changed("icmp-type") {
				req.ICMPType = &icmpType
			}
			x := new(control.Explanation)
			var err error
			if file != "" {
				x, err = explainFile(file, &req)
			} else {
				err = control.NewClient(c.socket).Post("/v1/explain", &req, x)
			}
			if err != nil {
				return err
			}
			return c.show(cmd.OutOrStdout(), x, func(w io.Writer) { printExplanation(w, x) })
		},
	}
	c.flags(cmd)
	f := cmd.Flags()
	f.StringVarP(&file, "config", "c", "", "ask this configuration file instead of the running daemon")
	f.BoolVar(&req.Both, "both", false, "say also what would become of the answer")
	f.StringVar(&pcap, "pcap", "", "take the frame from this capture")
	f.IntVar(&number, "number", 1, "which frame of the capture, counted from 1")
	f.StringVar(&req.ENI, "from", "", "the same as --eni")
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

// capturedFrame returns a frame of a capture, by its number from 1.
func capturedFrame(path string, number int) ([]byte, error) {
	frames, err := simport.ReadPcapFile(path)
	if err != nil {
		return nil, err
	}
	if number < 1 || number > len(frames) {
		return nil, fmt.Errorf("%s has no frame %d; it has %d", path, number, len(frames))
	}
	return frames[number-1], nil
}

// explainFile explains by a configuration file alone.
func explainFile(path string, req *control.ExplainRequest) (x *control.Explanation, err error) {
	cfg, snap, err := daemon.Check(path)
	if err != nil {
		return nil, configError(err)
	}
	engine, free, err := wiring.Offline(cfg, snap)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, free()) }()
	return control.Explain(engine, req)
}

func printExplanation(w io.Writer, x *control.Explanation) {
	fmt.Fprintf(w, "packet\t%s\n", x.Packet)
	fmt.Fprintf(w, "sent by\tENI %s\n", x.ENI)
	if x.Class != "" {
		fmt.Fprintf(w, "parse\t%s\n", x.Class)
		if x.HostRule != nil {
			fmt.Fprintf(w, "dispatch\tlcore %d, by the steering rule of host at location %d\n", x.Lcore, *x.HostRule)
		} else {
			fmt.Fprintf(w, "dispatch\tshard %d, lcore %d\n", x.Shard, x.Lcore)
		}
	}
	if x.Datagram != "" {
		fmt.Fprintf(w, "fragment\t%s\n", x.Datagram)
	}
	if x.Cache != "" {
		fmt.Fprintf(w, "lookup\tflow cache %s\n", x.Cache)
	}
	printSteps(w, x.Steps)
	if x.Session != "" {
		left := ""
		if x.LeftNS > 0 {
			left = ", " + time.Duration(x.LeftNS).Round(time.Millisecond).String() + " left"
		}
		fmt.Fprintf(w, "track\t%s%s\n", x.Session, left)
	}
	if t := x.Tracked; t != nil && x.Class == "flow" {
		fmt.Fprintf(w, "tracked\t%s\n", halves(*t, x.ENI, x.Egress))
	}
	for _, l := range x.Limits {
		bites := ""
		switch {
		case l.Bites:
			bites = "\texceeded"
		case l.WaitNS != 0:
			bites = "\twaits"
		}
		fmt.Fprintf(w, "limit\t%s%s\t%s\n", l.Name, bites, l.Text)
	}
	if x.QueueWhy != "" {
		fmt.Fprintf(w, "queue\t%s\n", x.QueueWhy)
	}
	if x.Pace != "" {
		fmt.Fprintf(w, "pace\t%s\n", x.Pace)
	}
	switch {
	case x.Verdict == "drop":
		code := ""
		if x.Code != "" {
			code = " (" + x.Code + ")"
		}
		fmt.Fprintf(w, "verdict\tdrop: %s%s\n\t%s\n", x.Reason, code, x.Help)
	case x.Verdict == "forward":
		after := ""
		if x.WaitNS != 0 {
			after = ", after " + time.Duration(x.WaitNS).Round(time.Microsecond).String()
		}
		fmt.Fprintf(w, "verdict\tforward to ENI %s, its receive queue %d%s\n", x.Egress, x.Queue, after)
	default:
		fmt.Fprintf(w, "verdict\t%s\n", x.Verdict)
	}
	if x.Reply != nil {
		printReply(w, x.Reply)
	}
}

func printSteps(w io.Writer, steps []policy.Step) {
	for _, s := range steps {
		rule := s.Object
		if s.Rule != "" {
			rule += " " + s.Rule
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", s.Stage, s.Outcome, rule, s.Text)
	}
}

// halves says where a flow is tracked, and what decides on its packets where it
// is not.
func halves(tracked [2]bool, from, to string) string {
	switch tracked {
	case [2]bool{true, true}:
		return fmt.Sprintf("at ENI %s and at ENI %s: answers pass by the session", from, to)
	case [2]bool{true, false}:
		return fmt.Sprintf("at ENI %s; not at ENI %s, whose rules admit both ways from and to anywhere", from, to)
	case [2]bool{false, true}:
		return fmt.Sprintf("at ENI %s; not at ENI %s, whose rules admit both ways from and to anywhere", to, from)
	}
	return "nowhere: the rules of both ENIs admit both ways from and to anywhere, and judge every packet"
}

func printReply(w io.Writer, r *control.Reply) {
	fmt.Fprintf(w, "\nTHE ANSWER\n")
	fmt.Fprintf(w, "sent by\tENI %s\n", r.ENI)
	printSteps(w, r.Steps)
	if r.Verdict != "forward" {
		code := ""
		if r.Code != "" {
			code = " (" + r.Code + ")"
		}
		fmt.Fprintf(w, "verdict\tdrop: %s%s\n\t%s\n", r.Reason, code, r.Help)
		return
	}
	fmt.Fprintf(w, "verdict\tforward to ENI %s\n", r.Egress)
}
