package config

import "time"

// Rebalance says when entries of an ENI's indirection table move to other receive
// queues.
type Rebalance struct {
	// `propose` counts the ENI's packets by entry and says what it would do (`nitrod queues rebalance`),
	// `on` does it, without reordering any flow. `off` does not count.
	Mode RebalanceMode `yaml:"mode" default:"off" enum:"off,propose,on"`

	// Over how long packets are counted before the queues are compared.
	Interval time.Duration `yaml:"interval" default:"1s" min:"100ms" max:"1h"`

	// By how many percent the fullest queue must be above the mean of all for them to be uneven. A change
	// aims at half of that, and is not made for less than a quarter of it.
	Threshold int `yaml:"threshold" default:"25" min:"4" max:"1000"`

	// For how many intervals in a row they must be uneven before anything is done.
	Intervals int `yaml:"intervals" default:"3" min:"1" max:"1000"`

	// For how long nothing is changed after a change.
	Pause time.Duration `yaml:"pause" default:"10s" min:"0s" max:"24h"`

	// Packets a second of the ENI below which its queues are left alone.
	MinRate int `yaml:"min_rate" default:"10000" min:"0" max:"1000000000"`
}

// RebalanceMode says what is done about queues that carry unevenly.
type RebalanceMode string

// The values of RebalanceMode.
const (
	RebalanceOff     RebalanceMode = "off"
	RebalancePropose RebalanceMode = "propose"
	RebalanceOn      RebalanceMode = "on"
)

// rebalances lists the settings of the ENIs.
func rebalances(doc *document) []Rebalance {
	list := make([]Rebalance, len(doc.ENIs))
	for i := range doc.ENIs {
		list[i] = doc.ENIs[i].Rebalance
	}
	return list
}
