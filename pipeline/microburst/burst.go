package microburst

// burst is the one under way.
type burst struct {
	on     bool
	ending bool // the last window was not hot: it is in tail until it is known whether it belongs
	start  int64
	end    int64 // of the last hot window
	first  int64 // index of the window in which it began
	sum    sums
	tail   sums
	peak   uint64 // bytes in a window
	shape  [ShapeBins]uint32
	shift  uint8 // a bin of shape is 1<<shift windows
}

// add makes a window a part of the burst.
func (b *burst) add(window int64, c *sums) {
	b.end = (window + 1) * Window
	b.sum.bytes += c.bytes
	b.sum.packets += c.packets
	b.sum.drops += c.drops
	b.sum.depth = max(b.sum.depth, c.depth)
	b.peak = max(b.peak, c.bytes)
	for (window-b.first)>>b.shift >= ShapeBins {
		b.halve()
	}
	b.shape[(window-b.first)>>b.shift] += uint32(c.bytes)
}

// halve makes the bins twice as long.
func (b *burst) halve() {
	for i := range ShapeBins / 2 {
		b.shape[i] = b.shape[2*i] + b.shape[2*i+1]
	}
	clear(b.shape[ShapeBins/2:])
	b.shift++
}

// begin starts a burst with the window under way, which is hot.
func (q *Queue) begin() {
	b, window := &q.burst, q.at[0]
	*b = burst{on: true, start: window * Window, first: window}
	if q.runStart >= b.start {
		b.start = q.runStart
	} else if q.prevAt == window-1 && q.runStart >= q.prevAt*Window {
		b.start, b.first = q.runStart, q.prevAt
		b.add(q.prevAt, &q.prev)
	}
	b.add(window, &q.cur)
}

// finish ends the burst under way and makes an event of it. Quiet says that
// nothing has come for a window's length after it.
func (q *Queue) finish(quiet bool) {
	b, m := &q.burst, q.m
	end := b.end
	if quiet {
		if b.ending {
			b.add(q.prevAt, &b.tail)
		}
		end = q.lastAt
	}
	length := max(end-b.start, Window)
	b.on, b.ending = false, false
	if length < m.minLength && b.sum.drops == 0 {
		q.local[statShort]++
	} else {
		q.local[statBursts]++
		e := &m.scratch
		*e = Event{
			ENI: q.eni, Queue: q.queue, Start: b.start, Length: length,
			Bytes: b.sum.bytes, Packets: b.sum.packets, Drops: b.sum.drops, Depth: b.sum.depth, Ring: q.ring,
			PeakRate: b.peak * (8 * 1_000_000_000 / Window), Second: q.second.average(m.slot, m.now),
			Shape: b.shape, Step: Window << b.shift,
		}
		q.flows.largest(e)
		m.log.write(e)
	}
	q.flows.clear()
	q.unsampled = 0
}
