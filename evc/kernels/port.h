/* The range decoder (spec 5), and one face for reading, writing and counting bits: as evc/format/streams/port.py. */
#pragma once
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "constants.h"
#include "kernels.h"

#if defined(_MSC_VER)
#define INLINE static __forceinline
#include <intrin.h>
static inline int floor_log2(uint64_t value) {
    unsigned long place;
    _BitScanReverse64(&place, value);
    return (int)place;
}
#else
#define INLINE static inline __attribute__((always_inline))
static inline int floor_log2(uint64_t value) { return 63 - __builtin_clzll(value); }
#endif

/* A walk is compiled once for each: SEARCH decides what is coded, and adds up what it costs. */
typedef enum { READ, WRITE, SEARCH } evc_mode;

enum { WHOLE = 1 << EVC_CODER_PRECISION };

extern uint32_t evc_checksums[4][256];
extern uint32_t evc_golomb_starts[EVC_GOLOMB_PREFIXES + 1];

INLINE int64_t clip(int64_t value, int64_t low, int64_t high) {
    return value < low ? low : value > high ? high : value;
}

/* --- Reading ---------------------------------------------------------------------------------------------- */

INLINE void passed(evc_port *p, int32_t symbol) {
    uint32_t crc = p->checksum ^ (uint32_t)symbol;
    p->checksum = evc_checksums[3][crc & 255] ^ evc_checksums[2][crc >> 8 & 255] ^ evc_checksums[1][crc >> 16 & 255] ^
                  evc_checksums[0][crc >> 24];
}

/* Whether another symbol was declared and nothing has gone wrong. */
INLINE bool another(evc_port *p) {
    if (p->error) return false;
    if (p->left <= 0) {
        p->error = EVC_SYMBOLS;
        return false;
    }
    p->left--;
    if (p->accounting) p->counts[p->kind]++;
    return true;
}

/* Ideal bits of all symbols so far. */
INLINE double ideal_bits(const evc_port *p) {
    double bits = 0;
    for (int kind = 0; kind < EVC_KINDS; kind++) bits += p->charges[kind];
    return bits;
}

/* How far the point lies in the range, which has 2**24 parts of `scale`. */
INLINE uint64_t offset_in(evc_port *p, uint64_t scale) {
    const uint64_t offset = p->point - p->lower;
    if (offset >= scale << EVC_CODER_PRECISION) p->error = EVC_WORDS;
    return offset;
}

INLINE uint64_t scale_of(const evc_port *p) { return p->range >> EVC_CODER_PRECISION; }

INLINE void narrow(evc_port *p, uint32_t start, uint32_t size) {
    uint64_t scale = p->range >> EVC_CODER_PRECISION;
    if (p->accounting) p->charges[p->kind] += EVC_CODER_PRECISION - log2(size);
    p->lower += scale * start;
    p->range = scale * size;
    if (p->range >> 32 == 0) {
        p->lower <<= 32;
        p->range <<= 32;
        p->point = p->point << 32 | (p->next < p->words_count ? p->words[p->next] : 0);
        p->next++;
    }
}

/* A symbol under cumulative frequencies [symbols + 1]; 0 after an error. Its interval is where the quantile lies, the
   quotient of offset and scale; products with few starts take less time than that division. */
INLINE int32_t read_symbol(evc_port *p, const uint32_t *starts, int32_t symbols) {
    if (!another(p)) return 0;
    const uint64_t scale = scale_of(p), offset = offset_in(p, scale);
    if (p->error) return 0;
    int32_t low = 0, high = symbols - 1;
    if (symbols > 64) {
        while (low < high) {
            int32_t middle = (low + high + 1) / 2;
            if (starts[middle] * scale <= offset) low = middle;
            else high = middle - 1;
        }
    } else {
        while (low < high && starts[low + 1] * scale <= offset) low++;
    }
    narrow(p, starts[low], starts[low + 1] - starts[low]);
    passed(p, low);
    return low;
}

/* A uniform value (spec 5.3). */
INLINE int32_t read_uniform(evc_port *p, int64_t size) {
    if (!another(p)) return 0;
    int32_t value = 0;
    if (size > 1) {
        const uint64_t scale = scale_of(p), offset = offset_in(p, scale);
        if (p->error) return 0;
        const uint32_t each = (uint32_t)(WHOLE / size), at = (uint32_t)(offset / scale);
        value = (int32_t)(at / each < size - 1 ? at / each : size - 1);
        narrow(p, value * each, value < size - 1 ? each : WHOLE - (uint32_t)(size - 1) * each);
    }
    passed(p, value);
    return value;
}

