package config

import (
	"errors"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

func node(t *testing.T, text string) *yaml.Node {
	t.Helper()
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	return doc.Content[0]
}

const treeText = `tables: {flows: 2048, sessions: 4096}
vpcs: [{id: v, cidrs: [10.0.0.0/16]}]
subnets:
  - {id: a, vpc: v, cidrs: [10.0.1.0/24], network_acl: acl}
  - {id: b, vpc: v, cidrs: [10.0.2.0/24]}
network_acls: [{id: acl, vpc: v}]
security_groups: [{id: g, vpc: v, inbound: [{protocol: tcp, ports: 80, cidr: 0.0.0.0/0}]}]
instances: [{id: i}]
enis:
  - {id: e, instance: i, subnet: a, mac: "02:00:00:00:00:01", addresses: [10.0.1.10], security_groups: [g]}
`

// A tree is changed key by key, and the one that it was made of stays.
func TestTree(t *testing.T) {
	tree, err := ReadTree("base.yaml", []byte(treeText))
	if err != nil {
		t.Fatal(err)
	}
	before, err := tree.Config() // an ENI without a port
	if err != nil {
		t.Fatal(err)
	}
	changed, err := tree.Change("patch.yaml", node(t, `
tables: {flows: 1024}
conntrack: {icmp: 5s}
subnets: [{id: a, network_acl: ~}, {id: c, vpc: v, cidrs: [10.0.3.0/24]}]
security_groups: [{id: g, inbound: []}]
enis: [{id: e, mtu: 1400}]
`))
	if err != nil {
		t.Fatal(err)
	}
	after, err := changed.Config()
	if err != nil {
		t.Fatal(err)
	}
	o := &after.Objects
	if after.Tables.Flows != 1024 || after.Tables.Sessions != 4096 || after.Conntrack.ICMP.Seconds() != 5 || len(o.Subnets) != 3 ||
		o.Subnets[0].NetworkACL != "" || o.Subnets[0].CIDRs[0].String() != "10.0.1.0/24" || o.Subnets[1].ID != "b" || o.Subnets[2].ID != "c" ||
		len(o.SecurityGroups[0].Inbound) != 0 || o.ENIs[0].MTU != 1400 || o.ENIs[0].MAC[5] != 1 {
		t.Errorf("%+v", after)
	}
	again, err := tree.Config()
	if err != nil || again.Tables.Flows != 2048 || len(again.Objects.Subnets) != len(before.Objects.Subnets) || again.Objects.Subnets[0].NetworkACL != "acl" {
		t.Errorf("the tree that was changed is now %+v, %v", again, err)
	}
	less, ok := changed.Remove("subnets", "b")
	if !ok {
		t.Fatal("there is no subnet b to remove")
	}
	if cfg, err := less.Config(); err != nil || len(cfg.Objects.Subnets) != 2 || cfg.Objects.Subnets[1].ID != "c" {
		t.Errorf("%+v, %v", cfg, err)
	}
	if cfg, err := changed.Config(); err != nil || len(cfg.Objects.Subnets) != 3 {
		t.Errorf("removal changed the tree: %+v, %v", cfg, err)
	}
	for _, absent := range [][2]string{{"subnets", "x"}, {"nothing", "b"}, {"tables", "flows"}} {
		if _, ok := changed.Remove(absent[0], absent[1]); ok {
			t.Errorf("removed %v, which is not there", absent)
		}
	}
}

// A mistake is named in the file that it stands in.
func TestTreeErrors(t *testing.T) {
	tree, err := ReadTree("base.yaml", []byte(strings.Replace(treeText, "flows: 2048", "flows: 1", 1)))
	if err != nil {
		t.Fatal(err)
	}
	changed, err := tree.Change("patch.yaml", node(t, "\n\nenis:\n  - {id: e, mtu: 5}\n"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = changed.Config()
	var bad Errors
	if !errors.As(err, &bad) || len(bad) != 2 || bad[0].Pos.File != "base.yaml" || bad[0].Pos.Line != 1 || bad[1].Pos.File != "patch.yaml" || bad[1].Pos.Line != 4 {
		t.Errorf("%v", err)
	}
	if _, err := tree.Change("patch.yaml", node(t, "- 1")); !errors.As(err, &bad) || bad[0].Pos.File != "patch.yaml" {
		t.Errorf("%v", err)
	}
	if _, err := ReadTree("base.yaml", []byte("- 1")); !errors.As(err, &bad) {
		t.Errorf("%v", err)
	}
}
