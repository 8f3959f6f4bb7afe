package main

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nitrod/nitrod/internal/control"
	"github.com/spf13/cobra"
)

func newBursts() *cobra.Command {
	var c client
	var eni string
	var limit int
	cmd := &cobra.Command{
		Use:   "bursts",
		Short: "Show bursts of the receive queues, and what averages hide",
		Long: `bursts draws, for every receive queue that has seen packets, its fullest windows
of 10 us, 100 us and 1 ms beside the average of the last second, and lists the
bursts that are kept, the youngest first: when, how long, how much, what was
dropped, what the one-second average said meanwhile, the shape and the largest
flows. What makes a burst is in the configuration's section bursts.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 {
				return usageError{errors.New("--limit is not above zero")}
			}
			q := url.Values{"limit": {strconv.Itoa(limit)}}
			if eni != "" {
				q.Set("eni", eni)
			}
			var b control.Bursts
			if err := control.NewClient(c.socket).Get("/v1/bursts", q, &b); err != nil {
				return err
			}
			return c.show(cmd.OutOrStdout(), b, func(w io.Writer) { printBursts(w, &b) })
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&eni, "eni", "", "only the queues of this ENI")
	cmd.Flags().IntVar(&limit, "limit", 20, "at most so many bursts")
	return cmd
}

func printBursts(w io.Writer, b *control.Bursts) {
	if len(b.Queues) == 0 {
		fmt.Fprintln(w, "The queues are not measured: see measure in the configuration's section bursts.")
		return
	}
	quiet := 0
	for i := range b.Queues {
		if q := &b.Queues[i]; q.Packets == 0 && q.Drops == 0 {
			quiet++
		} else {
			printBurstQueue(w, q)
		}
	}
	if quiet != 0 {
		fmt.Fprintf(w, "%s without packets\n\n", counted(quiet, "queue"))
	}
	if len(b.Events) == 0 {
		fmt.Fprintln(w, "No bursts.")
		return
	}
	fmt.Fprintln(w, "BURST AT (UTC)\tQUEUE\tLENGTH\tBYTES\tPACKETS\tMEAN\tPEAK\t1 s SAID\tRING\tDROPPED\tSHAPE\tLARGEST FLOW")
	for i := range b.Events {
		e := &b.Events[i]
		fmt.Fprintf(w, "%s\t%s:%d\t%s\t%d\t%d\t%s\t%s\t%s\t%d/%d\t%d\t%s\t%s\n", time.Unix(0, e.TimeNS).UTC().Format("15:04:05.000000"),
			e.ENI, e.Queue, time.Duration(e.LengthNS), e.Bytes, e.Packets, bitRate(e.MeanRate), bitRate(e.PeakRate), bitRate(e.SecondRate),
			e.Depth, e.Ring, e.Drops, shape(e.Shape), largestFlow(e))
	}
}

// printBurstQueue draws a queue's windows as bars, and its histograms.
func printBurstQueue(w io.Writer, q *control.BurstQueue) {
	fmt.Fprintf(w, "%s:%d on lcore %d: %s told, %d too short; %d packets, %d dropped; ring of %d, at most %d in it\n",
		q.ENI, q.Queue, q.Lcore, counted(int(q.Bursts), "burst"), q.Short, q.Packets, q.Drops, q.Ring, q.HighWater)
	most := q.SecondRate
	for _, p := range q.Windows {
		most = max(most, p.PeakRate)
	}
	for _, p := range q.Windows {
		fmt.Fprintf(w, "  peak in %s\t%s\t%s\n", time.Duration(p.LengthNS), bitRate(p.PeakRate), bar(p.PeakRate, most))
	}
	fmt.Fprintf(w, "  last second\t%s\t%s\n", bitRate(q.SecondRate), bar(q.SecondRate, most))
	fmt.Fprintf(w, "  packets queued in a round\t%s\n", histogram(q.Fill))
	fmt.Fprintf(w, "  packets in the ring\t%s\n\n", histogram(q.Depth))
}

// barWidth is how many characters the longest bar takes.
const barWidth = 40

// bar draws n as a part of most.
func bar(n, most uint64) string {
	if most == 0 {
		return ""
	}
	eighths := int(float64(n) / float64(most) * barWidth * 8)
	full, rest := strings.Repeat("█", eighths/8), eighths%8
	if rest == 0 {
		return full
	}
	return full + string([]rune("▏▎▍▌▋▊▉")[rest-1])
}

var levels = []rune("▁▂▃▄▅▆▇█")

// shape draws the bytes of a burst over its time, of whose steps nothing came in
// those that are blank.
func shape(bytes []uint32) string {
	most := slices.Max(append([]uint32{1}, bytes...))
	var b strings.Builder
	for _, n := range bytes {
		if n == 0 {
			b.WriteRune(' ')
		} else {
			b.WriteRune(levels[uint64(n-1)*uint64(len(levels))/uint64(most)])
		}
	}
	return b.String()
}

// histogram lists the buckets that are not empty with their part of all.
func histogram(buckets []uint64) string {
	total := uint64(0)
	for _, n := range buckets {
		total += n
	}
	var parts []string
	for i, n := range buckets {
		if n == 0 {
			continue
		}
		name := "0"
		switch {
		case i == len(buckets)-1:
			name = strconv.Itoa(1<<(i-1)) + " and more"
		case i > 1:
			name = strconv.Itoa(1<<(i-1)) + "-" + strconv.Itoa(1<<i-1)
		case i == 1:
			name = "1"
		}
		parts = append(parts, name+": "+percent(float64(n)/float64(total)))
	}
	return strings.Join(parts, "  ")
}

func bitRate(bits uint64) string {
	for _, u := range []struct {
		size float64
		name string
	}{{1e9, "Gbit/s"}, {1e6, "Mbit/s"}, {1e3, "kbit/s"}} {
		if float64(bits) >= u.size {
			return strconv.FormatFloat(float64(bits)/u.size, 'f', 2, 64) + " " + u.name
		}
	}
	return strconv.FormatUint(bits, 10) + " bit/s"
}

func largestFlow(e *control.Burst) string {
	if len(e.Flows) == 0 {
		return ""
	}
	f := &e.Flows[0]
	return percent(float64(f.Bytes)/float64(max(1, e.Bytes))) + " " + f.Protocol + " " + endpoint(f.Src, f.SrcPort) + " > " + endpoint(f.Dst, f.DstPort)
}
