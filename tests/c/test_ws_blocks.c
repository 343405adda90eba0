/*
 * test_ws_blocks.c - where the decoder leaves messages, and what memory it takes for them.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ws_stream.h"

typedef struct fixture {
    hl_slab *slab;
    hl_cache *cache;
    hl_ws_config config;
    hl_ws ws;
    bytes wire;
} fixture;

static void open_fixture(fixture *f, uint64_t slab_limit, uint64_t max_message)
{
    *f = (fixture){.config = {.max_message = max_message}};
    f->slab = hl_slab_new(slab_limit);
    assert_non_null(f->slab);
    f->cache = hl_cache_new(f->slab);
    assert_non_null(f->cache);
    hl_ws_init(&f->ws, &f->config);
}

static void close_fixture(fixture *f)
{
    hl_ws_fini(&f->ws, f->cache);
    hl_cache_free(f->cache);
    assert_int_equal(hl_slab_free(f->slab), 0);
    bytes_free(&f->wire);
}

static uint64_t bytes_in_use(fixture *f)
{
    hl_slab_stats stats;
    hl_slab_stats_read(f->slab, &stats);
    uint64_t sum = 0;
    for (int i = 0; i < HL_SLAB_CLASSES; i++)
        sum += stats.classes[i].in_use * stats.classes[i].size;
    assert_int_equal(stats.classes[HL_SLAB_LARGE].in_use, 0);
    return sum;
}

static void add_letters(bytes *wire, uint8_t first, size_t len)
{
    uint8_t *payload = malloc(len + 1);
    assert_non_null(payload);
    memset(payload, 'x', len);
    add_frame(wire, 1, first, payload, len);
    free(payload);
}

/* Gives the decoder the bytes [*at, *at + n) of the wire, and advances. */
static int next_bytes(fixture *f, size_t *at, size_t n, hl_ws_item *item)
{
    hl_ws_input in = {f->wire.data + *at, n};
    int result = hl_ws_next(&f->ws, f->cache, &in, item);
    *at += n;
    return result;
}

static void pipelined_messages_stay_in_the_input(void **state)
{
    (void)state;
    fixture f;
    hl_ws_item item;
    open_fixture(&f, 0, 1 << 20);
    for (int i = 0; i < 10; i++)
        add_letters(&f.wire, 0x81, 64);
    hl_ws_input in = {f.wire.data, f.wire.len - 20};
    for (size_t i = 0; i < 9; i++) {
        assert_int_equal(hl_ws_next(&f.ws, f.cache, &in, &item), HL_WS_ITEM);
        assert_null(item.block);
        assert_ptr_equal(item.data, f.wire.data + i * 70 + 6);
        assert_int_equal(item.len, 64);
    }
    assert_int_equal(bytes_in_use(&f), 0);
    assert_int_equal(hl_ws_next(&f.ws, f.cache, &in, &item), HL_WS_MORE);
    assert_int_equal(bytes_in_use(&f), 128); /* of the cut one: 64 bytes announced, 128 is the smallest class */
    in = (hl_ws_input){f.wire.data + f.wire.len - 20, 20};
    assert_int_equal(hl_ws_next(&f.ws, f.cache, &in, &item), HL_WS_ITEM);
    assert_non_null(item.block);
    assert_ptr_equal(item.data, hl_block_data(item.block));
    assert_int_equal(item.len, 64);
    hl_cache_unref(f.cache, item.block);
    assert_int_equal(bytes_in_use(&f), 0);
    close_fixture(&f);
}

static void a_header_of_its_own_costs_no_copy(void **state)
{
    (void)state;
    fixture f;
    hl_ws_item item;
    open_fixture(&f, 0, 1 << 20);
    add_letters(&f.wire, 0x82, 1000);
    add_letters(&f.wire, 0x89, 100);
    size_t at = 0;
    assert_int_equal(next_bytes(&f, &at, 3, &item), HL_WS_MORE);
    assert_int_equal(next_bytes(&f, &at, 5, &item), HL_WS_MORE);
    assert_int_equal(next_bytes(&f, &at, 1000, &item), HL_WS_ITEM);
    assert_null(item.block);
    assert_ptr_equal(item.data, f.wire.data + 8);
    assert_int_equal(next_bytes(&f, &at, 6, &item), HL_WS_MORE);
    assert_int_equal(next_bytes(&f, &at, 100, &item), HL_WS_ITEM);
    assert_null(item.block);
    close_fixture(&f);
}

