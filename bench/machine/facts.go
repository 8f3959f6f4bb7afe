// Package machine tells what the benchmark ran on, and lends it hugepages.
package machine

import (
	"context"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// Facts are what one must know of a machine to compare two runs: figures of
// different machines are not comparable, ratios within one run nearly are.
type Facts struct {
	CPU    string `json:"cpu"`
	CPUs   int    `json:"cpus"`
	Kernel string `json:"kernel"`
	DPDK   string `json:"dpdk"`
	OVS    string `json:"ovs"` // empty where it is not installed
	Go     string `json:"go"`
	Date   string `json:"date"` // RFC 3339, UTC
	Commit string `json:"commit"`
	NoHuge bool   `json:"no_huge"`
}

// Collect gathers the facts. What cannot be found out stays empty.
func Collect(ctx context.Context) Facts {
	cpuinfo, _ := os.ReadFile("/proc/cpuinfo")
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	f := Facts{
		CPU:    cpuModel(string(cpuinfo)),
		CPUs:   runtime.NumCPU(),
		Kernel: strings.TrimSpace(string(kernel)),
		DPDK:   says(ctx, "pkg-config", "--modversion", "libdpdk"),
		OVS:    lastWord(says(ctx, "ovs-vswitchd", "--version")),
		Go:     runtime.Version(),
		Date:   time.Now().UTC().Format(time.RFC3339),
		Commit: says(ctx, "git", "rev-parse", "--short=12", "HEAD"),
	}
	if f.Commit != "" && says(ctx, "git", "status", "--porcelain", "--untracked-files=no") != "" {
		f.Commit += "+changes"
	}
	return f
}

// cpuModel returns the processor's name in the text of /proc/cpuinfo.
func cpuModel(cpuinfo string) string {
	for line := range strings.Lines(cpuinfo) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// says returns the first line of what a command prints; "" if it fails.
func says(ctx context.Context, name string, args ...string) string {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).Output()
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimSpace(line)
}

func lastWord(s string) string {
	return s[strings.LastIndexByte(s, ' ')+1:]
}
