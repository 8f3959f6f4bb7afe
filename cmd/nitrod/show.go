package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/nitrod/nitrod/internal/control"
	"github.com/spf13/cobra"
)

// client is the flags that every command has which asks a running daemon.
type client struct {
	socket string
	json   bool
}

func (c *client) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.socket, "socket", control.DefaultSocket, "control socket of the daemon")
	cmd.Flags().BoolVar(&c.json, "json", false, "print JSON")
}

// show prints v as JSON, or by text.
func (c *client) show(w io.Writer, v any, text func(io.Writer)) error {
	if c.json {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(v)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	text(t)
	return t.Flush()
}

func newStats() *cobra.Command {
	var c client
	cmd := &cobra.Command{
		Use:   "stats",
		Short: "Show counters: packets, drops by reason, ENIs, lcores",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var s control.Stats
			if err := control.NewClient(c.socket).Get("/v1/stats", nil, &s); err != nil {
				return err
			}
			return c.show(cmd.OutOrStdout(), s, func(w io.Writer) { printStats(w, &s) })
		},
	}
	c.flags(cmd)
	return cmd
}

func printStats(w io.Writer, s *control.Stats) {
	fmt.Fprintf(w, "up\t%s\n", time.Duration(s.UptimeNS).Round(time.Second))
	fmt.Fprintf(w, "packets\trx %d + originated %d = tx %d + dropped %d + consumed %d + held %d\n",
		s.Rx, s.Originated, s.Tx, s.Dropped, s.Consumed, s.Held)
	fmt.Fprintf(w, "decided\tby the flow cache %d, by the slow path %d, of which %d had waited; %d flows judged anew\n", s.FlowHits, s.SlowPath, s.Waited, s.Redecided)
	fmt.Fprintf(w, "flows\t%d now, %d made room for others\n", s.Flows, s.Evicted)
	fmt.Fprintf(w, "sessions\t%d now, %d begun, %d ended by idle time\n", s.Sessions, s.Begun, s.Expired)
	if early := s.Early; early["half_open"]+early["closing"]+early["one_way"] != 0 {
		fmt.Fprintf(w, "ended early\t%d half open, %d closing, %d one-way\n", early["half_open"], early["closing"], early["one_way"])
	}
	fmt.Fprintf(w, "router\t%d packets sent on in pieces, %d ICMP errors to their senders\n", s.Fragmented, s.ICMPErrors)
	fmt.Fprintf(w, "fragments\t%d waited for the first one of their datagram\n", s.FragmentsWaited)
	fmt.Fprintf(w, "buffers\t%d of %d free; tables in %s memory\n", s.Mbufs.Available, s.Mbufs.Total, s.TableMem)
	if lost := driverLosses(&s.Driver); lost != "" {
		fmt.Fprintf(w, "drivers\t%s\n", lost)
	}
	if len(s.Drops) > 0 {
		fmt.Fprintf(w, "\nDROPS\tPACKETS\n")
		for _, r := range slices.Sorted(maps.Keys(s.Drops)) {
			fmt.Fprintf(w, "%s\t%d\n", r, s.Drops[r])
		}
	}
	fmt.Fprintf(w, "\nENI\tPORT\tLINK\tRECEIVED\tBYTES\tSENT\tBYTES\tDROPPED\n")
	for _, id := range slices.Sorted(maps.Keys(s.ENIs)) {
		e := s.ENIs[id]
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\n", id, e.Port, e.Link, e.RxPackets, e.RxBytes, e.TxPackets, e.TxBytes, e.Drops)
	}
	printExceeded(w, s.ENIs)
	printLimits(w, s.ENIs)
	fmt.Fprintf(w, "\nENI\tTRACKED\tAVAILABLE\tHALF OPEN\n")
	for _, id := range slices.Sorted(maps.Keys(s.ENIs)) {
		e := s.ENIs[id]
		fmt.Fprintf(w, "%s\t%d\t%s\t%d\n", id, e.ConntrackUsed, available(e.ConntrackAvailable), e.HalfOpen)
	}
	if len(s.Instances) > 0 {
		fmt.Fprintf(w, "\nINSTANCE\tTRACKED\tAVAILABLE\tEXCEEDED\n")
		for _, id := range slices.Sorted(maps.Keys(s.Instances)) {
			i := s.Instances[id]
			fmt.Fprintf(w, "%s\t%d\t%s\t%d\n", id, i.Used, available(i.Available), i.Exceeded)
		}
	}
	fmt.Fprintf(w, "\nLCORE\tCPU\tSHARDS\tRX\tTX\tHITS\tSLOW PATH\tHANDED OVER\tGAP P50\tP99\tP99.99\tMAX\n")
	for i, l := range s.Lcores {
		fmt.Fprintf(w, "%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%s\t%s\t%s\t%s\n", i, l.CPU, l.Shards, l.Rx, l.Tx, l.FlowHits, l.SlowPath, l.HandOver,
			time.Duration(l.Gaps.P50), time.Duration(l.Gaps.P99), time.Duration(l.Gaps.P9999), time.Duration(l.Gaps.Max))
	}
	printPolling(w, s)
}

