/* The C half of the binding: what Go may call.
 *
 * No DPDK header is included here, so that cgo has little to read and no
 * layout of DPDK's reaches Go. Addresses cross as integers (nd_handle,
 * uint64_t): the runtime's pointer check would walk arrays of pointers.
 * Functions that can fail return a negative errno.
 */
#ifndef ND_H
#define ND_H

#include <stddef.h>
#include <stdint.h>

typedef uintptr_t nd_handle; /* address of an object that DPDK or C owns */

/* ---- EAL and its log (eal.c) ---- */

/* Sends DPDK's log to fd, one record per message: a level byte, then text. */
int nd_log_open(int fd);
void nd_log_close(void);
/* Records that did not fit into fd. */
uint64_t nd_log_lost(void);
/* The last error that DPDK logged on this thread since nd_log_forget. */
void nd_log_forget(void);
const char *nd_log_last_error(void);

int nd_eal_init(int argc, char **argv);
int nd_eal_cleanup(void);
const char *nd_eal_runtime_dir(void);
int nd_eal_has_hugepages(void);
const char *nd_dpdk_version(void);
const char *nd_strerror(int err);
uint32_t nd_max_ports(void);

/* ---- lcores (eal.c) ---- */

/* Gives the calling thread an lcore id and a name; returns the id. */
int nd_lcore_register(const char *name);
void nd_lcore_unregister(void);

/* ---- mempools (eal.c) ---- */

int nd_pool_create(const char *name, uint32_t count, uint32_t cache,
		   uint16_t data_room, nd_handle *pool);
void nd_pool_free(nd_handle pool);
uint32_t nd_pool_available(nd_handle pool);
uint32_t nd_pool_in_use(nd_handle pool);

/* ---- ports (port.c) ---- */

#define ND_NAME_MAX 64

struct nd_port_info {
	char driver[ND_NAME_MAX];
	uint32_t max_mtu, min_mtu;
	uint16_t max_rx_queues, max_tx_queues;
	uint8_t scatter, multi_segs; /* capabilities */
};

struct nd_port_conf {
	nd_handle pool;
	uint16_t rx_queues, tx_queues;
	uint16_t rx_desc, tx_desc; /* 0: the driver's choice; out: adjusted */
	uint16_t mtu;		   /* 0: as the device has it */
	uint8_t scatter, multi_segs;
	uint8_t interrupts;
};

struct nd_port_stats {
	uint64_t rx_packets, tx_packets, rx_bytes, tx_bytes;
	uint64_t rx_missed, rx_errors, tx_errors, rx_nombuf;
};

struct nd_xstat {
	char name[ND_NAME_MAX];
	uint64_t value;
};

struct nd_link {
	uint32_t speed_mbps; /* UINT32_MAX: unknown */
	uint8_t up, full_duplex;
};

int nd_port_find(const char *name, uint16_t *port);
int nd_port_probe(const char *devargs);
int nd_port_info(uint16_t port, struct nd_port_info *info);
int nd_port_configure(uint16_t port, struct nd_port_conf *conf);
int nd_port_setup_rx(uint16_t port, const struct nd_port_conf *conf, uint16_t queue);
int nd_port_setup_tx(uint16_t port, const struct nd_port_conf *conf, uint16_t queue);
int nd_port_set_mtu(uint16_t port, uint16_t mtu);
int nd_port_get_mtu(uint16_t port, uint16_t *mtu);
/* Sets the MTU that ethdev holds where its own check refuses it (port_mtu.c). */
int nd_port_force_mtu(uint16_t port, const char *name, uint16_t mtu);
int nd_port_start(uint16_t port);
int nd_port_stop(uint16_t port);
int nd_port_promiscuous(uint16_t port);
int nd_port_mac(uint16_t port, uint8_t mac[6]);
int nd_port_link(uint16_t port, struct nd_link *link);
int nd_port_get_stats(uint16_t port, struct nd_port_stats *stats);
/* Returns how many there are; fills at most cap. */
int nd_port_xstats(uint16_t port, struct nd_xstat *stats, uint32_t cap);
/* Closes the port and removes its device. */
int nd_port_detach(uint16_t port);

/* What nd_io must know of a port; set before any nd_io uses it. */
#define ND_PORT_NO_CHAINS_TX 1	/* sends the first segment only, or worse */
#define ND_PORT_CHECK_PARTIAL 2 /* gives partial checksums without saying so */
#define ND_PORT_INTERRUPTS 4	/* was configured with receive interrupts */
void nd_port_set_flags(uint16_t port, uint8_t flags);
uint8_t nd_port_flags(uint16_t port);

