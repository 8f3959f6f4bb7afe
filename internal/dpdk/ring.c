/* rte_ring, and ports made of rings. */
#include <errno.h>

#include <rte_errno.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_ring.h>

#include "nd.h"

#define MAX_PORT_RINGS 16 /* net_ring's own limit */

int
nd_ring_create(const char *name, uint32_t size, int single_producer,
	       int single_consumer, nd_handle *ring)
{
	unsigned int flags = RING_F_EXACT_SZ;
	struct rte_ring *r;

	if (single_producer)
		flags |= RING_F_SP_ENQ;
	if (single_consumer)
		flags |= RING_F_SC_DEQ;
	r = rte_ring_create(name, size, (int)rte_socket_id(), flags);
	if (r == NULL)
		return rte_errno != 0 ? -rte_errno : -ENOMEM;
	*ring = (nd_handle)r;
	return 0;
}

void
nd_ring_free(nd_handle ring)
{
	rte_ring_free((struct rte_ring *)ring);
}

uint32_t
nd_ring_enqueue(nd_handle ring, const uint64_t *objs, uint32_t n)
{
	return rte_ring_enqueue_burst((struct rte_ring *)ring,
				      (void *const *)(uintptr_t)objs, n, NULL);
}

uint32_t
nd_ring_dequeue(nd_handle ring, uint64_t *objs, uint32_t n)
{
	return rte_ring_dequeue_burst((struct rte_ring *)ring,
				      (void **)(uintptr_t)objs, n, NULL);
}

uint32_t
nd_ring_count(nd_handle ring)
{
	return rte_ring_count((const struct rte_ring *)ring);
}

uint32_t
nd_ring_capacity(nd_handle ring)
{
	return rte_ring_get_capacity((const struct rte_ring *)ring);
}

int
nd_ring_port(const char *name, const uint64_t *rx, uint32_t nrx,
	     const uint64_t *tx, uint32_t ntx, uint16_t *port)
{
	struct rte_ring *rxr[MAX_PORT_RINGS], *txr[MAX_PORT_RINGS];
	int ret;

	if (nrx > MAX_PORT_RINGS || ntx > MAX_PORT_RINGS)
		return -EINVAL;
	for (uint32_t i = 0; i < nrx; i++)
		rxr[i] = (struct rte_ring *)(uintptr_t)rx[i];
	for (uint32_t i = 0; i < ntx; i++)
		txr[i] = (struct rte_ring *)(uintptr_t)tx[i];
	ret = rte_eth_from_rings(name, rxr, nrx, txr, ntx, rte_socket_id());
	if (ret < 0)
		return rte_errno != 0 ? -rte_errno : -EINVAL;
	*port = (uint16_t)ret;
	return 0;
}