// printPolling lists how the lcores poll, and what share of the time since start
// they have rested.
func printPolling(w io.Writer, s *control.Stats) {
	share := func(ns int64) string {
		return strconv.FormatFloat(100*float64(ns)/float64(max(s.UptimeNS, 1)), 'f', 2, 64) + " %"
	}
	fmt.Fprintf(w, "\nLCORE\tPOLLING\tINTERRUPTS\tNOW\tRX USECS\tTX USECS\tPAUSED\tASLEEP\tSLEEPS\tWOKEN\n")
	for i, l := range s.Lcores {
		p := &l.Polling
		interrupts, rx := "no", strconv.Itoa(p.RxUsecs)
		if p.Interrupts {
			interrupts = "yes"
		}
		if p.AdaptiveRx {
			rx += " adaptive"
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%d\t%s\t%s\t%d\t%d\n", i, p.Mode, interrupts, p.Rest, rx, p.TxUsecs,
			share(p.PausedNS), share(p.AsleepNS), p.Sleeps, p.Woken)
	}
}

// available writes what is left of an allowance; nil is without a limit.
func available(left *int64) string {
	if left == nil {
		return "no limit"
	}
	return strconv.FormatInt(*left, 10)
}

// printLimits lists the limits that have held packets of ENIs back.
func printLimits(w io.Writer, enis map[string]control.ENI) {
	heading := "\nENI\tLIMIT\tQUEUED\tDROPPED\n"
	for _, id := range slices.Sorted(maps.Keys(enis)) {
		for _, kind := range slices.Sorted(maps.Keys(enis[id].Limits)) {
			c := enis[id].Limits[kind]
			fmt.Fprintf(w, "%s%s\t%s\t%d\t%d\n", heading, id, kind, c.Queued, c.Dropped)
			heading = ""
		}
	}
}

// printExceeded lists the allowances that ENIs have exceeded.
func printExceeded(w io.Writer, enis map[string]control.ENI) {
	heading := "\nENI\tEXCEEDED\tPACKETS\n"
	for _, id := range slices.Sorted(maps.Keys(enis)) {
		e := enis[id]
		for _, c := range []struct {
			name string
			n    uint64
		}{
			{"bw_in_allowance_exceeded", e.BWInExceeded},
			{"bw_out_allowance_exceeded", e.BWOutExceeded},
			{"pps_allowance_exceeded", e.PPSExceeded},
			{"conntrack_allowance_exceeded", e.ConntrackExceeded},
			{"linklocal_allowance_exceeded", e.LinkLocalExceeded},
		} {
			if c.n != 0 {
				fmt.Fprintf(w, "%s%s\t%s\t%d\n", heading, id, c.name, c.n)
				heading = ""
			}
		}
	}
}

// driverLosses lists the counters of drivers that tell of packets lost and are
// not zero.
func driverLosses(d *control.Driver) string {
	var lost []string
	for _, c := range []struct {
		name string
		n    uint64
	}{
		{"rx_missed", d.RxMissed}, {"rx_no_buffer", d.RxNoBuffer}, {"rx_errors", d.RxErrors},
		{"rx_bad_checksum", d.RxBadCsum}, {"rx_oversized", d.RxOversized},
		{"tx_errors", d.TxErrors}, {"tx_unchained", d.TxUnchained}, {"bad_resizes", d.BadResizes},
	} {
		if c.n != 0 {
			lost = append(lost, c.name+" "+strconv.FormatUint(c.n, 10))
		}
	}
	return strings.Join(lost, ", ")
}

