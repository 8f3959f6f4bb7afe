/* Operations on mbufs that io.c and packet.c share. */
#ifndef ND_PACKET_H
#define ND_PACKET_H

#include <stdbool.h>

#include <rte_mbuf.h>

#include "nd.h"

static inline void
nd_fill_desc(struct nd_desc *d, struct rte_mbuf *m, uint16_t port, uint16_t queue)
{
	d->buf = (uint64_t)(uintptr_t)m;
	d->data = (uint64_t)rte_pktmbuf_mtod(m, uintptr_t);
	d->len = m->data_len;
	d->pkt_len = m->pkt_len;
	d->port = port;
	d->queue = queue;
	d->segs = m->nb_segs;
	d->flags = 0;
}

enum nd_csum {
	ND_CSUM_WHOLE,	   /* there was nothing to do */
	ND_CSUM_COMPLETED, /* it was partial and is whole now */
	ND_CSUM_BAD,	   /* it is partial and cannot be completed */
};

/* Completes a partial transport checksum (csum.c). With known, the driver says
 * that it is partial; else it is taken for partial where the field holds just
 * the sum over the pseudo-header, which is what Linux leaves there. */
enum nd_csum nd_complete_csum(struct rte_mbuf *m, bool known);

#endif
