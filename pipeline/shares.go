package pipeline

import (
	"errors"
	"strconv"

	"github.com/nitrod/nitrod/hash"
)

// shardOwners returns the lcore that owns each shard: all in turn, or each as
// many as its share of them says.
func shardOwners(shares []uint32, lcores int) ([]uint16, error) {
	table, err := hash.NewIndirectionTable(hash.NumShards, lcores)
	if err != nil || shares == nil {
		return table.Entries(), err
	}
	if len(shares) != lcores {
		return nil, errors.New("pipeline: " + strconv.Itoa(len(shares)) + " shares of the flows for " + strconv.Itoa(lcores) + " lcores")
	}
	if table, err = table.WithWeights(shares); err != nil {
		return nil, errors.New("pipeline: no lcore has a share of the flows")
	}
	return table.Entries(), nil
}

// Shards returns how many of the hash.NumShards shards of the flows an lcore owns.
func (e *Engine) Shards(lcore int) int {
	n := 0
	for _, owner := range e.owners {
		if int(owner) == lcore {
			n++
		}
	}
	return n
}

// shareOf returns an lcore's part of what the flows of all lcores take. One that
// steering rules lead to has no less than if all had as much.
func (e *Engine) shareOf(lcore, all int) int {
	if e.cfg.Shares == nil {
		return all / e.lcores
	}
	part := all * e.Shards(lcore) / hash.NumShards
	if e.steeredTo(lcore) {
		part = max(part, all/e.lcores)
	}
	return part
}

func (p *Port) checkServed(lcores int) error {
	for _, l := range p.Served {
		if int(l) >= lcores {
			return errors.New("pipeline: port " + strconv.Itoa(int(p.Port)) + " is served by lcore " + strconv.Itoa(int(l)) +
				", which there is not")
		}
	}
	return nil
}
