/* Ports: thin wrappers, so that no layout of ethdev reaches Go. */
#include <errno.h>
#include <string.h>

#include <rte_bus.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>

#include "nd.h"

static uint8_t port_flags[RTE_MAX_ETHPORTS];

void
nd_port_set_flags(uint16_t port, uint8_t flags)
{
	if (port < RTE_MAX_ETHPORTS)
		port_flags[port] = flags;
}

uint8_t
nd_port_flags(uint16_t port)
{
	return port < RTE_MAX_ETHPORTS ? port_flags[port] : 0;
}

int
nd_port_find(const char *name, uint16_t *port)
{
	return rte_eth_dev_get_port_by_name(name, port);
}

int
nd_port_probe(const char *devargs)
{
	return rte_dev_probe(devargs);
}

int
nd_port_info(uint16_t port, struct nd_port_info *out)
{
	struct rte_eth_dev_info info;
	uint32_t overhead = RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN;
	int ret = rte_eth_dev_info_get(port, &info);

	if (ret != 0)
		return ret;
	/* ethdev's own arithmetic: where a driver names an MTU, the rest of
	 * its longest frame is its overhead. */
	if (info.max_mtu != UINT16_MAX && info.max_rx_pktlen > info.max_mtu)
		overhead = info.max_rx_pktlen - info.max_mtu;
	memset(out, 0, sizeof(*out));
	strncpy(out->driver, info.driver_name != NULL ? info.driver_name : "",
		sizeof(out->driver) - 1);
	out->min_mtu = info.min_mtu;
	out->max_mtu = RTE_MIN((uint32_t)info.max_mtu,
			       info.max_rx_pktlen > overhead ? info.max_rx_pktlen - overhead : 0);
	out->max_rx_queues = info.max_rx_queues;
	out->max_tx_queues = info.max_tx_queues;
	out->scatter = (info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_SCATTER) != 0;
	out->multi_segs = (info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS) != 0;
	return 0;
}

int
nd_port_configure(uint16_t port, struct nd_port_conf *conf)
{
	struct rte_eth_dev_info info;
	struct rte_eth_conf eth;
	int ret = rte_eth_dev_info_get(port, &info);

	if (ret != 0)
		return ret;
	memset(&eth, 0, sizeof(eth));
	eth.rxmode.mq_mode = RTE_ETH_MQ_RX_NONE;
	eth.rxmode.mtu = conf->mtu;
	if (conf->mtu == 0) {
		ret = rte_eth_dev_get_mtu(port, &conf->mtu);
		if (ret != 0)
			return ret;
		eth.rxmode.mtu = conf->mtu;
	}
	/* RSS without a hash function would leave every packet on queue 0. */
	if (conf->rx_queues > 1 && info.flow_type_rss_offloads != 0) {
		eth.rx_adv_conf.rss_conf.rss_hf =
			info.flow_type_rss_offloads &
			(RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP);
		if (eth.rx_adv_conf.rss_conf.rss_hf != 0)
			eth.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
	}
	if (conf->scatter)
		eth.rxmode.offloads |= RTE_ETH_RX_OFFLOAD_SCATTER;
	if (conf->multi_segs)
		eth.txmode.offloads |= RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
	eth.intr_conf.rxq = conf->interrupts;
	ret = rte_eth_dev_configure(port, conf->rx_queues, conf->tx_queues, &eth);
	if (ret != 0)
		return ret;
	if (conf->rx_desc == 0)
		conf->rx_desc = info.default_rxportconf.ring_size != 0 ?
			info.default_rxportconf.ring_size : RTE_ETH_DEV_FALLBACK_RX_RINGSIZE;
	if (conf->tx_desc == 0)
		conf->tx_desc = info.default_txportconf.ring_size != 0 ?
			info.default_txportconf.ring_size : RTE_ETH_DEV_FALLBACK_TX_RINGSIZE;
	return rte_eth_dev_adjust_nb_rx_tx_desc(port, &conf->rx_desc, &conf->tx_desc);
}

