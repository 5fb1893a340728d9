/* SPDX-License-Identifier: MIT */
/* Wire layouts: our offsets against the compiler's own idea of the public structs. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <xen/io/protocols.h>

#include "blkif/abi.h"

/* The public structs as a 32-bit x86 compiler lays them out. */
#pragma pack(push, 4)
struct x32_rw {
	uint8_t operation, nr_segments;
	uint16_t handle;
	uint64_t id, sector_number;
	struct blkif_request_segment seg[11];
};
struct x32_discard {
	uint8_t operation, flag;
	uint16_t handle;
	uint64_t id, sector_number, nr_sectors;
};
struct x32_indirect {
	uint8_t operation, indirect_op;
	uint16_t nr_segments;
	uint64_t id, sector_number;
	uint16_t handle;
	uint32_t indirect_grefs[8];
	uint64_t pad;
};
struct x32_response {
	uint64_t id;
	uint8_t operation;
	int16_t status;
};
#pragma pack(pop)

_Static_assert(sizeof(struct x32_rw) == 108, "x86_32 slot");
_Static_assert(sizeof(struct x32_indirect) == 64, "x86_32 indirect");
_Static_assert(sizeof(struct x32_response) == 12, "x86_32 response");

static uint64_t seed = 20240607;

static uint8_t random_byte(void)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint8_t)(seed >> 56);
}

/* Where the fields of one kind of slot lie, according to the compiler. */
struct shape {
	enum blkif_protocol proto;
	size_t slot;
	struct {
		size_t at, len;
	} field[40];
	size_t fields;
};

static void field(struct shape *s, size_t at, size_t len)
{
	s->field[s->fields].at = at;
	s->field[s->fields++].len = len;
}

#define FIELD(s, type, member) field(s, offsetof(type, member), sizeof(((type *)0)->member))

/* Keeps the fields' bytes of raw, zeroes the padding. */
static void only_fields(const struct shape *s, const uint8_t *raw, uint8_t *out)
{
	memset(out, 0, s->slot);
	for (size_t i = 0; i < s->fields; i++)
		memcpy(out + s->field[i].at, raw + s->field[i].at, s->field[i].len);
}

/* Random slots with this operation: decode, encode and decode again change nothing but padding. */
static void round_trip(const struct shape *s, uint8_t op)
{
	for (int n = 0; n < 500; n++) {
		uint8_t raw[BLKIF_SLOT_MAX + 1], back[BLKIF_SLOT_MAX + 1], want[BLKIF_SLOT_MAX];
		struct blkif_req req, again;
		uint8_t *slot = raw + (n & 1); /* any alignment */

		for (size_t i = 0; i < sizeof raw; i++)
			raw[i] = random_byte();
		slot[0] = op;
		memset(back, 0xa5, sizeof back);
		blkif_decode_req(s->proto, slot, &req);
		blkif_encode_req(s->proto, &req, back);
		only_fields(s, slot, want);
		assert_memory_equal(back, want, s->slot);
		assert_int_equal(back[s->slot], 0xa5);
		blkif_decode_req(s->proto, back, &again);
		assert_memory_equal(&req, &again, sizeof req);
	}
}

