/* Packet I/O of one lcore: one call for all its receive queues, one for
 * everything that it gives back. */
#include <errno.h>
#include <string.h>

#include <rte_ethdev.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include <rte_prefetch.h>

#include "packet.h"
#include "rest.h"

_Static_assert(sizeof(struct nd_desc) == 32, "pktio.Desc is 32 bytes");
_Static_assert(sizeof(struct nd_run) == 16, "pktio.TxRun is 16 bytes");
_Static_assert(sizeof(struct nd_resize) == 16, "pktio.Resize is 16 bytes");
_Static_assert(sizeof(void *) == sizeof(uint64_t), "a handle is an address");

struct rxq {
	uint16_t port, queue;
	uint8_t idle;  /* polled in its slot only */
	uint8_t check; /* may give partial checksums without saying so */
	uint16_t empty; /* polls in a row that gave nothing */
};

/* Queues in use are in active[0..nactive) and polled every round. An idle one
 * is polled in the rounds whose slot is its index modulo ND_IDLE_EVERY, so
 * that a round costs n/ND_IDLE_EVERY polls however many are idle. */
struct nd_io {
	struct rte_mempool *pool;
	uint32_t burst;
	uint32_t n;
	uint32_t nactive;
	uint32_t turn;	 /* index into active: who is polled first */
	uint32_t slot;	 /* slot of this round */
	uint32_t at;	 /* queue in the slot where a full array stopped us; 0: start */
	uint32_t rested; /* the lcore slept: every queue is due */
	struct nd_rest *rest;
	struct nd_io_stats stats;
	uint32_t *active;
	struct rxq q[];
};

static inline void
count(uint64_t *counter)
{
	__atomic_store_n(counter, *counter + 1, __ATOMIC_RELAXED);
}

int
nd_io_create(nd_handle pool, const struct nd_queue *queues, uint32_t n,
	     uint32_t burst, nd_handle *out)
{
	size_t size = sizeof(struct nd_io) + n * sizeof(struct rxq);
	struct nd_io *io;

	if (burst == 0 || burst > ND_MAX_BURST)
		return -EINVAL;
	size = RTE_ALIGN_CEIL(size, sizeof(uint64_t));
	io = rte_zmalloc("nd_io", size + n * sizeof(uint32_t), RTE_CACHE_LINE_SIZE);
	if (io == NULL)
		return -ENOMEM;
	io->active = (uint32_t *)((char *)io + size);
	io->pool = (struct rte_mempool *)pool;
	io->burst = burst;
	io->n = n;
	io->nactive = n;
	io->rest = nd_rest_create(queues, n);
	if (io->rest == NULL) {
		int err = errno;

		rte_free(io);
		return -err;
	}
	for (uint32_t i = 0; i < n; i++) {
		io->q[i].port = queues[i].port;
		io->q[i].queue = queues[i].queue;
		io->q[i].check = (nd_port_flags(queues[i].port) & ND_PORT_CHECK_PARTIAL) != 0;
		io->active[i] = i;
	}
	*out = (nd_handle)io;
	return 0;
}

void
nd_io_free(nd_handle h)
{
	struct nd_io *io = (struct nd_io *)h;

	if (io != NULL)
		nd_rest_free(io->rest);
	rte_free(io);
}

/* Brings the first ND_HEADER_BYTES of a chain into its first segment, where
 * that segment is ours to write and has the room. Reports whether it did. */
static bool
pull_up(struct rte_mbuf *m)
{
	uint32_t want = RTE_MIN(m->pkt_len, (uint32_t)ND_HEADER_BYTES);

	if (m->data_len >= want || !RTE_MBUF_DIRECT(m) || rte_mbuf_refcnt_read(m) != 1 ||
	    want - m->data_len > rte_pktmbuf_tailroom(m))
		return false;
	while (m->data_len < want && m->next != NULL) {
		struct rte_mbuf *s = m->next;
		uint16_t n = (uint16_t)RTE_MIN(want - m->data_len, (uint32_t)s->data_len);

		memcpy(rte_pktmbuf_mtod_offset(m, char *, m->data_len),
		       rte_pktmbuf_mtod(s, char *), n);
		m->data_len = (uint16_t)(m->data_len + n);
		if (n == s->data_len) {
			m->next = s->next;
			m->nb_segs--;
			rte_pktmbuf_free_seg(s);
		} else {
			s->data_off = (uint16_t)(s->data_off + n);
			s->data_len = (uint16_t)(s->data_len - n);
		}
	}
	return true;
}

