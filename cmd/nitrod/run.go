package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/nitrod/nitrod/internal/config"
	"github.com/nitrod/nitrod/internal/daemon"
	"github.com/nitrod/nitrod/policy"
	"github.com/spf13/cobra"
)

func newRun() *cobra.Command {
	var file string
	var opts daemon.Options
	c := &cobra.Command{
		Use:   "run -c FILE",
		Short: "Carry packets in the foreground until SIGINT, SIGTERM or SIGHUP",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, snap, err := daemon.Check(file)
			if err != nil {
				return configError(err)
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
			defer stop()
			opts.Version, opts.Out = version, cmd.OutOrStdout()
			return daemon.Run(ctx, cfg, snap, opts)
		},
	}
	c.Flags().StringVarP(&file, "config", "c", "/etc/nitrod/nitrod.yaml", "configuration file")
	c.Flags().BoolVar(&opts.NoHuge, "no-huge", false, "use no hugepages, whatever the file says")
	c.Flags().BoolVar(&opts.Demo, "demo", false, "serve HTTP and iperf3 in the taps' namespaces, say what to try, show live counters")
	return c
}

func newCheck() *cobra.Command {
	var file string
	var asJSON bool
	c := &cobra.Command{
		Use:   "check -c FILE",
		Short: "Validate a configuration file and say what is wrong with it, by line",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, _, err := daemon.Check(file)
			if asJSON {
				return checkJSON(cmd, err)
			}
			if err != nil {
				return configError(err)
			}
			o := &cfg.Objects
			fmt.Fprintf(cmd.OutOrStdout(), "%s is valid: %s, %s, %s, %s, %s\n", file,
				counted(len(o.VPCs), "VPC"), counted(len(o.Subnets), "subnet"), counted(len(o.SecurityGroups), "security group"),
				counted(len(o.NetworkACLs), "network ACL"), counted(len(o.ENIs), "ENI"))
			for i := range o.Instances {
				if limits := config.Limits(&o.Instances[i]); limits != "" {
					fmt.Fprintf(cmd.OutOrStdout(), "instance %q is limited: %s\n", o.Instances[i].ID, limits)
				}
			}
			return nil
		},
	}
	c.Flags().StringVarP(&file, "config", "c", "/etc/nitrod/nitrod.yaml", "configuration file")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// configError marks a file that cannot be read as a fault of the configuration.
func configError(err error) error {
	var bad config.Errors
	if errors.As(err, &bad) {
		return err
	}
	return usageError{err}
}

type problem struct {
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
	Text   string `json:"error"`
}

// checkJSON prints what is wrong as a list, which is empty for a valid file.
func checkJSON(cmd *cobra.Command, err error) error {
	problems := []problem{}
	var bad config.Errors
	switch {
	case errors.As(err, &bad):
		for _, e := range bad {
			problems = append(problems, problemOf(e))
		}
	case err != nil:
		problems = append(problems, problem{Text: err.Error()})
	}
	if e := json.NewEncoder(cmd.OutOrStdout()).Encode(problems); e != nil {
		return e
	}
	if err != nil {
		return configError(err)
	}
	return nil
}

func problemOf(e *policy.Error) problem {
	return problem{e.Pos.File, e.Pos.Line, e.Pos.Column, e.Msg}
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
