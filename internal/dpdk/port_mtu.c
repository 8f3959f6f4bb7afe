/* An MTU that ethdev's own check refuses although the driver carries it.
 *
 * net_tap of DPDK 22.11 says that its longest frame is 1522 bytes, and ethdev
 * refuses a larger MTU on that ground. The driver itself receives frames of
 * any length, and on transmit only compares a frame with the MTU that ethdev
 * holds for the port. That word is what has to change, and no call changes it.
 *
 * Its place depends on the version of DPDK, so it is found by experiment: in
 * the port's record (a named memory zone that begins with the device's name),
 * it is the one 16-bit word that follows three legal settings of the MTU.
 * Unless exactly one word does, nothing is written.
 */
#include <errno.h>
#include <string.h>

#include <rte_ethdev.h>
#include <rte_memzone.h>

#include "nd.h"

#define PORT_RECORDS "rte_eth_dev_data"
#define MAX_CANDIDATES 4096

/* All legal, and none below 1280, where Linux would turn IPv6 off. */
static const uint16_t probes[] = {1436, 1372, 1500};

static uint16_t *
find_record(const char *name, size_t *words)
{
	const struct rte_memzone *mz = rte_memzone_lookup(PORT_RECORDS);
	size_t len = strlen(name) + 1;
	size_t record;
	char *p;

	if (mz == NULL)
		return NULL;
	record = mz->len / RTE_MAX_ETHPORTS;
	for (p = mz->addr; p + record <= (char *)mz->addr + mz->len; p += 8) {
		if (memcmp(p, name, len) == 0) {
			*words = record / sizeof(uint16_t);
			return (uint16_t *)p;
		}
	}
	return NULL;
}

int
nd_port_force_mtu(uint16_t port, const char *name, uint16_t mtu)
{
	uint16_t candidates[MAX_CANDIDATES];
	uint32_t n = 0;
	size_t words = 0;
	uint16_t *record = find_record(name, &words);
	uint16_t now;
	int ret;

	if (record == NULL)
		return -ENOTSUP;
	for (size_t k = 0; k < RTE_DIM(probes); k++) {
		uint32_t kept = 0;

		ret = rte_eth_dev_set_mtu(port, probes[k]);
		if (ret != 0)
			return ret;
		if (k == 0) {
			for (size_t i = 0; i < words && n < MAX_CANDIDATES; i++)
				if (record[i] == probes[0])
					candidates[n++] = (uint16_t)i;
			continue;
		}
		for (uint32_t i = 0; i < n; i++)
			if (record[candidates[i]] == probes[k])
				candidates[kept++] = candidates[i];
		n = kept;
	}
	if (n != 1)
		return -ENOTSUP;
	record[candidates[0]] = mtu;
	ret = rte_eth_dev_get_mtu(port, &now);
	if (ret != 0 || now != mtu) {
		record[candidates[0]] = probes[RTE_DIM(probes) - 1];
		return -ENOTSUP;
	}
	return 0;
}