static inline bool
is_partial(const struct rte_mbuf *m)
{
	return (m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_NONE;
}

/* What is not the plain case. False: the packet was dropped. */
static bool
repair(struct nd_io *io, const struct rxq *q, struct rte_mbuf *m)
{
	if (m->ol_flags & RTE_MBUF_F_RX_LRO) {
		count(&io->stats.rx_oversized);
		rte_pktmbuf_free(m);
		return false;
	}
	if (m->nb_segs > 1 && pull_up(m))
		count(&io->stats.rx_pulled_up);
	if (is_partial(m) || q->check) {
		switch (nd_complete_csum(m, is_partial(m))) {
		case ND_CSUM_WHOLE:
			break;
		case ND_CSUM_COMPLETED:
			count(&io->stats.rx_completed);
			break;
		case ND_CSUM_BAD:
			count(&io->stats.rx_bad_csum);
			rte_pktmbuf_free(m);
			return false;
		}
	}
	return true;
}

/* Polls q once; returns how many descriptors it filled. *got says whether the
 * queue gave anything, be it only what was dropped here. */
static inline uint32_t
poll_queue(struct nd_io *io, struct rxq *q, struct nd_desc *d, uint32_t room, bool *got)
{
	struct rte_mbuf *m[ND_MAX_BURST];
	uint16_t want = (uint16_t)RTE_MIN(io->burst, room);
	uint16_t n = rte_eth_rx_burst(q->port, q->queue, m, want);
	uint32_t out = 0;

	*got = n != 0;
	for (uint16_t i = 0; i < n; i++)
		rte_prefetch0(rte_pktmbuf_mtod(m[i], void *));
	for (uint16_t i = 0; i < n; i++) {
		if (unlikely(m[i]->nb_segs > 1 || q->check || is_partial(m[i]) ||
			     (m[i]->ol_flags & RTE_MBUF_F_RX_LRO) != 0) &&
		    !repair(io, q, m[i]))
			continue;
		nd_fill_desc(&d[out++], m[i], q->port, q->queue);
	}
	return out;
}

/* Polls the idle queues of one slot. False: the array is full, and the slot is
 * to be resumed where it stopped. */
static bool
poll_slot(struct nd_io *io, struct nd_desc *d, uint32_t room, uint32_t *filled)
{
	uint32_t i = io->at != 0 ? io->at : io->slot;

	for (; i < io->n; i += ND_IDLE_EVERY) {
		struct rxq *q = &io->q[i];
		bool got;

		if (!q->idle)
			continue;
		if (*filled == room) {
			io->at = i;
			return false;
		}
		*filled += poll_queue(io, q, d + *filled, room - *filled, &got);
		if (got) {
			q->idle = 0;
			q->empty = 0;
			io->active[io->nactive++] = i;
		}
	}
	io->at = 0;
	io->slot = (io->slot + 1) % ND_IDLE_EVERY;
	return true;
}

static uint32_t
poll_active(struct nd_io *io, struct nd_desc *d, uint32_t room)
{
	uint32_t filled = 0, n = io->nactive;
	uint32_t at = io->turn < n ? io->turn : 0;
	uint32_t quiet = 0;
	uint32_t k;

	for (k = 0; k < n && filled < room; k++) {
		struct rxq *q = &io->q[io->active[at]];
		bool got;

		filled += poll_queue(io, q, d + filled, room - filled, &got);
		if (got)
			q->empty = 0;
		else if (++q->empty == ND_IDLE_AFTER)
			quiet++;
		at = at + 1 < n ? at + 1 : 0;
	}
	/* Who was not reached comes first next time; else the turn moves on by
	 * one. */
	if (k == n)
		at = at + 1 < n ? at + 1 : 0;
	io->turn = at;
	if (unlikely(quiet != 0)) {
		uint32_t kept = 0;

		for (uint32_t i = 0; i < n; i++) {
			struct rxq *q = &io->q[io->active[i]];

			if (q->empty >= ND_IDLE_AFTER)
				q->idle = 1;
			else
				io->active[kept++] = io->active[i];
		}
		io->nactive = kept;
	}
	return filled;
}

uint32_t
nd_io_rx(nd_handle h, struct nd_desc *d, uint32_t room)
{
	struct nd_io *io = (struct nd_io *)h;
	uint32_t filled = 0;

	if (io->nactive < io->n) {
		uint32_t slots = io->rested ? ND_IDLE_EVERY : 1;

		while (slots-- > 0 && poll_slot(io, d, room, &filled))
			;
	}
	io->rested = 0;
	return filled + poll_active(io, d + filled, room - filled);
}

/* A contiguous packet in place of a chain, for a port that cannot send chains.
 * False: there is no room for it. */
static bool
unchain(struct nd_io *io, struct rte_mbuf **slot)
{
	struct rte_mbuf *m = *slot, *copy;

	if (RTE_MBUF_DIRECT(m) && rte_mbuf_refcnt_read(m) == 1 && rte_pktmbuf_linearize(m) == 0)
		return true;
	copy = rte_pktmbuf_alloc(io->pool);
	if (copy == NULL)
		return false;
	if (m->pkt_len > rte_pktmbuf_tailroom(copy)) {
		rte_pktmbuf_free(copy);
		return false;
	}
	for (struct rte_mbuf *s = m; s != NULL; s = s->next)
		memcpy(rte_pktmbuf_append(copy, s->data_len), rte_pktmbuf_mtod(s, void *),
		       s->data_len);
	rte_pktmbuf_free(m);
	*slot = copy;
	return true;
}

/* Sends bufs on a port that takes no chains. What cannot be made contiguous is
 * dropped and counts as sent: no retry would help it. */
static uint16_t
send_unchained(struct nd_io *io, uint16_t port, uint16_t queue, struct rte_mbuf **bufs, uint16_t n)
{
	uint16_t sent = 0;

	while (sent < n) {
		uint16_t end = sent;
		uint16_t took;
		bool bad = false;

		for (; end < n && !bad; end++) {
			if (likely(bufs[end]->nb_segs == 1))
				continue;
			bad = !unchain(io, &bufs[end]);
			if (bad)
				break;
			count(&io->stats.tx_linearised);
		}
		took = end > sent ? rte_eth_tx_burst(port, queue, bufs + sent, end - sent) : 0;
		sent = (uint16_t)(sent + took);
		if (sent < end || !bad)
			break;
		rte_pktmbuf_free(bufs[end]);
		count(&io->stats.tx_unchained);
		sent++;
	}
	return sent;
}

void
nd_io_tx(nd_handle h, struct nd_run *runs, uint32_t nruns, const uint64_t *frees,
	 uint32_t nfrees, const struct nd_resize *resizes, uint32_t nresizes)
{
	struct nd_io *io = (struct nd_io *)h;

	for (uint32_t i = 0; i < nresizes; i++) {
		struct rte_mbuf *m = (struct rte_mbuf *)(uintptr_t)resizes[i].buf;

		if (unlikely(m->nb_segs != 1 ||
			     resizes[i].len > (uint32_t)(m->buf_len - m->data_off))) {
			count(&io->stats.bad_resizes);
			continue;
		}
		m->data_len = (uint16_t)resizes[i].len;
		m->pkt_len = resizes[i].len;
	}
	for (uint32_t i = 0; i < nruns; i++) {
		struct nd_run *r = &runs[i];
		struct rte_mbuf **bufs = (struct rte_mbuf **)(uintptr_t)r->bufs;

		if (unlikely(nd_port_flags(r->port) & ND_PORT_NO_CHAINS_TX))
			r->sent = send_unchained(io, r->port, r->queue, bufs, r->n);
		else
			r->sent = rte_eth_tx_burst(r->port, r->queue, bufs, r->n);
	}
	if (nfrees != 0)
		rte_pktmbuf_free_bulk((struct rte_mbuf **)(uintptr_t)frees, nfrees);
}

uint32_t
nd_io_alloc(nd_handle h, struct nd_desc *d, uint32_t n)
{
	struct nd_io *io = (struct nd_io *)h;
	uint32_t done = 0;

	for (; done < n; done++) {
		struct rte_mbuf *m = rte_pktmbuf_alloc(io->pool);

		if (m == NULL)
			break;
		nd_fill_desc(&d[done], m, 0, 0);
		d[done].len = rte_pktmbuf_tailroom(m);
	}
	return done;
}

uint32_t
nd_read(uint64_t buf, uint32_t offset, uint8_t *to, uint32_t n)
{
	const struct rte_mbuf *m = (const struct rte_mbuf *)(uintptr_t)buf;
	const void *p;

	if (offset >= m->pkt_len)
		return 0;
	n = RTE_MIN(n, m->pkt_len - offset);
	p = rte_pktmbuf_read(m, offset, n, to);
	if (p == NULL)
		return 0;
	if (p != to) /* it lies in one segment */
		memcpy(to, p, n);
	return n;
}

int
nd_io_idle(nd_handle h, uint32_t how, uint64_t ns)
{
	struct nd_io *io = (struct nd_io *)h;

	io->rested = 1;
	return nd_rest_idle(io->rest, how, ns);
}

void
nd_io_wake(nd_handle h)
{
	nd_rest_wake(((struct nd_io *)h)->rest);
}

int
nd_io_interrupts(nd_handle h)
{
	return nd_rest_interrupts(((const struct nd_io *)h)->rest);
}

void
nd_io_arm(nd_handle h, int on)
{
	nd_rest_arm(((struct nd_io *)h)->rest, on);
}

void
nd_io_get_stats(nd_handle h, struct nd_io_stats *out)
{
	const struct nd_io *io = (const struct nd_io *)h;
	const uint64_t *from = (const uint64_t *)&io->stats;
	uint64_t *to = (uint64_t *)out;

	for (size_t i = 0; i < sizeof(*out) / sizeof(uint64_t); i++)
		to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}
