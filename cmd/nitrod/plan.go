package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/nitrod/nitrod/internal/config"
	"github.com/nitrod/nitrod/internal/control"
	"github.com/nitrod/nitrod/internal/daemon"
	"github.com/nitrod/nitrod/internal/plan"
	"github.com/nitrod/nitrod/policy"
	"github.com/spf13/cobra"
)

// planPatience is how long a plan may take: a host may have millions of flows.
const planPatience = 10 * time.Minute

func newPlan() *cobra.Command {
	var c client
	var against string
	var flows int
	var failOnLoss bool
	cmd := &cobra.Command{
		Use:   "plan NEW",
		Short: "Say what a configuration file would change: objects, rules that do nothing, flows that would die",
		Long: `plan compares a configuration file with the running daemon's, or with another
file, and puts nothing in force. It lists the objects and keys that differ, and
which need a restart; the ENIs at which another policy would apply; rules, routes
and objects of the new file that do nothing. Of a running daemon it also tells
what would become of the flows that live now: which would be dropped, or led
another way, by which rule.`,
		Example: `  nitrod plan new.yaml
  nitrod plan new.yaml --flows 20 --fail-on-loss
  nitrod plan new.yaml --against old.yaml`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if flows < 0 || flows > plan.MaxFlows {
				return usageError{fmt.Errorf("--flows is not between 0 and %d", plan.MaxFlows)}
			}
			if against != "" && failOnLoss {
				return usageError{errors.New("--fail-on-loss is about the flows of a daemon, and --against asks none")}
			}
			p, err := makePlan(&c, args[0], against, flows)
			if err != nil {
				return err
			}
			if err := c.show(cmd.OutOrStdout(), p, func(w io.Writer) { printPlan(w, p) }); err != nil {
				return err
			}
			if n := p.Live; failOnLoss && n.Lost+n.Drains > 0 {
				return lossError{n.Lost + n.Drains}
			}
			return nil
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&against, "against", "", "compare with this file instead of the running daemon")
	cmd.Flags().IntVar(&flows, "flows", 3, "list so many flows of each group")
	cmd.Flags().BoolVar(&failOnLoss, "fail-on-loss", false, fmt.Sprintf("exit with code %d if live flows would end", exitLoss))
	return cmd
}

// lossError says that a plan, asked to fail then, found flows that would die.
type lossError struct{ flows int }

func (e lossError) Error() string { return counted(e.flows, "live flow") + " would end" }

func makePlan(c *client, file, against string, flows int) (*plan.Plan, error) {
	cfg, snap, err := daemon.Check(file) // so that its mistakes are told as check tells them
	if err != nil {
		return nil, configError(err)
	}
	if against == "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, usageError{err}
		}
		p := new(plan.Plan)
		req := control.PlanRequest{File: file, Text: string(text), Flows: flows}
		return p, control.NewPatientClient(c.socket, planPatience).Post("/v1/plan", &req, p)
	}
	old, prev, err := daemon.Check(against)
	if err != nil {
		return nil, configError(err)
	}
	if snap, err = policy.Compile(&cfg.Objects, prev); err != nil {
		return nil, configError(err)
	}
	return plan.Compare(old, cfg, prev, snap), nil
}

func printPlan(w io.Writer, p *plan.Plan) {
	fmt.Fprintf(w, "%s against %s\n", p.New, p.Old)
	printChanges(w, p)
	if len(p.ENIs) != 0 {
		fmt.Fprintf(w, "\nENIS WITH ANOTHER POLICY\n")
		for i := range p.ENIs {
			e := &p.ENIs[i]
			why := string(e.What)
			if len(e.Why) != 0 {
				why = "because of " + strings.Join(e.Why, ", ")
			}
			fmt.Fprintf(w, "  %s: %s\n", e.ENI, why)
		}
		more(w, p.ENIsLeft)
	}
	printFindings(w, p)
	if p.Live != nil {
		printLive(w, p.Live)
	}
}

func printChanges(w io.Writer, p *plan.Plan) {
	if len(p.Changes) == 0 {
		fmt.Fprintf(w, "\nNothing differs.\n")
		return
	}
	fmt.Fprintf(w, "\nCHANGES\n")
	mark := map[config.ChangeKind]string{config.Added: "+", config.Removed: "-", config.Changed: "~"}
	for i := range p.Changes {
		c := &p.Changes[i]
		restart := ""
		if c.Restart {
			restart = "  [restart needed]"
		}
		fmt.Fprintf(w, "  %s %s%s\n", mark[c.What], c.String(), restart)
	}
	more(w, p.ChangesLeft)
	if p.Restart {
		fmt.Fprintf(w, "What is marked is made at the start; a running nitrod cannot take it up.\n")
	}
}

func printFindings(w io.Writer, p *plan.Plan) {
	if len(p.Findings) == 0 {
		return
	}
	fmt.Fprintf(w, "\nWHAT DOES NOTHING\n")
	for i := range p.Findings {
		f := &p.Findings[i]
		where, known := f.Where, ""
		if where != "" {
			where += ": "
		}
		if !f.New {
			known = " (so does the old file's)"
		}
		fmt.Fprintf(w, "  %s%s%s\n", where, f.Text, known)
	}
	more(w, p.FindingLeft)
}

// fates are what the fates of flows are called.
var fates = map[plan.FlowFate]string{
	plan.Lost: "would be dropped", plan.Drains: "would be ended later", plan.OtherWay: "would go another way",
	plan.ByRules: "would pass by the rules, not by their session", plan.Tracked: "would be tracked where they are not now",
	plan.Admitted: "are refused now and would pass",
}

func printLive(w io.Writer, l *plan.Live) {
	fmt.Fprintf(w, "\nLIVE FLOWS\n")
	fmt.Fprintf(w, "  %s tracked; %s at ENIs with another policy, of which %d would go on as they are\n",
		counted(l.Sessions, "connection"), counted(l.Touched, "flow"), l.Stay)
	for _, f := range []struct {
		n    int
		fate plan.FlowFate
	}{{l.Lost, plan.Lost}, {l.Drains, plan.Drains}, {l.OtherWay, plan.OtherWay}, {l.ByRules, plan.ByRules}, {l.Tracked, plan.Tracked}, {l.Admitted, plan.Admitted}} {
		if f.n != 0 {
			fmt.Fprintf(w, "  %d %s\n", f.n, fates[f.fate])
		}
	}
	for i := range l.Groups {
		g := &l.Groups[i]
		what := fates[g.Fate]
		if g.Reason != "" {
			what += ": " + g.Reason
		}
		if g.Code != "" {
			what += " (" + g.Code + ")"
		}
		if g.Reply {
			what = "replies of these " + what
		}
		fmt.Fprintf(w, "\n  %s: %s\n    %s\n", counted(g.Flows, "flow"), what, g.Text)
		for j := range g.List {
			f := &g.List[j]
			way := f.From + " to " + f.To
			if f.Then != "" && f.Then != f.To {
				way += ", then " + f.Then
			}
			state := ""
			if f.State != "" {
				state = ", " + f.State
			}
			fmt.Fprintf(w, "      %s (%s%s)\n", f.Tuple, way, state)
		}
		if left := g.Flows - len(g.List); left > 0 && len(g.List) != 0 {
			fmt.Fprintf(w, "      and %d more\n", left)
		}
	}
	if l.GroupsLeft != 0 {
		fmt.Fprintf(w, "\n  and %s for other causes\n", counted(l.GroupsLeft, "flow"))
	}
}

func more(w io.Writer, left int) {
	if left != 0 {
		fmt.Fprintf(w, "  and %d more\n", left)
	}
}
