package config

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/nitrod/nitrod/policy"
)

// Whatever the bytes, Parse returns a configuration whose parts fit together,
// or errors that point into the file.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{example, "testdata/bad/*.yaml", "testdata/objects/*.yaml"} {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, err := Parse("fuzz.yaml", data, testCPUs)
		if err == nil {
			checkLoaded(t, cfg)
			return
		}
		var errs Errors
		if cfg != nil || !errors.As(err, &errs) || len(errs) == 0 {
			t.Fatalf("Parse returned %v, %v", cfg, err)
		}
		lines, last := 1+bytes.Count(data, []byte("\n"))+bytes.Count(data, []byte("\r")), 0
		// YAML knows three more line breaks.
		for _, sep := range []string{"\u0085", "\u2028", "\u2029"} {
			lines += bytes.Count(data, []byte(sep))
		}
		for _, e := range errs {
			if e.Pos.File != "fuzz.yaml" || e.Msg == "" || e.Pos.Line > lines || e.Pos.Line < last {
				t.Errorf("bad or misplaced error in a file of %d lines: %v", lines, e)
			}
			last = e.Pos.Line
		}
	})
}

// ownerOf returns whose port stands at place i of Config.Ports.
func ownerOf(o *policy.Objects, i int) (id string, queues int) {
	if i < len(o.ENIs) {
		return o.ENIs[i].ID, o.ENIs[i].Queues
	}
	if i -= len(o.ENIs); i < len(o.Gateways) {
		return o.Gateways[i].ID, o.Gateways[i].Queues
	}
	i -= len(o.Gateways)
	return o.Services[i].ID, o.Services[i].Queues
}

func checkLoaded(t *testing.T, cfg *Config) {
	if len(cfg.Ports) != len(cfg.Objects.ENIs)+len(cfg.Objects.Gateways)+len(cfg.Objects.Services) {
		t.Fatalf("%d ports for %d ENIs, %d gateways and %d service ports", len(cfg.Ports), len(cfg.Objects.ENIs), len(cfg.Objects.Gateways), len(cfg.Objects.Services))
	}
	for i, p := range cfg.Ports {
		if id, queues := ownerOf(&cfg.Objects, i); p.ENI != id || p.TxQueues > queues || p.TxQueues < 1 || p.RxQueues < 1 {
			t.Errorf("port %+v of %s with %d queues", p, id, queues)
		}
		if (p.Device == "") == (p.Tap == nil) {
			t.Errorf("port %+v has not exactly one device", p)
		}
	}
	if n := len(cfg.Host.Lcores.CPUs); n < 1 || n > len(testCPUs) {
		t.Errorf("%d lcores", n)
	}
	for _, g := range cfg.Objects.SecurityGroups {
		for _, r := range append(g.Inbound, g.Outbound...) {
			peers := 0
			for _, set := range []bool{r.CIDR.IsValid(), r.Group != "", r.PrefixList != ""} {
				if set {
					peers++
				}
			}
			if peers != 1 || r.FromPort > r.ToPort && r.Protocol != 1 && r.Protocol != 58 {
				t.Errorf("rule %+v", r)
			}
		}
	}
}