/* ---- packet I/O of one lcore (io.c) ---- */

/* pktio.Desc, TxRun and Resize, bit for bit. */
struct nd_desc {
	uint64_t buf, data;
	uint32_t len, pkt_len;
	uint16_t port, queue, segs, flags;
};

struct nd_run {
	uint64_t bufs;
	uint16_t port, queue, n, sent;
};

struct nd_resize {
	uint64_t buf;
	uint32_t len, pad;
};

struct nd_queue {
	uint16_t port, queue;
};

/* Written by the lcore, read by anyone. */
struct nd_io_stats {
	uint64_t rx_completed;	/* partial checksums completed */
	uint64_t rx_pulled_up;	/* headers moved into the first segment */
	uint64_t rx_bad_csum;	/* dropped: a partial checksum that cannot be completed */
	uint64_t rx_oversized;	/* dropped: segmentation left to us, not negotiated */
	uint64_t tx_linearised; /* chains copied into one segment */
	uint64_t tx_unchained;	/* dropped: a chain that the port cannot send */
	uint64_t bad_resizes;	/* resizes beyond the room, ignored */
};

#define ND_MAX_BURST 64
/* A queue that gave nothing ND_IDLE_AFTER times in a row is polled once in
 * ND_IDLE_EVERY rounds, until it gives a packet. */
#define ND_IDLE_AFTER 256
#define ND_IDLE_EVERY 32
/* So many bytes of a chain are brought into its first segment. */
#define ND_HEADER_BYTES 256

int nd_io_create(nd_handle pool, const struct nd_queue *queues, uint32_t n,
		 uint32_t burst, nd_handle *io);
void nd_io_free(nd_handle io);
uint32_t nd_io_rx(nd_handle io, struct nd_desc *descs, uint32_t room);
void nd_io_tx(nd_handle io, struct nd_run *runs, uint32_t nruns,
	      const uint64_t *frees, uint32_t nfrees,
	      const struct nd_resize *resizes, uint32_t nresizes);
uint32_t nd_io_alloc(nd_handle io, struct nd_desc *descs, uint32_t n);
uint32_t nd_read(uint64_t buf, uint32_t offset, uint8_t *to, uint32_t n);
/* pktio.Rest. */
#define ND_REST_PAUSE 1
#define ND_REST_SLEEP 2
#define ND_REST_INTERRUPT 3
/* Returns whether something other than the time ended the rest. */
int nd_io_idle(nd_handle io, uint32_t how, uint64_t ns);
void nd_io_wake(nd_handle io);
/* Whether a packet in any of the queues ends ND_REST_INTERRUPT. */
int nd_io_interrupts(nd_handle io);
void nd_io_arm(nd_handle io, int on);
void nd_io_get_stats(nd_handle io, struct nd_io_stats *stats);

/* ---- packets outside the hot path (packet.c) ---- */

void nd_free_burst(const uint64_t *bufs, uint32_t n);
int nd_packet_from_bytes(nd_handle pool, const void *data, uint32_t len,
			 uint32_t first, struct nd_desc *desc);
uint32_t nd_packet_length(uint64_t buf);
int nd_packet_read(uint64_t buf, void *out, uint32_t cap);

/* ---- rings (ring.c) ---- */

int nd_ring_create(const char *name, uint32_t size, int single_producer,
		   int single_consumer, nd_handle *ring);
void nd_ring_free(nd_handle ring);
uint32_t nd_ring_enqueue(nd_handle ring, const uint64_t *objs, uint32_t n);
uint32_t nd_ring_dequeue(nd_handle ring, uint64_t *objs, uint32_t n);
uint32_t nd_ring_count(nd_handle ring);
uint32_t nd_ring_capacity(nd_handle ring);
int nd_ring_port(const char *name, const uint64_t *rx, uint32_t nrx,
		 const uint64_t *tx, uint32_t ntx, uint16_t *port);

/* ---- gaps between two readings of the clock (gap.c) ---- */

#define ND_GAP_SUB_BITS 3
#define ND_GAP_BUCKETS ((64 - ND_GAP_SUB_BITS + 1) << ND_GAP_SUB_BITS)

void nd_gap_histogram(uint64_t duration_ns, uint64_t counts[ND_GAP_BUCKETS],
		      uint64_t *max_ns);

#endif
