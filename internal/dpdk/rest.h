/* How an lcore rests (rest.c). */
#ifndef ND_REST_H
#define ND_REST_H

#include "nd.h"

struct nd_rest;

/* Returns NULL with errno set. The ports must be started. */
struct nd_rest *nd_rest_create(const struct nd_queue *queues, uint32_t n);
void nd_rest_free(struct nd_rest *r);
int nd_rest_idle(struct nd_rest *r, uint32_t how, uint64_t ns);
void nd_rest_wake(struct nd_rest *r);
int nd_rest_interrupts(const struct nd_rest *r);
void nd_rest_arm(struct nd_rest *r, int on);

#endif
