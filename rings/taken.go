package rings

// Taken returns how many packets and bytes the queue ever took, those included
// that still wait in it.
func (q *ReceiveQueue) Taken() (packets, bytes uint64) {
	return q.Sent + uint64(q.tail-q.head), q.SentBytes + q.waiting
}
