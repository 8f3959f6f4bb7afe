package config

import (
	"github.com/nitrod/nitrod/hash"
	"github.com/nitrod/nitrod/policy"
)

type rssDoc struct {
	// The hash function: `toeplitz`, or `crc32`, whose polynomial and initial value AWS does not publish: ours
	// are the common polynomial of Ethernet and `0xffffffff`.
	Function rssFunction `yaml:"function" default:"toeplitz" enum:"toeplitz,crc32"`

	// The key of `toeplitz`, 40 bytes as `ethtool -x` prints them. Default: one drawn at the start, which all
	// ENIs without a key share.
	Key rssKey `yaml:"key"`

	// How `toeplitz` is applied: `standard`, which is an ENA device under DPDK and FreeBSD too; `symmetric`, both
	// directions of a flow alike; `ena_fixed`, devices whose key cannot be set and that ignore `key`;
	// `ena_linux`, settable keys under Linux and Windows; `ena_linux_unset`, Linux drivers up to 2.6 whose key
	// nobody set.
	Mode rssMode `yaml:"mode" default:"standard" enum:"standard,symmetric,ena_fixed,ena_linux,ena_linux_unset"`

	// Entries of the indirection table, a power of two.
	TableSize int `yaml:"table_size" default:"128" min:"1" max:"65536"`

	// The receive queue of each entry of the indirection table, `table_size` of them. Default: entry i is queue i
	// modulo the ENI's `queues`.
	Entries []int `yaml:"entries"`

	// Shares of the indirection table by receive queue, from queue 0, as `ethtool -X weight` has them; 0 gives a
	// queue no entry.
	Weights []int `yaml:"weights"`

	Pos policy.Pos
}

type rssFunction string

const rssCRC32 rssFunction = "crc32"

type rssKey hash.Key

type rssMode string

// rssModes are the modes by their names.
var rssModes = map[rssMode]hash.Mode{
	"standard": hash.ModeStandard, "symmetric": hash.ModeSymmetric, "ena_fixed": hash.ModeENAFixed,
	"ena_linux": hash.ModeENALinux, "ena_linux_unset": hash.ModeENALinuxUnset,
}

type steerDoc struct {
	// Its place: of the rules that match a packet the one at the lowest location decides. Locations begin at 0 and
	// are shared by the instance's ENIs.
	Location int `yaml:"location" min:"0" max:"1023" required:"true"`

	// The ENI of the instance whose received packets it is for.
	ENI string `yaml:"eni" as:"id" required:"true"`

	// What it is for. `ip4` and `ip6` take every protocol and compare no ports.
	Type steerType `yaml:"type" enum:"ip4,ip6,tcp4,tcp6,udp4,udp6" required:"true"`

	// The source address with its mask. Default: any.
	Source maskedAddr `yaml:"source"`

	// The destination address with its mask. Default: any.
	Destination maskedAddr `yaml:"destination"`

	// The source port with its mask. Default: any.
	SourcePort maskedPort `yaml:"source_port"`

	// The destination port with its mask. Default: any.
	DestinationPort maskedPort `yaml:"destination_port"`

	// The TOS byte with its mask; IPv4 only. Default: any.
	TOS maskedByte `yaml:"tos"`

	// The receive queue to which it leads.
	Queue int `yaml:"queue" min:"0" max:"127" required:"true"`

	Pos policy.Pos
}

type lcoreSteerDoc struct {
	// Its place: of the rules that match a packet the one at the lowest location decides.
	Location int `yaml:"location" min:"0" max:"1023" required:"true"`

	// What it is for. `ip4` and `ip6` take every protocol and compare no ports.
	Type steerType `yaml:"type" enum:"ip4,ip6,tcp4,tcp6,udp4,udp6" required:"true"`

	// The address of one end with its mask. Default: any.
	Source maskedAddr `yaml:"source"`

	// The address of the other end with its mask. Default: any.
	Destination maskedAddr `yaml:"destination"`

	// The port of the end with the `source` address, with its mask. Default: any.
	SourcePort maskedPort `yaml:"source_port"`

	// The port of the end with the `destination` address, with its mask. Default: any.
	DestinationPort maskedPort `yaml:"destination_port"`

	// The lcore to which it leads, numbered from 0 in the order of `lcores`.
	Lcore int `yaml:"lcore" min:"0" max:"127" required:"true"`

	Pos policy.Pos
}

type steerType string

// steerTypes are the types by their names.
var steerTypes = map[steerType]hash.FlowType{
	"ip4": hash.FlowIPv4, "ip6": hash.FlowIPv6, "tcp4": hash.FlowIPv4TCP, "tcp6": hash.FlowIPv6TCP,
	"udp4": hash.FlowIPv4UDP, "udp6": hash.FlowIPv6UDP,
}
