/* A supply of more flows than a file has frames, for any program that uses
 * DPDK.
 *
 * The library is loaded by EAL (-d). It gives every frame that a net_pcap port
 * has received, and that is TCP or UDP over IPv4 without options, other ports
 * before the program sees it; the checksum follows. net_pcap copies a frame
 * into a new mbuf each time, so that the next round finds it as it was.
 *
 * Only DPDK's public interface is used: a callback on the receive queue, which
 * runs inside rte_eth_rx_burst and costs every data plane the same.
 *
 * The environment says which ports: with NITROD_BENCH_FLOWS=0 every frame opens
 * a flow that has not been seen before; with a power of two up to 2^22 there
 * are so many flows, which all come once in every turn, each turn in another
 * order.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_common.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

/* Of source.go. A step that shares no factor with the number of pairs visits
 * each of them once before it repeats one. */
#define PORT_BASE 1024
#define SOURCE_PORTS 60000
#define DEST_PORTS 64000
#define PAIRS ((uint64_t)SOURCE_PORTS * DEST_PORTS)
#define STEP 2654435761u
/* Source ports where the number of flows is given. */
#define TURN_BITS 15

/* Offsets in an Ethernet frame with an IPv4 header of 20 bytes. */
enum {
	OFF_ETHERTYPE = 12,
	OFF_IHL = 14,
	OFF_PROTO = 23,
	OFF_PORTS = 34,
	OFF_UDP_CHECKSUM = 40,
	OFF_TCP_CHECKSUM = 50,
	FRAME_MIN = 54,
};

/* The state of the one queue that has the callback. */
static struct {
	uint64_t flows; /* in a turn; 0: endless */
	uint64_t at;	/* endless: the pair given last; else frames of this turn */
	uint64_t factor;
} source;

static uint32_t
add16(uint32_t sum, uint32_t value)
{
	sum += value;
	return (sum & 0xffff) + (sum >> 16);
}

static uint32_t
load16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

static void
store16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* Where the checksum lies, 0 for a frame that is left as it is. */
static uint32_t
checksum_offset(const uint8_t *f, const struct rte_mbuf *m)
{
	if (m->data_len < FRAME_MIN || load16(f + OFF_ETHERTYPE) != 0x0800 || f[OFF_IHL] != 0x45)
		return 0;
	switch (f[OFF_PROTO]) {
	case 6:
		return OFF_TCP_CHECKSUM;
	case 17:
		return OFF_UDP_CHECKSUM;
	}
	return 0;
}

/* The checksum follows by RFC 1624, equation 3. */
static void
set_ports(uint8_t *f, uint32_t checksum, uint32_t src, uint32_t dst)
{
	uint32_t sum = ~load16(f + checksum) & 0xffff;
	sum = add16(sum, ~load16(f + OFF_PORTS) & 0xffff);
	sum = add16(sum, ~load16(f + OFF_PORTS + 2) & 0xffff);
	sum = add16(sum, src);
	sum = add16(sum, dst);
	store16(f + checksum, ~sum & 0xffff);
	store16(f + OFF_PORTS, src);
	store16(f + OFF_PORTS + 2, dst);
}

static void
next_pair(uint32_t *src, uint32_t *dst)
{
	if (source.flows == 0) {
		source.at += STEP;
		if (source.at >= PAIRS)
			source.at -= PAIRS;
		*src = PORT_BASE + (uint32_t)(source.at % SOURCE_PORTS);
		*dst = PORT_BASE + (uint32_t)(source.at / SOURCE_PORTS);
		return;
	}
	/* An odd factor permutes the residues of a power of two. One order for
	 * all turns would be that in which the tables were filled. */
	uint64_t i = source.at * source.factor & (source.flows - 1);
	if (++source.at == source.flows) {
		source.at = 0;
		source.factor = source.factor * 6364136223846793005u + 1442695040888963408u;
	}
	*src = PORT_BASE + (uint32_t)(i & ((1u << TURN_BITS) - 1));
	*dst = PORT_BASE + (uint32_t)(i >> TURN_BITS);
}

static uint16_t
renew(uint16_t port, uint16_t queue, struct rte_mbuf *pkts[], uint16_t n,
      uint16_t max, void *arg)
{
	RTE_SET_USED(port);
	RTE_SET_USED(queue);
	RTE_SET_USED(max);
	RTE_SET_USED(arg);
	for (uint16_t i = 0; i < n; i++) {
		uint8_t *f = rte_pktmbuf_mtod(pkts[i], uint8_t *);
		uint32_t checksum = checksum_offset(f, pkts[i]);
		uint32_t src, dst;

		if (checksum == 0)
			continue;
		next_pair(&src, &dst);
		set_ports(f, checksum, src, dst);
	}
	return n;
}

/* A callback needs a queue that has been set up, and no event tells of one. */
static void *
watch(void *arg)
{
	for (;; usleep(1000)) {
		uint16_t port;
		RTE_ETH_FOREACH_DEV(port) {
			struct rte_eth_dev_info info;
			if (rte_eth_dev_info_get(port, &info) != 0 || info.nb_rx_queues == 0 ||
			    strcmp(info.driver_name, "net_pcap") != 0)
				continue;
			if (rte_eth_add_rx_callback(port, 0, renew, NULL) != NULL)
				return arg;
		}
	}
}

RTE_INIT(nitrod_bench_source)
{
	const char *flows = getenv("NITROD_BENCH_FLOWS");
	pthread_t thread;

	source.flows = flows == NULL ? 0 : strtoull(flows, NULL, 10);
	source.factor = STEP;
	if (pthread_create(&thread, NULL, watch, NULL) == 0)
		pthread_detach(thread);
}