int
nd_port_setup_rx(uint16_t port, const struct nd_port_conf *conf, uint16_t queue)
{
	int socket = rte_eth_dev_socket_id(port);

	return rte_eth_rx_queue_setup(port, queue, conf->rx_desc,
				      socket < 0 ? 0 : (unsigned int)socket, NULL,
				      (struct rte_mempool *)conf->pool);
}

int
nd_port_setup_tx(uint16_t port, const struct nd_port_conf *conf, uint16_t queue)
{
	int socket = rte_eth_dev_socket_id(port);

	return rte_eth_tx_queue_setup(port, queue, conf->tx_desc,
				      socket < 0 ? 0 : (unsigned int)socket, NULL);
}

int
nd_port_set_mtu(uint16_t port, uint16_t mtu)
{
	return rte_eth_dev_set_mtu(port, mtu);
}

int
nd_port_get_mtu(uint16_t port, uint16_t *mtu)
{
	return rte_eth_dev_get_mtu(port, mtu);
}

int
nd_port_start(uint16_t port)
{
	return rte_eth_dev_start(port);
}

int
nd_port_stop(uint16_t port)
{
	return rte_eth_dev_stop(port);
}

int
nd_port_promiscuous(uint16_t port)
{
	return rte_eth_promiscuous_enable(port);
}

int
nd_port_mac(uint16_t port, uint8_t mac[6])
{
	struct rte_ether_addr addr;
	int ret = rte_eth_macaddr_get(port, &addr);

	if (ret == 0)
		memcpy(mac, addr.addr_bytes, RTE_ETHER_ADDR_LEN);
	return ret;
}

int
nd_port_link(uint16_t port, struct nd_link *out)
{
	struct rte_eth_link link;
	int ret = rte_eth_link_get_nowait(port, &link);

	if (ret != 0)
		return ret;
	out->speed_mbps = link.link_speed;
	out->up = link.link_status == RTE_ETH_LINK_UP;
	out->full_duplex = link.link_duplex == RTE_ETH_LINK_FULL_DUPLEX;
	return 0;
}

int
nd_port_get_stats(uint16_t port, struct nd_port_stats *out)
{
	struct rte_eth_stats stats;
	int ret = rte_eth_stats_get(port, &stats);

	if (ret != 0)
		return ret;
	out->rx_packets = stats.ipackets;
	out->tx_packets = stats.opackets;
	out->rx_bytes = stats.ibytes;
	out->tx_bytes = stats.obytes;
	out->rx_missed = stats.imissed;
	out->rx_errors = stats.ierrors;
	out->tx_errors = stats.oerrors;
	out->rx_nombuf = stats.rx_nombuf;
	return 0;
}

int
nd_port_xstats(uint16_t port, struct nd_xstat *out, uint32_t cap)
{
	struct rte_eth_xstat_name *names;
	struct rte_eth_xstat *values;
	int n = rte_eth_xstats_get_names(port, NULL, 0);

	_Static_assert(RTE_ETH_XSTATS_NAME_SIZE == ND_NAME_MAX, "xstat name");
	if (n <= 0 || cap == 0)
		return n;
	names = calloc((size_t)n, sizeof(*names));
	values = calloc((size_t)n, sizeof(*values));
	if (names == NULL || values == NULL) {
		n = -ENOMEM;
		goto out;
	}
	n = RTE_MIN(rte_eth_xstats_get_names(port, names, (unsigned int)n),
		    rte_eth_xstats_get(port, values, (unsigned int)n));
	for (int i = 0; i < n && i < (int)cap; i++) {
		memcpy(out[i].name, names[i].name, ND_NAME_MAX);
		out[i].value = values[i].value;
	}
out:
	free(names);
	free(values);
	return n;
}

int
nd_port_detach(uint16_t port)
{
	struct rte_eth_dev_info info;
	int ret = rte_eth_dev_info_get(port, &info);

	if (ret != 0)
		return ret;
	ret = rte_eth_dev_close(port);
	port_flags[port] = 0;
	if (ret != 0)
		return ret;
	return rte_dev_remove(info.device);
}
