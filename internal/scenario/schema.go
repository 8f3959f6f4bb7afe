package scenario

import (
	"time"

	"github.com/nitrod/nitrod/internal/config"
	"github.com/nitrod/nitrod/policy"
)

// The structs in this file are the schema of scenario files. They follow the
// rules of internal/config's, and their comments become docs/scenarios.md.

// document is a whole file.
type document struct {
	// What the scenario shows, in one sentence.
	Scenario string `yaml:"scenario" as:"argument" required:"true"`

	// The rules that it shows: sections of docs/semantics.md.
	Rules []string `yaml:"rules" as:"argument"`

	// The configuration: a mapping as in a configuration file, or the path of one, from the
	// scenario's directory. ENIs need no `port`; `host` has no effect.
	Config source `yaml:"config" required:"true"`

	// The numbers of lcores with which the scenario is run; `[1, 2]` if not given. A scenario whose numbers depend on
	// how flows are spread names one.
	Lcores []int `yaml:"lcores"`

	// How packets are decided: `both` runs the scenario by the flow cache, and again with every packet on
	// the slow path; `accelerated` only by the flow cache.
	Path path `yaml:"path" default:"both" enum:"both,accelerated"`

	// What happens, in order.
	Steps []step `yaml:"steps" noun:"step" required:"true"`
}

// path says how packets are decided.
type path string

const pathBoth path = "both"

// step is one thing that happens, and what is to be seen of it. Within a step
// the configuration changes first, then time passes, then packets are sent;
// what is expected is compared at the end.
type step struct {
	// A name for the step in messages.
	Name string `yaml:"name" as:"argument"`

	// A configuration that takes the place of the one in force.
	Config source `yaml:"config"`

	// Changes to the configuration in force: a mapping that is laid over it. An object of a list replaces
	// those keys that it names of the object of the same `id`, or is added; a key without a value is
	// removed.
	Change mapping `yaml:"change"`

	// Objects that are removed from the configuration in force: for each list the ids, as in
	// `{network_acls: [deny]}`.
	Remove removal `yaml:"remove"`

	// Time that passes. Idle sessions end meanwhile.
	Advance time.Duration `yaml:"advance" min:"0s" max:"10000h"`

	// Packets that guests send, one or a list, in the packet language.
	Send lines `yaml:"send"`

	// How often the packets of `send` are sent. In their text `+n` behind a number or an address adds
	// the number of the repetition, from 0.
	Repeat int `yaml:"repeat" default:"1" min:"1" max:"100000"`

	// Whether all packets are there before the first is looked at. Otherwise each is carried to its end
	// before the next is sent.
	Burst bool `yaml:"burst" default:"false"`

	// Traffic that guests send for the time of `for`, in place of `send`. Time passes with it, and what waits for
	// limits at its end is let go then. Such a scenario has `path: accelerated`: the limit of a flow lives as long
	// as the flow's entry in the flow cache.
	Traffic []stream `yaml:"traffic" noun:"stream"`

	// For how long the traffic lasts.
	For time.Duration `yaml:"for" min:"10us" max:"60s"`

	// ENIs whose guests take no packets in this step. Their port has room for 64, and their receive ring
	// for `rx_ring`; they take what waits there in the next step.
	Stalled []string `yaml:"stalled" as:"id"`

	// Packets that guests receive in this step, all of them, in the order of each ENI: one or a list, in
	// the packet language, of which only what is written is compared. `delivered` stands for each packet
	// sent, at the ENI that it is for, with a TTL of one less if a router is in between; `anything`
	// compares nothing. Without the key nobody receives anything. Router advertisements to all nodes are
	// left out, unless the step expects one, to `ff02::1`.
	Expect lines `yaml:"expect"`

	// How many packets ENIs receive in this step, by ENI, in place of `expect`.
	Receive counts `yaml:"receive"`

	// What ENIs receive of the step's traffic in the time of `for`, in bits a second, to two percent: by ENI, or by
	// ENI, a slash and the number of a receive queue.
	Rates rates `yaml:"rates"`

	// What ENIs receive of each single flow, likewise, by ENI.
	FlowRates rates `yaml:"flow_rates"`

	// How much at least the fullest window of 10 us has had of what ENIs received on one queue since the start,
	// in bits a second, by ENI. The configuration has `bursts: {measure: on}`.
	Peaks rates `yaml:"peaks"`

	// Packets dropped in this step, by reason, all of them; without the key there are none. In a step with
	// traffic the numbers are those that are dropped at least.
	Drops counts `yaml:"drops"`

	// Counters after this step, by name; see Counters.
	Counters counts `yaml:"counters"`

	// What the flow cache did in this step: `hits`, `slow_path`, and `entries` that it has now. Not
	// compared where every packet takes the slow path.
	FlowCache counts `yaml:"flow_cache"`

	// Tracked sessions after this step, all of them: one or a list, or `none`; see Sessions.
	Sessions lines `yaml:"sessions"`

	// What `nitrod explain` says of packets after this step.
	Explain []explanation `yaml:"explain" noun:"explanation"`

	Pos policy.Pos
}

// stream is traffic at one rate.
type stream struct {
	// The packet that is sent, in the packet language. In its text `+n` behind a number or an address adds the
	// number of the flow, from 0.
	Packet lines `yaml:"packet" required:"true"`

	// Bits a second of all its flows together, in whole frames.
	Rate config.BitRate `yaml:"rate" min:"1kbps" max:"1000gbps" required:"true"`

	// Flows, which send in turn.
	Flows int `yaml:"flows" default:"1" min:"1" max:"10000"`

	// Packets that a flow sends at once, when it is its turn. The rate is the same: there are pauses in between.
	Burst int `yaml:"burst" default:"1" min:"1" max:"10000"`

	Pos policy.Pos
}

// explanation is what explain is to say of a packet.
type explanation struct {
	// The packet, in the packet language.
	Packet lines `yaml:"packet" required:"true"`

	// What becomes of it: `forward`, `drop`, `answer` or `consume`.
	Verdict string `yaml:"verdict" as:"argument"`

	// The reason of a drop.
	Reason string `yaml:"reason" as:"argument"`

	// The code of AWS's Reachability Analyzer for a drop.
	Code string `yaml:"code" as:"argument"`

	// The ENI that it is forwarded to.
	To string `yaml:"to" as:"id"`

	// For how long its limits would let it wait, to a microsecond; `0s` is not at all.
	Wait span `yaml:"wait"`

	// Why it comes to its receive queue: a part of explain's words, such as `entry 112 of 128`.
	Queue string `yaml:"queue" as:"argument"`

	// What it does in connection tracking: a part of explain's words, such as `new, syn_sent`.
	Session string `yaml:"session" as:"argument"`

	// The rule or route by which stages decide, by stage: `{nacl_out: 100, security_group_in: app/in/1, route: 10.0.0.0/16}`.
	Rules pairs `yaml:"rules"`

	Pos policy.Pos
}
