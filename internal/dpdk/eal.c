/* EAL, its log, lcores and mempools. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_version.h>

#include "nd.h"

/* A record that is longer is cut; it stays below PIPE_BUF, so that the pipe
 * takes it whole or not at all. */
#define LOG_RECORD 1024

static int log_fd = -1;
static FILE *log_file;
static atomic_uint_fast64_t log_lost;

/* A failed call's reason is often in the log only; kept per thread, because
 * DPDK logs it on the thread that made the call. */
static __thread char last_error[256];

static ssize_t
log_write(void *cookie, const char *buf, size_t size)
{
	char rec[LOG_RECORD];
	size_t n = size < sizeof(rec) - 1 ? size : sizeof(rec) - 1;
	int level = rte_log_cur_msg_loglevel();

	(void)cookie;
	if (level > 0 && level <= (int)RTE_LOG_ERR) {
		size_t m = size < sizeof(last_error) - 1 ? size : sizeof(last_error) - 1;

		memcpy(last_error, buf, m);
		last_error[m] = '\0';
	}
	rec[0] = (char)level;
	memcpy(rec + 1, buf, n);
	/* The pipe does not block: an lcore must not wait for the logger. */
	if (write(log_fd, rec, n + 1) < 0)
		atomic_fetch_add_explicit(&log_lost, 1, memory_order_relaxed);
	return (ssize_t)size;
}

int
nd_log_open(int fd)
{
	cookie_io_functions_t io = {.write = log_write};

	log_fd = fd;
	log_file = fopencookie(NULL, "w", io);
	if (log_file == NULL)
		return -errno;
	if (rte_openlog_stream(log_file) != 0)
		return -EIO;
	return 0;
}

void
nd_log_close(void)
{
	rte_openlog_stream(NULL);
	if (log_file != NULL)
		fclose(log_file);
	log_file = NULL;
}

uint64_t
nd_log_lost(void)
{
	return atomic_load_explicit(&log_lost, memory_order_relaxed);
}

void
nd_log_forget(void)
{
	last_error[0] = '\0';
}

const char *
nd_log_last_error(void)
{
	return last_error;
}

int
nd_eal_init(int argc, char **argv)
{
	if (rte_eal_init(argc, argv) < 0)
		return rte_errno != 0 ? -rte_errno : -EINVAL;
	return 0;
}

int
nd_eal_cleanup(void)
{
	return rte_eal_cleanup();
}

const char *
nd_eal_runtime_dir(void)
{
	return rte_eal_get_runtime_dir();
}

int
nd_eal_has_hugepages(void)
{
	return rte_eal_has_hugepages();
}

const char *
nd_dpdk_version(void)
{
	return rte_version();
}

const char *
nd_strerror(int err)
{
	return rte_strerror(err);
}

uint32_t
nd_max_ports(void)
{
	return RTE_MAX_ETHPORTS;
}

int
nd_lcore_register(const char *name)
{
	if (rte_lcore_id() != LCORE_ID_ANY)
		return -EEXIST;
	if (rte_thread_register() < 0)
		return rte_errno != 0 ? -rte_errno : -EINVAL;
	pthread_setname_np(pthread_self(), name);
	/* The kernel would let each sleep be longer by 50 us. */
	prctl(PR_SET_TIMERSLACK, 1000, 0, 0, 0);
	return (int)rte_lcore_id();
}

void
nd_lcore_unregister(void)
{
	prctl(PR_SET_TIMERSLACK, 0, 0, 0, 0); /* back to the default */
	rte_thread_unregister();
}

int
nd_pool_create(const char *name, uint32_t count, uint32_t cache,
	       uint16_t data_room, nd_handle *pool)
{
	struct rte_mempool *mp;

	mp = rte_pktmbuf_pool_create(name, count, cache, 0,
				     (uint16_t)(data_room + RTE_PKTMBUF_HEADROOM),
				     (int)rte_socket_id());
	if (mp == NULL)
		return rte_errno != 0 ? -rte_errno : -ENOMEM;
	*pool = (nd_handle)mp;
	return 0;
}

void
nd_pool_free(nd_handle pool)
{
	rte_mempool_free((struct rte_mempool *)pool);
}

uint32_t
nd_pool_available(nd_handle pool)
{
	return rte_mempool_avail_count((struct rte_mempool *)pool);
}

uint32_t
nd_pool_in_use(nd_handle pool)
{
	return rte_mempool_in_use_count((struct rte_mempool *)pool);
}