static void an_announcement_takes_no_memory(void **state)
{
    (void)state;
    fixture f;
    hl_ws_item item;
    open_fixture(&f, 0, UINT64_MAX);
    uint8_t *header = bytes_extend(&f.wire, 14);
    hl_ws_header_write(header, HL_WS_BINARY, 1, 10000000000, (const uint8_t[4]){1, 2, 3, 4});
    memset(bytes_extend(&f.wire, 100), 0, 100);
    size_t at = 0;
    assert_int_equal(next_bytes(&f, &at, 14, &item), HL_WS_MORE);
    assert_int_equal(bytes_in_use(&f), 0);
    uint8_t *where;
    assert_int_equal(hl_ws_room(&f.ws, f.cache, &where), 0);
    assert_int_equal(next_bytes(&f, &at, 100, &item), HL_WS_MORE);
    assert_int_equal(bytes_in_use(&f), 4096);
    assert_true(hl_ws_room(&f.ws, f.cache, &where) == 4096 - 100);
    assert_int_equal(bytes_in_use(&f), 4096);
    close_fixture(&f);
}

/* Delivers a message of `len` bytes in pieces of `piece` and holds its memory against what has arrived. */
static void grow(size_t len, size_t piece, int direct, int fragmented)
{
    fixture f;
    hl_ws_item item;
    open_fixture(&f, 0, len);
    if (fragmented) {
        for (size_t i = 0; i < len; i += len / 4)
            add_letters(&f.wire, (uint8_t)((i ? 0 : HL_WS_TEXT) | (i + len / 4 == len ? 0x80 : 0)), len / 4);
    } else {
        add_letters(&f.wire, 0x81, len);
    }
    int result = HL_WS_MORE;
    for (size_t at = 0; at < f.wire.len;) {
        assert_int_equal(result, HL_WS_MORE);
        size_t n = f.wire.len - at < piece ? f.wire.len - at : piece;
        uint8_t *where;
        int64_t room = direct ? hl_ws_room(&f.ws, f.cache, &where) : 0;
        if (room > 0) {
            n = (uint64_t)room < n ? (size_t)room : n;
            memcpy(where, f.wire.data + at, n);
            result = hl_ws_filled(&f.ws, f.cache, n, &item);
            at += n;
        } else {
            result = next_bytes(&f, &at, n, &item);
        }
        uint64_t most = at < 2048 ? 4096 : 2 * at + (direct ? 2 * 1024 : 0); /* room is made before it is filled */
        assert_true(bytes_in_use(&f) <= most);
    }
    assert_int_equal(result, HL_WS_ITEM);
    assert_int_equal(item.len, len);
    for (size_t i = 0; i < len; i++)
        assert_true(item.data[i] == 'x');
    hl_cache_unref(f.cache, item.block);
    close_fixture(&f);
}

static void memory_follows_what_arrives(void **state)
{
    (void)state;
    static const size_t pieces[] = {100, 4096, 5000, 65536};
    for (int variant = 0; variant < 4; variant++) {
        for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++)
            grow(1 << 20, pieces[i], variant & 1, variant & 2);
        grow(3000, 1, variant & 1, variant & 2);
    }
}

