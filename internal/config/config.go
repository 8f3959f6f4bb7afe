// Package config reads nitrod's configuration file.
//
// There is one YAML file and one schema: the structs in schema.go and
// schema_vpc.go. The decoder is strict and keeps positions: an unknown key, a
// value of the wrong kind or out of its range, and settings that contradict
// each other are errors with file, line and column, and one reading reports
// them all. docs/configuration.md is generated from the same structs.
//
// What VPC objects mean together (references, overlaps, duplicates) is
// judged by policy.Compile, to which Config.Objects is the input.
package config

//go:generate go run ./gen . ../../docs/configuration.md

import (
	"fmt"
	"io"
	"os"

	"go.yaml.in/yaml/v3"

	"github.com/nitrod/nitrod/hash"
	"github.com/nitrod/nitrod/policy"
)

// Config is a configuration file with every default applied.
type Config struct {
	File       string
	Host       Host
	Tables     Tables
	SlowPath   SlowPath
	Router     Router
	Conntrack  Conntrack
	Fragments  Fragments
	Coalesce   Coalesce
	Bursts     Bursts
	HeavyFlows HeavyFlows

	// Objects is the VPC configuration, in the order of the file.
	Objects policy.Objects

	// Rebalance has one for each of Objects.ENIs, in this order.
	Rebalance []Rebalance

	// Ports has one port for each of Objects.ENIs, Gateways and Services, in this
	// order.
	Ports []Port

	// LcoreSteering says which flows go to which lcore, whatever the shares: the
	// rules of Host.Steering.
	LcoreSteering []hash.SteerRule

	doc document // as it was read, for Diff
}

// maxFileSize bounds the file. A host with 1,000 ENIs and as many rules each
// for 100 groups stays below it.
const maxFileSize = 16 << 20

// Load reads and checks the file at path. cpus are the CPUs on which the
// process may run (see AllowedCPUs).
//
// Errors: Errors where the file is at fault, with every mistake found;
// otherwise the reason why it could not be read.
func Load(path string, cpus []int) (*Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the configuration: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read the configuration: %w", err)
	}
	return Parse(path, data, cpus)
}

// Parse is Load for a file that has been read; name is what positions call it.
// It depends on nothing but its arguments.
//
// Limits: the file has at most 16 MiB, and its aliases repeat at most 100,000
// values.
func Parse(name string, data []byte, cpus []int) (*Config, error) {
	d := newDecoder(name)
	root := d.read(data)
	if root == nil {
		return nil, d.errs
	}
	return d.config(root, cpus)
}

// read parses data as YAML and returns its top node, or nil after an error.
func (d *decoder) read(data []byte) *yaml.Node {
	if len(data) > maxFileSize {
		d.errorf(policy.Pos{File: d.file}, "the file is larger than %d MiB", maxFileSize>>20)
		return nil
	}
	return d.root(data)
}

// config makes a configuration of the YAML below root.
func (d *decoder) config(root *yaml.Node, cpus []int) (*Config, error) {
	var doc document
	if !d.document(root, &doc) {
		return nil, sorted(d.errs)
	}

	cfg := &Config{File: d.file, Host: doc.Host, Tables: doc.Tables, SlowPath: doc.SlowPath, Router: doc.Router, Conntrack: doc.Conntrack, Fragments: doc.Fragments, Coalesce: doc.Coalesce, Bursts: doc.Bursts, HeavyFlows: doc.HeavyFlows}
	d.checkHost(&doc.Host, cpus)
	d.checkFragments(&doc.Fragments)
	d.checkCoalesce(&doc.Coalesce, doc.Host.Polling)
	cfg.Host.Lcores.CPUs = doc.Host.Lcores.resolve(cpus)
	cfg.Objects = d.objects(&doc)
	cfg.Rebalance = rebalances(&doc)
	cfg.Ports = d.ports(&doc)
	d.checkPlaces(&doc, len(cfg.Host.Lcores.CPUs))
	cfg.LcoreSteering = d.lcoreSteering(&doc.Host, len(cfg.Host.Lcores.CPUs))
	if len(d.errs) > 0 {
		return nil, sorted(d.errs)
	}
	d.writeOut(&doc)
	cfg.doc = doc
	return cfg, nil
}