#define DEFINE_ABI_TEST(name, PROTO, RW, DISCARD, INDIRECT, RESPONSE)                              \
	static void name##_rw(void **state)                                                        \
	{                                                                                          \
		static const uint8_t ops[] = {0, 1, 2, 3, 4, 7, 200, 255};                         \
		struct shape s = {.proto = PROTO, .slot = sizeof(RW)};                             \
		assert_int_equal(blkif_slot_size(PROTO), sizeof(RW));                              \
		FIELD(&s, RW, operation);                                                          \
		FIELD(&s, RW, nr_segments);                                                        \
		FIELD(&s, RW, handle);                                                             \
		FIELD(&s, RW, id);                                                                 \
		FIELD(&s, RW, sector_number);                                                      \
		for (size_t i = 0; i < 11; i++) {                                                  \
			size_t seg = offsetof(RW, seg) + i * sizeof(struct blkif_request_segment); \
			field(&s, seg, 4);                                                         \
			field(&s, seg + offsetof(struct blkif_request_segment, first_sect), 1);    \
			field(&s, seg + offsetof(struct blkif_request_segment, last_sect), 1);     \
		}                                                                                  \
		for (size_t i = 0; i < sizeof ops; i++)                                            \
			round_trip(&s, ops[i]);                                                    \
		RW raw;                                                                            \
		struct blkif_req req;                                                              \
		for (size_t i = 0; i < sizeof raw; i++)                                            \
			((uint8_t *)&raw)[i] = random_byte();                                      \
		raw.operation = BLKIF_OP_WRITE;                                                    \
		raw.nr_segments = 255; /* all 11 are decoded whatever it says */                   \
		blkif_decode_req(PROTO, &raw, &req);                                               \
		assert_int_equal(req.op, BLKIF_OP_WRITE);                                          \
		assert_int_equal(req.nr_segments, 255);                                            \
		assert_int_equal(req.handle, raw.handle);                                          \
		assert_true(req.id == raw.id && req.sector == raw.sector_number);                  \
		assert_int_equal(req.inner_op | req.flag | req.nr_sectors | req.indirect[0], 0);   \
		for (size_t i = 0; i < 11; i++) {                                                  \
			assert_int_equal(req.seg[i].gref, raw.seg[i].gref);                        \
			assert_int_equal(req.seg[i].first, raw.seg[i].first_sect);                 \
			assert_int_equal(req.seg[i].last, raw.seg[i].last_sect);                   \
		}                                                                                  \
	}                                                                                          \
	static void name##_discard(void **state)                                                   \
	{                                                                                          \
		struct shape s = {.proto = PROTO, .slot = sizeof(RW)};                             \
		FIELD(&s, DISCARD, operation);                                                     \
		FIELD(&s, DISCARD, flag);                                                          \
		FIELD(&s, DISCARD, handle);                                                        \
		FIELD(&s, DISCARD, id);                                                            \
		FIELD(&s, DISCARD, sector_number);                                                 \
		FIELD(&s, DISCARD, nr_sectors);                                                    \
		round_trip(&s, BLKIF_OP_DISCARD);                                                  \
		union {                                                                            \
			DISCARD d;                                                                 \
			uint8_t slot[BLKIF_SLOT_MAX];                                              \
		} raw;                                                                             \
		struct blkif_req req;                                                              \
		for (size_t i = 0; i < sizeof raw.slot; i++)                                       \
			raw.slot[i] = random_byte();                                               \
		raw.d.operation = BLKIF_OP_DISCARD;                                                \
		blkif_decode_req(PROTO, &raw, &req);                                               \
		assert_int_equal(req.flag, raw.d.flag);                                            \
		assert_int_equal(req.handle, raw.d.handle);                                        \
		assert_true(req.id == raw.d.id && req.sector == raw.d.sector_number);              \
		assert_true(req.nr_sectors == raw.d.nr_sectors);                                   \
		assert_int_equal(req.nr_segments | req.inner_op, 0);                               \
		for (size_t i = 0; i < 11; i++)                                                    \
			assert_int_equal(req.seg[i].gref | req.seg[i].first | req.seg[i].last, 0); \
	}                                                                                          \
	static void name##_indirect(void **state)                                                  \
	{                                                                                          \
		struct shape s = {.proto = PROTO, .slot = sizeof(RW)};                             \
		FIELD(&s, INDIRECT, operation);                                                    \
		FIELD(&s, INDIRECT, indirect_op);                                                  \
		FIELD(&s, INDIRECT, nr_segments);                                                  \
		FIELD(&s, INDIRECT, id);                                                           \
		FIELD(&s, INDIRECT, sector_number);                                                \
		FIELD(&s, INDIRECT, handle);                                                       \
		FIELD(&s, INDIRECT, indirect_grefs);                                               \
		round_trip(&s, BLKIF_OP_INDIRECT);                                                 \
		union {                                                                            \
			INDIRECT d;                                                                \
			uint8_t slot[BLKIF_SLOT_MAX];                                              \
		} raw;                                                                             \
		struct blkif_req req;                                                              \
		for (size_t i = 0; i < sizeof raw.slot; i++)                                       \
			raw.slot[i] = random_byte();                                               \
		raw.d.operation = BLKIF_OP_INDIRECT;                                               \
		blkif_decode_req(PROTO, &raw, &req);                                               \
		assert_int_equal(req.inner_op, raw.d.indirect_op);                                 \
		assert_int_equal(req.nr_segments, raw.d.nr_segments);                              \
		assert_int_equal(req.handle, raw.d.handle);                                        \
		assert_true(req.id == raw.d.id && req.sector == raw.d.sector_number);              \
		for (size_t i = 0; i < 8; i++)                                                     \
			assert_int_equal(req.indirect[i], raw.d.indirect_grefs[i]);                \
		assert_int_equal(req.flag | req.nr_sectors, 0);                                    \
	}                                                                                          \
	static void name##_response(void **state)                                                  \
	{                                                                                          \
		struct blkif_rsp rsp = {.id = 0x0123456789abcdef, .op = 6, .status = -2}, again;   \
		union {                                                                            \
			RESPONSE r;                                                                \
			uint8_t slot[BLKIF_SLOT_MAX + 1];                                          \
		} raw;                                                                             \
		uint8_t want[BLKIF_SLOT_MAX];                                                      \
		struct shape s = {.proto = PROTO, .slot = sizeof(RW)};                             \
		FIELD(&s, RESPONSE, id);                                                           \
		FIELD(&s, RESPONSE, operation);                                                    \
		FIELD(&s, RESPONSE, status);                                                       \
		memset(&raw, 0xa5, sizeof raw);                                                    \
		blkif_encode_rsp(PROTO, &rsp, &raw);                                               \
		assert_true(raw.r.id == rsp.id);                                                   \
		assert_int_equal(raw.r.operation, 6);                                              \
		assert_int_equal(raw.r.status, -2);                                                \
		only_fields(&s, raw.slot, want);                                                   \
		assert_memory_equal(raw.slot, want, sizeof(RW));                                   \
		assert_int_equal(raw.slot[sizeof(RW)], 0xa5);                                      \
		for (size_t i = 0; i < sizeof raw.slot; i++)                                       \
			raw.slot[i] = random_byte();                                               \
		blkif_decode_rsp(PROTO, &raw, &again);                                             \
		assert_true(again.id == raw.r.id && again.op == raw.r.operation);                  \
		assert_int_equal(again.status, raw.r.status);                                      \
	}