static void room_is_offered_when_it_pays(void **state)
{
    (void)state;
    fixture f;
    hl_ws_item item;
    uint8_t *where;
    open_fixture(&f, 0, 1 << 20);
    add_letters(&f.wire, 0x02, 20000); /* header of 8 */
    add_letters(&f.wire, 0x89, 100);   /* header of 6 */
    add_letters(&f.wire, 0x80, 5000);  /* header of 8 */
    size_t at = 0;
    assert_int_equal(hl_ws_room(&f.ws, f.cache, &where), 0); /* nothing under way */
    next_bytes(&f, &at, 4, &item);
    assert_int_equal(hl_ws_room(&f.ws, f.cache, &where), 0); /* a header is */
    next_bytes(&f, &at, 4 + 10000, &item);
    int64_t room = hl_ws_room(&f.ws, f.cache, &where);
    assert_true(room > 0 && room <= 10000);
    memcpy(where, f.wire.data + at, 6000);
    assert_int_equal(hl_ws_filled(&f.ws, f.cache, 6000, &item), HL_WS_MORE);
    at += 6000;
    assert_int_equal(hl_ws_room(&f.ws, f.cache, &where), 0); /* 4000 are left */
    next_bytes(&f, &at, 4000, &item);
    assert_int_equal(hl_ws_room(&f.ws, f.cache, &where), 0); /* between fragments */
    next_bytes(&f, &at, 6 + 50, &item);
    assert_int_equal(hl_ws_room(&f.ws, f.cache, &where), 0); /* a control frame is under way */
    assert_int_equal(next_bytes(&f, &at, 50, &item), HL_WS_ITEM);
    assert_int_equal(item.opcode, HL_WS_PING);
    hl_cache_unref(f.cache, item.block);
    next_bytes(&f, &at, 8, &item);
    assert_true(hl_ws_room(&f.ws, f.cache, &where) == 5000); /* never more than the frame lacks */
    assert_int_equal(hl_ws_filled(&f.ws, f.cache, 0, &item), HL_WS_MORE);
    memcpy(where, f.wire.data + at, 5000);
    assert_int_equal(hl_ws_filled(&f.ws, f.cache, 5000, &item), HL_WS_ITEM);
    assert_int_equal(item.len, 25000);
    hl_cache_unref(f.cache, item.block);
    assert_int_equal(hl_ws_room(&f.ws, f.cache, &where), 0);
    close_fixture(&f);
}

static void bad_text_is_found_in_the_room(void **state)
{
    (void)state;
    fixture f;
    hl_ws_item item;
    uint8_t *where;
    open_fixture(&f, 0, 1 << 20);
    add_letters(&f.wire, 0x81, 20000);
    f.wire.data[8 + 9000] ^= 0x80;
    size_t at = 0;
    assert_int_equal(next_bytes(&f, &at, 8 + 5000, &item), HL_WS_MORE);
    assert_true(hl_ws_room(&f.ws, f.cache, &where) >= 1024);
    memcpy(where, f.wire.data + at, 1024);
    assert_int_equal(hl_ws_filled(&f.ws, f.cache, 1024, &item), HL_WS_MORE);
    at += 1024;
    int64_t room = hl_ws_room(&f.ws, f.cache, &where);
    assert_true(room > 0);
    if ((uint64_t)room < 3000) { /* fill the block; the next piece has the bad byte */
        memcpy(where, f.wire.data + at, (size_t)room);
        assert_int_equal(hl_ws_filled(&f.ws, f.cache, (size_t)room, &item), HL_WS_MORE);
        at += (size_t)room;
        assert_true(hl_ws_room(&f.ws, f.cache, &where) > 8 + 9000 - (int64_t)at);
    }
    memcpy(where, f.wire.data + at, 8 + 9001 - at);
    assert_int_equal(hl_ws_filled(&f.ws, f.cache, 8 + 9001 - at, &item), HL_WS_EUTF8);
    assert_int_equal(hl_ws_room(&f.ws, f.cache, &where), HL_WS_EUTF8);
    close_fixture(&f);
}