/* The same for a size of 2**width. */
INLINE int32_t read_field(evc_port *p, int width) {
    if (!another(p)) return 0;
    const int each = EVC_CODER_PRECISION - width;
    const uint64_t scale = scale_of(p), offset = offset_in(p, scale);
    if (p->error) return 0;
    const uint32_t value = width == 1 ? offset >= scale << each : (uint32_t)(offset / (scale << each));
    narrow(p, value << each, (uint32_t)1 << each);
    passed(p, (int32_t)value);
    return (int32_t)value;
}

/* --- Writing ---------------------------------------------------------------------------------------------- */

void evc_more_room(evc_port *p);

INLINE void put(evc_port *p, int32_t symbol, uint32_t start, uint32_t size) {
    if (p->count == p->room) evc_more_room(p);
    if (p->error) return;
    p->written[p->count++] = (evc_interval){symbol, start, size};
}

INLINE void write_uniform(evc_port *p, int64_t value, int64_t size) {
    uint32_t each = (uint32_t)(WHOLE / size), start = (uint32_t)value * each;
    put(p, (int32_t)value, start, size == 1 ? 0 : value < size - 1 ? each : WHOLE - start);
}

/* --- Either ----------------------------------------------------------------------------------------------- */

/* One symbol under a row of a table; returns it. */
INLINE int32_t code_symbol(evc_mode mode, evc_port *p, const evc_table *table, int64_t row, int32_t symbol) {
    const uint32_t *starts = table->starts + row * (table->symbols + 1);
    if (mode == READ) return read_symbol(p, starts, table->symbols);
    if (mode == WRITE) put(p, symbol, starts[symbol], starts[symbol + 1] - starts[symbol]);
    else p->bits += table->bits[row * table->symbols + symbol];
    return symbol;
}

/* An array of values of so many bits (spec 5.4). */
INLINE void code_bits(evc_mode mode, evc_port *p, int64_t *values, const uint8_t *widths, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        if (mode == READ) values[i] = 0;
        if (widths[i] <= EVC_PIECE_BITS) continue;
        const int width = widths[i] - EVC_PIECE_BITS;
        if (mode == READ) values[i] = (int64_t)read_field(p, width) << EVC_PIECE_BITS;
        else write_uniform(p, values[i] >> EVC_PIECE_BITS, (int64_t)1 << width);
    }
    for (int64_t i = 0; i < count; i++) {
        if (!widths[i]) continue;
        const int width = widths[i] < EVC_PIECE_BITS ? widths[i] : EVC_PIECE_BITS;
        const int64_t size = (int64_t)1 << width;
        if (mode == READ) values[i] |= read_field(p, width);
        else write_uniform(p, values[i] & (size - 1), size);
    }
}

/* An unsigned number, from its lowest bits on in fields of at most PIECE_BITS (spec 6.3). */
INLINE int64_t code_pieces(evc_mode mode, evc_port *p, int64_t value, int32_t bits) {
    int64_t result = 0;
    for (int32_t start = 0; start < bits; start += EVC_PIECE_BITS) {
        const int32_t width = bits - start < EVC_PIECE_BITS ? bits - start : EVC_PIECE_BITS;
        const int64_t size = (int64_t)1 << width;
        int64_t piece = value >> start & (size - 1);
        if (mode == READ) piece = read_uniform(p, size);
        else write_uniform(p, piece, size);
        result += piece << start;
        p->bits += width;
    }
    return result;
}

/* An array of Exp-Golomb values of one order (spec 5.5). SEARCH counts about what they cost. */
INLINE void code_golomb(evc_mode mode, evc_port *p, int64_t *values, uint8_t *widths, int order, int64_t count) {
    const evc_table prefixes = {EVC_GOLOMB_PREFIXES, 1, evc_golomb_starts, NULL};
    int64_t first = (int64_t)1 << order;
    if (mode == SEARCH) {
        for (int64_t i = 0; i < count; i++) p->bits += 2 * log2((double)values[i] / (double)first + 1) + 1 + order;
        return;
    }
    for (int64_t i = 0; i < count; i++) {
        int width = mode == READ ? 0 : floor_log2((uint64_t)(values[i] + first));
        width = order + code_symbol(mode, p, &prefixes, 0, width - order);
        if (width > EVC_GOLOMB_PREFIXES - 1) {
            if (!p->error) p->error = EVC_LONG;
            width = 0;
        }
        widths[i] = (uint8_t)width;
        if (mode == WRITE) values[i] += first - ((int64_t)1 << width);
    }
    if (p->error) return;
    code_bits(mode, p, values, widths, count);
    for (int64_t i = 0; i < count; i++) {
        values[i] += ((int64_t)1 << widths[i]) - first;
        if (values[i] > EVC_MAX_GOLOMB && !p->error) p->error = EVC_LARGE;
    }
}