// newList makes a command that lists what the daemon has at path; lines prints
// the items as a table.
func newList[T any](use, short, path string, lines func(io.Writer, []T)) *cobra.Command {
	var c client
	var eni string
	var limit int
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 {
				return usageError{errors.New("--limit is not above zero")}
			}
			q := url.Values{"limit": {strconv.Itoa(limit)}}
			if eni != "" {
				q.Set("eni", eni)
			}
			var items []T
			if err := control.NewClient(c.socket).Get(path, q, &items); err != nil {
				return err
			}
			return c.show(cmd.OutOrStdout(), items, func(w io.Writer) {
				lines(w, items)
				if len(items) >= min(limit, control.MaxItems) {
					fmt.Fprintf(w, "There may be more than these %d: see --limit.\n", len(items))
				}
			})
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&eni, "eni", "", "only those of this ENI")
	cmd.Flags().IntVar(&limit, "limit", 1000, "at most so many, and at most "+strconv.Itoa(control.MaxItems))
	return cmd
}

func newFlows() *cobra.Command {
	return newList("flows", "List the flow cache: what is accelerated, one line for each direction", "/v1/flows", printFlows)
}

func printFlows(w io.Writer, flows []control.Flow) {
	fmt.Fprintln(w, "ENI\tPROTOCOL\tSOURCE\tDESTINATION\tPATH\tVERDICT\tEGRESS\tQUEUE\tDIRECTION\tIDLE")
	for _, f := range flows {
		verdict := f.Verdict
		if f.Reason != "" {
			verdict += " (" + f.Reason + ")"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\n", f.ENI, f.Protocol, endpoint(f.Src, f.SrcPort),
			endpoint(f.Dst, f.DstPort), f.Path, verdict, f.Egress, f.Queue, f.Dir, time.Duration(f.IdleNS).Round(time.Second))
	}
}

func newConntrack() *cobra.Command {
	return newList("conntrack", "List the tracked connections", "/v1/conntrack", printSessions)
}

func printSessions(w io.Writer, sessions []control.Session) {
	fmt.Fprintln(w, "PROTOCOL\tSTATE\tORIGINATOR\tSOURCE\tRESPONDER\tDESTINATION\tPACKETS\tREPLIES\tIDLE\tTIMEOUT")
	for _, s := range sessions {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t%s\t%s\n", s.Protocol, s.State, s.Originator, endpoint(s.Src, s.SrcPort),
			s.Responder, endpoint(s.Dst, s.DstPort), s.OutPackets, s.BackPackets,
			time.Duration(s.IdleNS).Round(time.Millisecond), time.Duration(s.TimeoutNS))
	}
}

func endpoint(addr string, port uint16) string {
	if strings.Contains(addr, ":") {
		addr = "[" + addr + "]"
	}
	return addr + ":" + strconv.Itoa(int(port))
}

func newVersion() *cobra.Command {
	var c client
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Show this program's version, and the running daemon's",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out := struct {
				Program string           `json:"program"`
				Daemon  *control.Version `json:"daemon,omitempty"`
			}{Program: version}
			var v control.Version
			switch err := control.NewClient(c.socket).Get("/v1/version", nil, &v); {
			case err == nil:
				out.Daemon = &v
			case !errors.Is(err, control.ErrNotRunning):
				return err
			}
			return c.show(cmd.OutOrStdout(), out, func(w io.Writer) {
				fmt.Fprintf(w, "nitrod\t%s\n", version)
				if out.Daemon == nil {
					fmt.Fprintf(w, "daemon\tnot running\n")
					return
				}
				fmt.Fprintf(w, "daemon\t%s, %s, %s\n", v.Nitrod, v.DPDK, v.Go)
			})
		},
	}
	c.flags(cmd)
	return cmd
}