static void a_message_outlives_its_decoder(void **state)
{
    (void)state;
    fixture f;
    hl_ws_item first, second;
    open_fixture(&f, 0, 1 << 20);
    add_frame(&f.wire, 1, 0x01, "first", 5);
    add_frame(&f.wire, 1, 0x80, " message", 8);
    add_frame(&f.wire, 1, 0x01, "second", 6);
    add_frame(&f.wire, 1, 0x80, " message", 8);
    add_frame(&f.wire, 1, 0x01, "third, not complete", 19);
    hl_ws_input in = {f.wire.data, f.wire.len};
    assert_int_equal(hl_ws_next(&f.ws, f.cache, &in, &first), HL_WS_ITEM);
    assert_int_equal(hl_ws_next(&f.ws, f.cache, &in, &second), HL_WS_ITEM);
    assert_int_equal(hl_ws_next(&f.ws, f.cache, &in, &(hl_ws_item){0}), HL_WS_MORE);
    hl_ws_fini(&f.ws, f.cache);
    assert_ptr_not_equal(first.block, second.block);
    assert_memory_equal(first.data, "first message", 13);
    assert_memory_equal(second.data, "second message", 14);
    hl_cache_unref(f.cache, first.block);
    hl_cache_unref(f.cache, second.block);
    assert_int_equal(bytes_in_use(&f), 0); /* the third went with the decoder */
    close_fixture(&f);
}

static void close_drops_the_message_under_way(void **state)
{
    (void)state;
    fixture f;
    hl_ws_item item;
    open_fixture(&f, 0, 1 << 20);
    add_letters(&f.wire, 0x02, 3000);
    size_t start_of_close = f.wire.len;
    add_frame(&f.wire, 1, 0x88, "\x03\xe8", 2);
    size_t at = 0;
    assert_int_equal(next_bytes(&f, &at, start_of_close, &item), HL_WS_MORE);
    assert_int_equal(bytes_in_use(&f), 4096);
    assert_int_equal(next_bytes(&f, &at, f.wire.len - at, &item), HL_WS_ITEM);
    assert_int_equal(item.opcode, HL_WS_CLOSE);
    assert_int_equal(bytes_in_use(&f), 0);
    close_fixture(&f);
}

static void without_memory_the_stream_ends(void **state)
{
    (void)state;
    hl_ws_item item;
    for (int direct = 0; direct < 2; direct++) { /* memory gives out while a message grows */
        fixture f;
        uint8_t *where;
        open_fixture(&f, 3 << 20, 64 << 20);
        add_letters(&f.wire, 0x82, 8 << 20);
        int64_t result = HL_WS_MORE;
        size_t at = 0;
        while (at < f.wire.len && result == HL_WS_MORE) {
            int64_t room = direct ? hl_ws_room(&f.ws, f.cache, &where) : 0;
            if (room > 0) {
                memcpy(where, f.wire.data + at, (size_t)room);
                result = hl_ws_filled(&f.ws, f.cache, (size_t)room, &item);
                at += (size_t)room;
            } else {
                result = room < 0 ? room : next_bytes(&f, &at, 16384, &item);
            }
        }
        assert_int_equal(result, HL_WS_ENOMEM);
        hl_ws_input in = {f.wire.data, 10};
        assert_int_equal(hl_ws_next(&f.ws, f.cache, &in, &item), HL_WS_ENOMEM);
        assert_int_equal(hl_ws_room(&f.ws, f.cache, &where), HL_WS_ENOMEM);
        close_fixture(&f);
    }
    fixture f; /* a slab without any block, and a ping in two pieces */
    open_fixture(&f, 256 << 10, 1 << 20);
    add_letters(&f.wire, 0x89, 10);
    size_t at = 0;
    assert_int_equal(next_bytes(&f, &at, 12, &item), HL_WS_ENOMEM);
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pipelined_messages_stay_in_the_input), cmocka_unit_test(a_header_of_its_own_costs_no_copy),
        cmocka_unit_test(an_announcement_takes_no_memory),      cmocka_unit_test(memory_follows_what_arrives),
        cmocka_unit_test(room_is_offered_when_it_pays),         cmocka_unit_test(bad_text_is_found_in_the_room),
        cmocka_unit_test(a_message_outlives_its_decoder),       cmocka_unit_test(close_drops_the_message_under_way),
        cmocka_unit_test(without_memory_the_stream_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
