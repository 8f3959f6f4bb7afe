/* Packets outside the hot path: made from bytes, read back, freed. */
#include <errno.h>
#include <string.h>

#include <rte_mbuf.h>

#include "packet.h"

void
nd_free_burst(const uint64_t *bufs, uint32_t n)
{
	rte_pktmbuf_free_bulk((struct rte_mbuf **)(uintptr_t)bufs, n);
}

int
nd_packet_from_bytes(nd_handle pool, const void *data, uint32_t len,
		     uint32_t first, struct nd_desc *desc)
{
	struct rte_mempool *mp = (struct rte_mempool *)pool;
	struct rte_mbuf *head = rte_pktmbuf_alloc(mp);
	struct rte_mbuf *seg = head;
	const char *from = data;
	uint32_t left = len;

	if (head == NULL)
		return -ENOMEM;
	for (;;) {
		uint32_t n = RTE_MIN(left, (uint32_t)rte_pktmbuf_tailroom(seg));

		if (seg == head && first != 0)
			n = RTE_MIN(n, first);
		memcpy(rte_pktmbuf_mtod(seg, char *), from, n);
		seg->data_len = (uint16_t)n;
		from += n;
		left -= n;
		if (left == 0)
			break;
		seg->next = rte_pktmbuf_alloc(mp);
		if (seg->next == NULL || head->nb_segs == RTE_MBUF_MAX_NB_SEGS) {
			rte_pktmbuf_free(head);
			return -ENOMEM;
		}
		seg = seg->next;
		head->nb_segs++;
	}
	head->pkt_len = len;
	nd_fill_desc(desc, head, 0, 0);
	return 0;
}

uint32_t
nd_packet_length(uint64_t buf)
{
	return ((const struct rte_mbuf *)(uintptr_t)buf)->pkt_len;
}

int
nd_packet_read(uint64_t buf, void *out, uint32_t cap)
{
	const struct rte_mbuf *m = (const struct rte_mbuf *)(uintptr_t)buf;
	const void *p;

	if (m->pkt_len > cap)
		return -ENOBUFS;
	p = rte_pktmbuf_read(m, 0, m->pkt_len, out);
	if (p == NULL)
		return -EINVAL;
	if (p != out)
		memcpy(out, p, m->pkt_len);
	return (int)m->pkt_len;
}
