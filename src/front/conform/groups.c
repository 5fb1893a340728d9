/* SPDX-License-Identifier: MIT */
/* The registry: every group and its cases, in the order in which they run. */
#include "front/conform/case.h"

#define CASES(...) ((const struct conform_case *const[]){__VA_ARGS__, NULL})

const struct conform_group conform_groups[] = {
    {"negotiation", CASES(conform_negotiation, conform_keys, conform_queue_keys, conform_walks),
     false},
    {"rings", CASES(conform_rings, conform_events, conform_queues), false},
    {"ABIs", CASES(conform_abis), false},
    {"segments", CASES(conform_segments, conform_indirect), false},
    {"operations",
     CASES(conform_operations, conform_discards, conform_readonly, conform_persistent), false},
    {"ordering", CASES(conform_ordering, conform_queue_order), false},
    {"limits", CASES(conform_limits), false},
    {"errors", CASES(conform_errors, conform_indirect_errors), false},
    {"hostile",
     CASES(conform_hostile_ring, conform_hostile_keys, conform_hostile_states,
           conform_hostile_queues),
     true},
    {NULL, NULL, false},
};
