/* Completing partial checksums.
 *
 * A guest that believes in checksum offload leaves the sum over the
 * pseudo-header in the TCP or UDP checksum field. nitrod negotiates no such
 * offload, but Virtio 1.1 (5.1.6.4, VIRTIO_NET_HDR_F_NEEDS_CSUM) lets net_vhost
 * see it, and packets that Linux sends into a veth pair carry it without
 * any sign.
 */
#include <string.h>

#include <rte_byteorder.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf.h>

#include "packet.h"

#define MAX_VLAN_TAGS 2
#define MAX_EXTENSIONS 8
#define SCTP_CHECKSUM_OFFSET 8

struct l4 {
	uint32_t offset;
	uint32_t len;
	uint8_t proto;
	bool fragment;
	uint32_t pseudo; /* raw sum, not folded */
};

static bool
read_bytes(const struct rte_mbuf *m, uint32_t off, uint32_t len, void *out)
{
	const void *p = rte_pktmbuf_read(m, off, len, out);

	if (p == NULL)
		return false;
	if (p != out)
		memcpy(out, p, len);
	return true;
}

static void
write_u16(struct rte_mbuf *m, uint32_t off, uint16_t v)
{
	const uint8_t *bytes = (const uint8_t *)&v;

	for (uint32_t i = 0; i < sizeof(v); i++) {
		struct rte_mbuf *seg = m;
		uint32_t at = off + i;

		while (seg != NULL && at >= seg->data_len) {
			at -= seg->data_len;
			seg = seg->next;
		}
		if (seg != NULL)
			*rte_pktmbuf_mtod_offset(seg, uint8_t *, at) = bytes[i];
	}
}

static uint16_t
fold(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static bool
find_ipv4(const struct rte_mbuf *m, uint32_t off, struct l4 *l4)
{
	struct rte_ipv4_hdr ip;
	uint32_t hlen, total;

	if (!read_bytes(m, off, sizeof(ip), &ip) || (ip.version_ihl >> 4) != 4)
		return false;
	hlen = (ip.version_ihl & 0xf) * 4u;
	total = rte_be_to_cpu_16(ip.total_length);
	if (hlen < sizeof(ip) || total < hlen || off + total > m->pkt_len)
		return false;
	l4->offset = off + hlen;
	l4->len = total - hlen;
	l4->proto = ip.next_proto_id;
	l4->fragment = (ip.fragment_offset & rte_cpu_to_be_16(0x3fff)) != 0;
	l4->pseudo = rte_raw_cksum(&ip.src_addr, 8);
	return true;
}

static bool
find_ipv6(const struct rte_mbuf *m, uint32_t off, struct l4 *l4)
{
	struct rte_ipv6_hdr ip;
	uint8_t ext[8];
	uint32_t at = off + sizeof(ip), end;

	if (!read_bytes(m, off, sizeof(ip), &ip) ||
	    (rte_be_to_cpu_32(ip.vtc_flow) >> 28) != 6)
		return false;
	end = at + rte_be_to_cpu_16(ip.payload_len);
	if (end > m->pkt_len)
		return false;
	l4->proto = ip.proto;
	for (int i = 0; i < MAX_EXTENSIONS; i++) {
		switch (l4->proto) {
		case IPPROTO_HOPOPTS:
		case IPPROTO_ROUTING:
		case IPPROTO_DSTOPTS:
			if (at + sizeof(ext) > end || !read_bytes(m, at, sizeof(ext), ext))
				return false;
			l4->proto = ext[0];
			at += (ext[1] + 1u) * 8;
			continue;
		case IPPROTO_FRAGMENT:
			l4->fragment = true;
			break;
		}
		break;
	}
	if (at > end)
		return false;
	l4->offset = at;
	l4->len = end - at;
	l4->pseudo = rte_raw_cksum(&ip.src_addr, 32);
	return true;
}

static bool
find_l4(const struct rte_mbuf *m, struct l4 *l4)
{
	uint32_t off = offsetof(struct rte_ether_hdr, ether_type);
	rte_be16_t type;

	memset(l4, 0, sizeof(*l4));
	for (int tags = 0; tags <= MAX_VLAN_TAGS; tags++) {
		if (!read_bytes(m, off, sizeof(type), &type))
			return false;
		off += sizeof(type);
		if (type == rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4))
			return find_ipv4(m, off, l4);
		if (type == rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV6))
			return find_ipv6(m, off, l4);
		if (type != rte_cpu_to_be_16(RTE_ETHER_TYPE_VLAN) &&
		    type != rte_cpu_to_be_16(RTE_ETHER_TYPE_QINQ))
			return false;
		off += 2; /* the tag; the next type follows */
	}
	return false;
}

enum nd_csum
nd_complete_csum(struct rte_mbuf *m, bool known)
{
	enum nd_csum otherwise = known ? ND_CSUM_BAD : ND_CSUM_WHOLE;
	uint32_t field_offset, sctp;
	uint16_t field, pseudo, sum;
	struct l4 l4;

	if (!find_l4(m, &l4) || l4.fragment)
		return otherwise;
	switch (l4.proto) {
	case IPPROTO_TCP:
		field_offset = l4.offset + 16;
		break;
	case IPPROTO_UDP:
		field_offset = l4.offset + 6;
		break;
	case IPPROTO_SCTP:
		/* Offload leaves zero there; the CRC is nobody's but the sender's. */
		if (!read_bytes(m, l4.offset + SCTP_CHECKSUM_OFFSET, sizeof(sctp), &sctp))
			return otherwise;
		return sctp == 0 ? ND_CSUM_BAD : otherwise;
	default:
		return otherwise;
	}
	if (field_offset + sizeof(field) > l4.offset + l4.len ||
	    !read_bytes(m, field_offset, sizeof(field), &field))
		return otherwise;
	pseudo = fold(l4.pseudo + rte_cpu_to_be_16((uint16_t)l4.len) +
		      rte_cpu_to_be_16(l4.proto));
	/* A UDP checksum of zero means that there is none (RFC 768). */
	if (!known && (field != pseudo || field == 0))
		return ND_CSUM_WHOLE;
	write_u16(m, field_offset, pseudo);
	if (rte_raw_cksum_mbuf(m, l4.offset, l4.len, &sum) != 0)
		return ND_CSUM_BAD;
	sum = (uint16_t)~sum;
	if (sum == 0 && l4.proto == IPPROTO_UDP)
		sum = 0xffff;
	write_u16(m, field_offset, sum);
	m->ol_flags &= ~RTE_MBUF_F_RX_L4_CKSUM_MASK;
	return ND_CSUM_COMPLETED;
}
