// Command nitrod is a software Nitro card: it gives the guests of a host what an
// EC2 instance gets from the card below it. See README.md.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/nitrod/nitrod/internal/config"
	"github.com/spf13/cobra"
)

// version is set by the build.
var version = "unknown"

// Exit codes.
const (
	exitFailed    = 1 // something went wrong while running
	exitBadConfig = 2 // the command line or the configuration is at fault; nothing was started
	exitLoss      = 3 // a plan, asked to, found that live flows would end
)

// usageError is a mistake on the command line.
type usageError struct{ error }

func main() { os.Exit(execute(os.Args[1:], os.Stdout, os.Stderr)) }

// execute runs a command line and returns the exit code.
func execute(args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteC()
	if err == nil {
		return 0
	}
	if cmd == root { // which does nothing itself: it found no such subcommand
		err = usageError{err}
	}
	fmt.Fprintln(stderr, errorText(err))
	return exitCode(err)
}

// errorText is one line for each thing that is wrong.
func errorText(err error) string {
	var bad config.Errors
	if errors.As(err, &bad) {
		return bad.Error()
	}
	return "nitrod: " + err.Error()
}

func exitCode(err error) int {
	var bad config.Errors
	var usage usageError
	var loss lossError
	switch {
	case errors.As(err, &bad), errors.As(err, &usage):
		return exitBadConfig
	case errors.As(err, &loss):
		return exitLoss
	}
	return exitFailed
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "nitrod",
		Short: "A software Nitro card: VPC networking for VMs, containers and namespaces on DPDK",
		Long: `nitrod gives the guests of a host what an EC2 instance gets from the card below
it: network interfaces in a VPC, with security groups, network ACLs, routes and
connection tracking.

Exit codes: 0 done; 1 failed; 2 the command line or the configuration is at
fault, and nothing was started; 3 live flows would end (plan with
--fail-on-loss).`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(newRun(), newCheck(), newStats(), newFlows(), newConntrack(), newQueues(), newCoalesce(), newBursts(), newExplain(), newTest(), newPlan(), newTop(), newProfile(), newVersion())
	for _, c := range root.Commands() {
		if args := c.Args; args != nil {
			c.Args = func(cmd *cobra.Command, a []string) error {
				if err := args(cmd, a); err != nil {
					return usageError{err}
				}
				return nil
			}
		}
	}
	return root
}
