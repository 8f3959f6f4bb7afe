/* How an lcore rests: on its CPU, or asleep until something comes. */
#define _GNU_SOURCE /* ppoll */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_malloc.h>
#include <rte_pause.h>

#include "rest.h"

struct queue {
	uint16_t port, queue;
	uint8_t arms; /* interrupts only after it was told to */
};

/* wakefd can be read after nd_rest_wake. epfd can be after that too, and after
 * an interrupt of a queue. The queues are in it edge-triggered: nothing has to
 * be read from their descriptors, of which a tap's would give a packet. */
struct nd_rest {
	int epfd, wakefd;
	bool interrupts; /* every queue has them */
	uint32_t n;
	struct queue q[];
};

/* Adds a queue's descriptor to epfd. False: it has no interrupts. */
static bool
watch(struct nd_rest *r, struct queue *q)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLET};
	int fd, ret;

	if ((nd_port_flags(q->port) & ND_PORT_INTERRUPTS) == 0)
		return false;
	fd = rte_eth_dev_rx_intr_ctl_q_get_fd(q->port, q->queue);
	if (fd < 0 || epoll_ctl(r->epfd, EPOLL_CTL_ADD, fd, &event) != 0)
		return false;
	/* A driver with descriptors but without this has nothing to arm. */
	ret = rte_eth_dev_rx_intr_disable(q->port, q->queue);
	q->arms = ret == 0;
	return ret == 0 || ret == -ENOTSUP;
}

struct nd_rest *
nd_rest_create(const struct nd_queue *queues, uint32_t n)
{
	struct epoll_event event = {.events = EPOLLIN};
	struct nd_rest *r = rte_zmalloc("nd_rest", sizeof(*r) + n * sizeof(r->q[0]), 0);

	if (r == NULL) {
		errno = ENOMEM;
		return NULL;
	}
	r->n = n;
	r->epfd = epoll_create1(EPOLL_CLOEXEC);
	r->wakefd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r->epfd < 0 || r->wakefd < 0 || epoll_ctl(r->epfd, EPOLL_CTL_ADD, r->wakefd, &event) != 0) {
		int err = errno;

		nd_rest_free(r);
		errno = err;
		return NULL;
	}
	r->interrupts = true;
	for (uint32_t i = 0; i < n; i++) {
		r->q[i].port = queues[i].port;
		r->q[i].queue = queues[i].queue;
		r->interrupts = watch(r, &r->q[i]) && r->interrupts;
	}
	return r;
}

void
nd_rest_free(struct nd_rest *r)
{
	if (r == NULL)
		return;
	if (r->epfd >= 0)
		close(r->epfd);
	if (r->wakefd >= 0)
		close(r->wakefd);
	rte_free(r);
}

/* By PAUSE: the one that waits for a time (TPAUSE) is no part of DPDK 22.11's
 * stable ABI. */
static void
pause_for(uint64_t ns)
{
	uint64_t until = rte_get_tsc_cycles() + ns * rte_get_tsc_hz() / NS_PER_S;

	while (rte_get_tsc_cycles() < until)
		rte_pause();
}

int
nd_rest_idle(struct nd_rest *r, uint32_t how, uint64_t ns)
{
	struct pollfd p = {.fd = how == ND_REST_INTERRUPT ? r->epfd : r->wakefd, .events = POLLIN};
	struct timespec ts = {.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
	struct epoll_event events[64];
	uint64_t wakes;
	int woken;

	if (how == ND_REST_PAUSE) {
		pause_for(ns);
		return 0;
	}
	woken = ppoll(&p, 1, &ts, NULL) > 0; /* a signal ends it too, which only costs a round */
	if (woken) {
		if (how == ND_REST_INTERRUPT)
			(void)epoll_wait(r->epfd, events, RTE_DIM(events), 0);
		(void)!read(r->wakefd, &wakes, sizeof(wakes));
	}
	if (how == ND_REST_INTERRUPT)
		nd_rest_arm(r, 0);
	return woken;
}

void
nd_rest_wake(struct nd_rest *r)
{
	const uint64_t one = 1;

	(void)!write(r->wakefd, &one, sizeof(one));
}

int
nd_rest_interrupts(const struct nd_rest *r)
{
	return r->interrupts;
}

void
nd_rest_arm(struct nd_rest *r, int on)
{
	for (uint32_t i = 0; i < r->n; i++) {
		const struct queue *q = &r->q[i];

		if (q->arms)
			(void)(on ? rte_eth_dev_rx_intr_enable(q->port, q->queue)
				  : rte_eth_dev_rx_intr_disable(q->port, q->queue));
	}
}
