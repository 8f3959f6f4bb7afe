package main

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/nitrod/nitrod/policy"
)

// directory knows the ENIs of one VPC. It does not change.
type directory struct {
	byAddress map[netip.Addr]*policy.ENI
	byName    map[string]*policy.ENI // by id, in lower case as DNS compares
}

// newDirectory collects the ENIs of the VPC that has the file's one service
// port, and returns the address of its resolver too.
func newDirectory(o *policy.Objects) (*directory, netip.Addr, error) {
	if len(o.Services) != 1 {
		return nil, netip.Addr{}, fmt.Errorf("the file has %d service ports; this program stands behind one", len(o.Services))
	}
	vpc := o.Services[0].VPC
	resolver, err := resolverOf(o, vpc)
	if err != nil {
		return nil, netip.Addr{}, err
	}
	inVPC := map[string]bool{}
	for _, s := range o.Subnets {
		inVPC[s.ID] = s.VPC == vpc
	}
	d := &directory{map[netip.Addr]*policy.ENI{}, map[string]*policy.ENI{}}
	for i := range o.ENIs {
		e := &o.ENIs[i]
		if !inVPC[e.Subnet] {
			continue
		}
		d.byName[strings.ToLower(e.ID)] = e
		for _, a := range e.Addresses {
			d.byAddress[a] = e
		}
	}
	return d, resolver, nil
}

// resolverOf returns the address two above the VPC's first IPv4 block.
func resolverOf(o *policy.Objects, vpc string) (netip.Addr, error) {
	for _, v := range o.VPCs {
		if v.ID != vpc {
			continue
		}
		for _, c := range v.CIDRs {
			if c.Addr().Is4() {
				return c.Masked().Addr().Next().Next(), nil
			}
		}
	}
	return netip.Addr{}, fmt.Errorf("VPC %s has no IPv4 block", vpc)
}
