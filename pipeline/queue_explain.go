package pipeline

import "github.com/nitrod/nitrod/hash"

// QueueChoice is how an ENI's receive queue is picked.
type QueueChoice struct {
	Queue    uint8
	Rule     int    // location of the steering rule that leads to it, -1 if none does
	Function string // Toeplitz or CRC32
	Fields   string // that it hashes: addresses and ports, or addresses
	Hash     uint32
	Entry    int // of the indirection table, by the low bits of the hash
	Entries  int
	Moving   bool // a change is under way: the flow may still go by its old queue
}

// QueueChoice says why a packet that is forwarded goes to its queue.
func (x *Explanation) QueueChoice() QueueChoice { return x.choice }

// queued explains to which queue of its ENI a packet goes by a key.
func (x *Explanation) queued(v *view, k *hash.FlowKey, fragment bool) {
	x.choice = v.rss[x.Egress].explain(x.Egress, k, x.Meta.TOS, fragment)
	x.Queue = x.choice.Queue
}

// PredictQueue says to which receive queue an ENI's packets with a key and a TOS
// byte go, and why, whatever policy says of them. Error: ErrQueueENI.
//
// Thread-safety: any goroutine.
func (e *Engine) PredictQueue(id string, k *hash.FlowKey, tos uint8, fragment bool) (QueueChoice, error) {
	v := e.view.Load()
	eni, ok := v.snap.ENIByID(id)
	if !ok {
		return QueueChoice{}, ErrQueueENI
	}
	return v.rss[eni].explain(eni, k, tos, fragment), nil
}

func (r *receiveSide) explain(eni uint16, k *hash.FlowKey, tos uint8, fragment bool) QueueChoice {
	c := QueueChoice{
		Queue: r.queue(eni, k, tos, fragment), Rule: noRule, Function: "CRC32", Fields: "addresses",
		Entries: r.table.Len(), Moving: r.move != nil && !r.move.done(),
	}
	if _, location, ok := r.steered(eni, k, tos, fragment); ok {
		c.Rule = int(location)
	}
	if _, is := r.function.(*hash.Toeplitz); is {
		c.Function = "Toeplitz"
	}
	if ports := k.Proto() == protoTCP || k.Proto() == protoUDP; ports && !fragment {
		c.Fields, c.Hash = "addresses and ports", r.function.Hash(k)
	} else {
		c.Hash = r.function.HashAddrs(k)
	}
	c.Entry = int(c.Hash) & (c.Entries - 1)
	return c
}
