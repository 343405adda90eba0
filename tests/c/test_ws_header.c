/*
 * test_ws_header.c - frame headers to send, byte for byte (RFC 6455, section 5.2), and close codes (section 7.4).
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hl_ws.h"

static const uint8_t mask[4] = {0xA1, 0xB2, 0xC3, 0xD4};

static const struct {
    uint64_t len;
    size_t size;       /* of the header, unmasked */
    const char *bytes; /* its bytes from the second on */
} lengths[] = {
    {0, 2, "\x00"},
    {1, 2, "\x01"},
    {125, 2, "\x7d"},
    {126, 4, "\x7e\x00\x7e"},
    {127, 4, "\x7e\x00\x7f"},
    {256, 4, "\x7e\x01\x00"},
    {65535, 4, "\x7e\xff\xff"},
    {65536, 10, "\x7f\x00\x00\x00\x00\x00\x01\x00\x00"},
    {0x123456789A, 10, "\x7f\x00\x00\x00\x12\x34\x56\x78\x9a"},
    {0x7FFFFFFFFFFFFFFF, 10, "\x7f\x7f\xff\xff\xff\xff\xff\xff\xff"},
};

static void headers_are_minimal_and_exact(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        size_t size = lengths[i].size;
        assert_int_equal(hl_ws_header_size(lengths[i].len, 0), size);
        assert_int_equal(hl_ws_header_size(lengths[i].len, 1), size + 4);
        uint8_t *plain = malloc(size), *masked = malloc(size + 4); /* exact: sanitizers see a byte too many */
        assert_non_null(plain);
        assert_non_null(masked);

        assert_int_equal(hl_ws_header_write(plain, HL_WS_TEXT, 1, lengths[i].len, NULL), size);
        assert_int_equal(plain[0], 0x81);
        assert_memory_equal(plain + 1, lengths[i].bytes, size - 1);

        assert_int_equal(hl_ws_header_write(masked, HL_WS_BINARY, 0, lengths[i].len, mask), size + 4);
        assert_int_equal(masked[0], 0x02);
        assert_int_equal(masked[1], plain[1] | 0x80);
        assert_memory_equal(masked + 2, plain + 2, size - 2);
        assert_memory_equal(masked + size, mask, 4);
        free(plain);
        free(masked);
    }
    assert_int_equal(hl_ws_header_size(UINT64_MAX >> 1, 1), HL_WS_MAX_HEADER);
}

static void first_bytes(void **state)
{
    (void)state;
    static const uint8_t opcodes[] = {HL_WS_CONTINUATION, HL_WS_TEXT, HL_WS_BINARY,
                                      HL_WS_CLOSE,        HL_WS_PING, HL_WS_PONG};
    for (size_t i = 0; i < sizeof opcodes; i++) {
        uint8_t header[2];
        hl_ws_header_write(header, opcodes[i], 1, 0, NULL);
        assert_int_equal(header[0], 0x80 | opcodes[i]);
        hl_ws_header_write(header, opcodes[i], 0, 0, NULL);
        assert_int_equal(header[0], opcodes[i]);
    }
}

static void errors_have_close_codes(void **state)
{
    (void)state;
    assert_int_equal(hl_ws_close_code(0), 1000);
    assert_int_equal(hl_ws_close_code(HL_WS_EPROTO), 1002);
    assert_int_equal(hl_ws_close_code(HL_WS_EUTF8), 1007);
    assert_int_equal(hl_ws_close_code(HL_WS_ETOOBIG), 1009);
    assert_int_equal(hl_ws_close_code(HL_WS_ENOMEM), 1011);
}

static void codes_on_the_wire(void **state)
{
    (void)state;
    static const struct {
        uint16_t from, to;
        int valid;
    } ranges[] = {{0, 999, 0},     {1000, 1003, 1}, {1004, 1006, 0}, {1007, 1014, 1},
                  {1015, 2999, 0}, {3000, 4999, 1}, {5000, 65535, 0}};
    uint32_t code = 0;
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        assert_int_equal(code, ranges[i].from); /* the table leaves none out */
        for (; code <= ranges[i].to; code++)
            assert_int_equal(hl_ws_code_valid((uint16_t)code), ranges[i].valid);
    }
    assert_int_equal(code, 65536);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_are_minimal_and_exact),
        cmocka_unit_test(first_bytes),
        cmocka_unit_test(errors_have_close_codes),
        cmocka_unit_test(codes_on_the_wire),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
