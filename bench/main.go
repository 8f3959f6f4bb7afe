// The benchmark compares nitrod with testpmd's io mode (the floor) and with
// OVS-DPDK and a conntrack pipeline, on one polling core, in one run.
//
//	go run ./bench [-quick] [-cases REGEXP] [-rounds N] [-seconds D]
//
// It needs root. It prints a table and writes bench/results/latest.json. A
// peer that is not installed leaves its column empty.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// options are the command line.
type options struct {
	cases    *regexp.Regexp
	peers    []string
	rounds   int
	duration time.Duration
	nitrod   string
	frames   string
	out      string
	cpu      int // -1: the last one that the process may use
	gaps     bool
	traffic  bool
	reload   bool
	features bool
	idle     bool
}

func main() {
	opts, err := parseFlags(os.Args[1:])
	if err != nil {
		os.Exit(2) // flag has said why
	}
	// Ctrl-C ends the run in order: every child is stopped, every directory removed.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := bench(ctx, opts); err != nil {
		if errors.Is(err, context.Canceled) {
			err = errors.New("interrupted")
		}
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parseFlags(args []string) (options, error) {
	o := options{}
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	quick := fs.Bool("quick", false, "fewer cases, one short round: below three minutes, for a first look")
	cases := fs.String("cases", "", "run only the cases whose KIND/FLOWS matches this regular expression")
	peers := fs.String("peers", "nitrod,floor,ovs_ct", "peers to measure")
	fs.IntVar(&o.rounds, "rounds", 3, "rounds in which the peers alternate")
	fs.DurationVar(&o.duration, "seconds", 3*time.Second, "length of one measurement")
	fs.StringVar(&o.nitrod, "nitrod", "build/nitrod", "nitrod's binary")
	fs.StringVar(&o.frames, "frames", "bench/frames", "directory for generated frames")
	fs.StringVar(&o.out, "out", "bench/results/latest.json", "where the figures are written")
	fs.IntVar(&o.cpu, "cpu", -1, "the polling core; -1 for the last one")
	gaps := fs.Bool("gaps", true, "measure the gaps between polls as well")
	onlyGaps := fs.Bool("only-gaps", false, "measure nothing but the gaps between polls, and write no file")
	reload := fs.Bool("reload", true, "measure changes of policy under load as well")
	onlyReload := fs.Bool("only-reload", false, "measure nothing but changes of policy under load, and write no file")
	features := fs.Bool("features", true, "measure what limits and measurements cost as well")
	onlyFeatures := fs.Bool("only-features", false, "measure nothing but what limits and measurements cost, and write no file")
	idle := fs.Bool("idle", true, "measure what an idle lcore costs as well")
	onlyIdle := fs.Bool("only-idle", false, "measure nothing but what an idle lcore costs, and write no file")
	if err := fs.Parse(args); err != nil {
		return options{}, err
	}
	fail := func(format string, a ...any) (options, error) {
		err := fmt.Errorf(format, a...)
		fmt.Fprintln(fs.Output(), "bench:", err)
		return options{}, err
	}
	if *quick {
		set := map[string]bool{}
		fs.Visit(func(f *flag.Flag) { set[f.Name] = true })
		if !set["cases"] {
			*cases = quickCases
		}
		if !set["rounds"] {
			o.rounds = 1
		}
		if !set["seconds"] {
			o.duration = time.Second
		}
	}
	var err error
	if o.cases, err = regexp.Compile(*cases); err != nil {
		return fail("-cases: %v", err)
	}
	for name := range strings.SplitSeq(*peers, ",") {
		switch name {
		case "nitrod", "floor", "ovs_ct":
			o.peers = append(o.peers, name)
		default:
			return fail("-peers: %q is none of nitrod, floor, ovs_ct", name)
		}
	}
	if o.rounds < 1 || o.duration < 100*time.Millisecond {
		return fail("-rounds must be at least 1 and -seconds at least 100ms")
	}
	if fs.NArg() > 0 {
		return fail("unexpected argument %q", fs.Arg(0))
	}
	only := *onlyGaps || *onlyReload || *onlyFeatures || *onlyIdle
	o.traffic = !only
	o.gaps = *gaps && !only || *onlyGaps
	o.reload = *reload && !only || *onlyReload
	o.features = *features && !only || *onlyFeatures
	o.idle = *idle && !only || *onlyIdle
	return o, nil
}
