package idle

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nitrod/nitrod/bench/machine"
	"github.com/nitrod/nitrod/internal/config"
	"github.com/nitrod/nitrod/policy"
)

// Every mode's configuration is one that nitrod accepts, and says what it is about.
func TestConfig(t *testing.T) {
	for _, d := range modes {
		for _, m := range d.modes {
			cfg, err := config.Parse("idle", []byte(configOf(1, "/run/idle.sock", m, d.device)), []int{0, 1})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := policy.Compile(&cfg.Objects, nil); err != nil {
				t.Fatal(err)
			}
			if string(cfg.Host.Polling) != m.polling || m.sleep != 0 && cfg.Host.IdleSleep != m.sleep {
				t.Errorf("%+v became %s, %v", m, cfg.Host.Polling, cfg.Host.IdleSleep)
			}
			if taps := strings.Contains(d.device.name(), "tap"); len(cfg.Ports) != 2 || (cfg.Ports[0].Tap != nil) != taps {
				t.Errorf("%s: ports %+v", d.device.name(), cfg.Ports)
			}
		}
	}
}

// A real lcore rests, and packets come. How long they take is not for a test to say.
func TestMeasure(t *testing.T) {
	const binary = "../../build/nitrod"
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	if _, err := os.Stat(binary); err != nil {
		t.Skip("needs build/nitrod: make build")
	}
	cpus, err := machine.AllowedCPUs()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range modes {
		t.Run(d.device.name(), func(t *testing.T) {
			o := Options{Binary: binary, TempDir: t.TempDir(), CPU: cpus[len(cpus)-1], Quiet: 50 * time.Millisecond, Probes: 5, Pause: time.Millisecond, Steps: 1}
			r, err := measure(t.Context(), o, d.device, mode{polling: "adaptive", sleep: 50 * time.Microsecond})
			if err != nil && strings.Contains(fmt.Sprint(err), "EAL did not start") {
				t.Skip(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			if r.P50 == 0 || r.P99 < r.P50 || r.CPU < 0 || r.StepPackets != stepPackets || r.StepLost < 0 || r.StepLost > stepPackets {
				t.Errorf("%+v", r)
			}
			for i := range sides {
				if _, err := os.Stat("/run/netns/" + sides[i].namespace); err == nil {
					t.Errorf("namespace %s is left behind", sides[i].namespace)
				}
			}
		})
	}
}