DEFINE_ABI_TEST(native, BLKIF_PROTO_NATIVE, struct blkif_request, struct blkif_request_discard,
                struct blkif_request_indirect, struct blkif_response)
DEFINE_ABI_TEST(x86_32, BLKIF_PROTO_X86_32, struct x32_rw, struct x32_discard, struct x32_indirect,
                struct x32_response)

static void protocol_names(void **state)
{
	enum blkif_protocol p = 0;

	assert_int_equal(blkif_protocol_parse("x86_32-abi", &p), 0);
	assert_int_equal(p, BLKIF_PROTO_X86_32);
	assert_int_equal(blkif_protocol_parse("x86_64-abi", &p), 0);
	assert_int_equal(p, BLKIF_PROTO_X86_64);
	assert_int_equal(blkif_protocol_parse(XEN_IO_PROTO_ABI_NATIVE, &p), 0);
	assert_int_equal(p, BLKIF_PROTO_NATIVE);
	p = 0;
	assert_int_equal(blkif_protocol_parse("native", &p), 0);
	assert_int_equal(p, BLKIF_PROTO_NATIVE);
	static const char *const bad[] = {
		"",
		"x86_64-abi ",
		"x86_64",
		"X86_64-ABI",
		"ia64-abi",
		"nativ",
		"x86_32-abi\n",
#if defined(__x86_64__) || defined(__i386__)
		"arm-abi"
#endif
	};
	p = BLKIF_PROTO_X86_32;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(blkif_protocol_parse(bad[i], &p), -EINVAL);
	assert_int_equal(p, BLKIF_PROTO_X86_32);
	assert_string_equal(blkif_protocol_name(BLKIF_PROTO_X86_32), "x86_32-abi");
	assert_string_equal(blkif_protocol_name(BLKIF_PROTO_X86_64), "x86_64-abi");
	assert_int_equal(blkif_slot_size(BLKIF_PROTO_X86_32), 108);
	assert_int_equal(blkif_slot_size(BLKIF_PROTO_X86_64), 112);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(native_rw),       cmocka_unit_test(native_discard),
	    cmocka_unit_test(native_indirect), cmocka_unit_test(native_response),
	    cmocka_unit_test(x86_32_rw),       cmocka_unit_test(x86_32_discard),
	    cmocka_unit_test(x86_32_indirect), cmocka_unit_test(x86_32_response),
	    cmocka_unit_test(protocol_names),
	};

	return cmocka_run_group_tests_name("abi", tests, NULL, NULL);
}
