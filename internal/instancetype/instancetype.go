// Package instancetype is the table of EC2 instance types: what each gives its
// network, as far as AWS publishes it (docs/semantics.md S6.3).
//
// The table is table.txt. docs/instance-types.md is generated from it.
package instancetype

//go:generate go run ./gen ../../docs/instance-types.md

import (
	_ "embed"
	"fmt"
	"strconv"
	"strings"
	"sync"
)

//go:embed table.txt
var text string

// Figure is a number of the table.
type Figure struct {
	N    int  // 0 is not known
	Ours bool // not published by AWS; nothing is refused because of it
}

// Type is what one instance type has.
type Type struct {
	Name            string
	Nitro           Figure // generation of the card
	VCPUs           Figure
	Baseline, Burst Figure // bandwidth in each direction in Mbit/s, equal where there is no burst
	Queues          Figure // of an ENI by default
	MaxQueues       Figure // of an ENI
	TotalQueues     Figure // of all ENIs together
	ENIs            Figure
	Addresses       Figure // of IPv4 for each ENI, delegated prefixes counted as one each
}

// packetsPerGbit is the packet rate for each Gbit/s of the burst bandwidth.
// AWS publishes none; this is the one measurement known, 2.2 million packets a
// second in both directions at the 25 Gbit/s of an m5.24xlarge.
const packetsPerGbit = 88_000

// BitsSecond returns the bandwidths in bits a second.
func (t *Type) BitsSecond() (baseline, burst uint64) {
	const mbit = 1_000_000
	return uint64(t.Baseline.N) * mbit, uint64(t.Burst.N) * mbit
}

// PacketsSecond returns the packet rate of both directions together. It is
// ours.
func (t *Type) PacketsSecond() uint64 { return uint64(t.Burst.N) * packetsPerGbit / 1000 }

// internetBits is what a type with fewer than internetVCPUs vCPUs may have to and
// from the internet.
const (
	internetBits  = 5_000_000_000
	internetVCPUs = 32
)

// InternetBitsSecond returns the bandwidth in each direction to and from internet
// gateways, in bits a second.
func (t *Type) InternetBitsSecond() uint64 {
	baseline, burst := t.BitsSecond()
	family, _, _ := strings.Cut(t.Name, ".")
	switch {
	case strings.HasSuffix(family, "8in") || strings.HasSuffix(family, "8ine"):
		return baseline
	case t.VCPUs.N >= internetVCPUs:
		return burst / 2
	}
	return min(burst, internetBits)
}

// All returns the types in the order of the table. Nobody changes them.
//
// Thread-safety: any number of goroutines may call it.
func All() []Type { return table().all }

// Lookup finds a type by its name, nil for one that is not in the table.
//
// Thread-safety: any number of goroutines may call it.
func Lookup(name string) *Type { return table().at[name] }

type index struct {
	all []Type
	at  map[string]*Type
}

// table reads the text once. The package's own test reads it first, so that a
// slip in it cannot ship.
var table = sync.OnceValue(func() index {
	all, err := parse(text)
	if err != nil {
		panic(err)
	}
	x := index{all, make(map[string]*Type, len(all))}
	for i := range all {
		x.at[all[i].Name] = &all[i]
	}
	return x
})

func parse(text string) ([]Type, error) {
	var all []Type
	for i, line := range strings.Split(text, "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		t, err := parseLine(line)
		if err != nil {
			return nil, fmt.Errorf("table.txt:%d: %w", i+1, err)
		}
		all = append(all, t)
	}
	return all, nil
}

func parseLine(line string) (Type, error) {
	words := strings.Fields(line)
	t := Type{Name: words[0]}
	columns := []*Figure{
		&t.Nitro, &t.VCPUs, &t.Baseline, &t.Burst, &t.Queues, &t.MaxQueues, &t.TotalQueues, &t.ENIs, &t.Addresses,
	}
	if len(words) != len(columns)+1 {
		return t, fmt.Errorf("%s has %d columns, not %d", t.Name, len(words), len(columns)+1)
	}
	for i, to := range columns {
		word, ours := strings.CutSuffix(words[i+1], "~")
		to.Ours = ours
		if word == "-" && !ours {
			continue
		}
		n, err := strconv.Atoi(word)
		if err != nil || n <= 0 {
			return t, fmt.Errorf("%s has the figure %q", t.Name, words[i+1])
		}
		to.N = n
	}
	return t, nil
}
