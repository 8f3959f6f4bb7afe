/* The gaps that a loop sees which does nothing but read the clock. */
#include <rte_cycles.h>

#include "nd.h"

/* Cycles to ns by a multiplication and a shift. */
#define SCALE_SHIFT 24

static inline uint32_t
bucket(uint64_t ns)
{
	uint32_t octave;

	if (ns < (1u << ND_GAP_SUB_BITS))
		return (uint32_t)ns;
	octave = 63 - (uint32_t)__builtin_clzll(ns) - ND_GAP_SUB_BITS;
	return ((octave + 1) << ND_GAP_SUB_BITS) +
	       (uint32_t)((ns >> octave) & ((1u << ND_GAP_SUB_BITS) - 1));
}

void
nd_gap_histogram(uint64_t duration_ns, uint64_t counts[ND_GAP_BUCKETS], uint64_t *max_ns)
{
	uint64_t hz = rte_get_tsc_hz();
	uint64_t scale = (1000000000ull << SCALE_SHIFT) / hz;
	uint64_t last = rte_rdtsc();
	uint64_t end = last + (uint64_t)((double)duration_ns * (double)hz / 1e9);
	uint64_t max = 0;

	while (last < end) {
		uint64_t now = rte_rdtsc();
		uint64_t ns = ((now - last) * scale) >> SCALE_SHIFT;

		counts[bucket(ns)]++;
		if (ns > max)
			max = ns;
		last = now;
	}
	*max_ns = max;
}
