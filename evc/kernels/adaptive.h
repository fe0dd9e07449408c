/* Integers and flags under adaptive contexts (spec 6.2), flags of bands and changes of levels (6.6): as
   evc/format/streams/integers.py and changes.py. */
#pragma once
#include "port.h"

enum {
    CHANGE_CONTEXTS = EVC_CHANGE_SIZES * EVC_CHANGE_PASSES,
    MOST_CALL = EVC_MOST_CALL,
    UP_ROUNDED = 3,     /* the class of signs where the guess was rounded up */
};

/* A running average of non-negative integers, and how many updates it has behind it. */
typedef struct {
    int32_t average, updates;
} Context;

/* Contexts of changes: of magnitudes [CHANGE_CONTEXTS], and of signs [EVC_CHANGE_SIGNS]. */
typedef struct {
    Context sizes[CHANGE_CONTEXTS], signs[EVC_CHANGE_SIGNS];
} Changes;

INLINE void begin_contexts(Context *contexts, int count, int32_t average) {
    for (int i = 0; i < count; i++) contexts[i] = (Context){average, 0};
}

INLINE void begin_changes(Changes *changes) {
    begin_contexts(changes->sizes, CHANGE_CONTEXTS, EVC_SCALE_ONE);
    begin_contexts(changes->signs, EVC_CHANGE_SIGNS, EVC_FLAG_ONE / 2);
}

/* Moves each context of a call towards the mean of what was coded under it. */
INLINE void update(Context *contexts, const int32_t *at, const int32_t *values, int count, int32_t one) {
    uint8_t done[MOST_CALL] = {0};
    for (int i = 0; i < count; i++) {
        if (done[i]) continue;
        int64_t sum = 0, times = 0;
        for (int j = i; j < count; j++) {
            if (at[j] != at[i]) continue;
            sum += values[j];
            times++;
            done[j] = 1;
        }
        Context *context = &contexts[at[i]];
        const int shift = floor_log2((uint64_t)context->updates + 2);
        const int64_t change = one * sum / times - context->average;
        context->average += (int32_t)(change >> (shift < EVC_SLOWEST_SHIFT ? shift : EVC_SLOWEST_SHIFT));
        context->updates++;
    }
}

/* A call of bits. */
INLINE void code_flags(evc_mode mode, evc_port *p, const evc_adaptive *frozen, Context *contexts, const int32_t *at,
                       int32_t *bits, int count) {
    for (int i = 0; i < count; i++) {
        int64_t row = contexts[at[i]].average * EVC_FLAG_ROWS / EVC_FLAG_ONE;
        bits[i] = code_symbol(mode, p, &frozen->flags, row < EVC_FLAG_ROWS ? row : EVC_FLAG_ROWS - 1, bits[i]);
    }
    update(contexts, at, bits, count, EVC_FLAG_ONE);
}

/* A call of at most MOST_CALL integers from 0 to 2**31 - 1. */
INLINE void code_unsigned(evc_mode mode, evc_port *p, const evc_adaptive *frozen, Context *contexts,
                          const int32_t *at, int64_t *values, int count) {
    int32_t limited[MOST_CALL];
    int64_t beyond[MOST_CALL] = {0};
    uint8_t widths[MOST_CALL];
    int escaped = 0;
    for (int i = 0; i < count; i++) {
        if (mode == READ) limited[i] = 0;
        else limited[i] = values[i] < EVC_SCALE_ESCAPE ? (int32_t)values[i] : EVC_SCALE_ESCAPE;
        limited[i] = code_symbol(mode, p, &frozen->magnitudes, frozen->rows[contexts[at[i]].average], limited[i]);
        if (limited[i] == EVC_SCALE_ESCAPE) beyond[escaped++] = mode == READ ? 0 : values[i] - EVC_SCALE_ESCAPE;
    }
    update(contexts, at, limited, count, EVC_SCALE_ONE);
    if (escaped) code_golomb(mode, p, beyond, widths, EVC_ESCAPE_ORDER, escaped);
    if (mode != READ) return;
    for (int i = 0, next = 0; i < count; i++)
        values[i] = limited[i] + (limited[i] == EVC_SCALE_ESCAPE ? beyond[next++] : 0);
}

/* Which bands hold something: even ones first, odd ones by these. known [bands]: the class of each, below `classes`. */
INLINE void code_band_flags(evc_mode mode, evc_port *p, const evc_adaptive *frozen, Context *contexts, int classes,
                            const int32_t *known, int32_t *on, int bands) {
    int32_t at[MOST_CALL], bits[MOST_CALL];
    for (int odd = 0; odd < 2; odd++) {
        int count = 0;
        for (int band = odd; band < bands; band += 2, count++) {
            int above = band + 1 < bands ? band + 1 : band - 1;
            at[count] = odd ? classes * (1 + on[band - 1] + on[above]) + known[band] : known[band];
            bits[count] = on[band];
        }
        code_flags(mode, p, frozen, contexts, at, bits, count);
        for (int i = 0; i < count; i++) on[odd + 2 * i] = bits[i];
    }
}

/* Levels [bands] from `least` to `most`, each as a change of what it was before. */
INLINE void code_changes(evc_mode mode, evc_port *p, const evc_adaptive *frozen, Context *of_sizes, Context *of_signs,
                         int64_t least, int64_t most, const int64_t *before, int64_t *levels, int bands) {
    int64_t change[MOST_CALL] = {0}, guess[MOST_CALL], sizes[MOST_CALL];
    int32_t at[MOST_CALL], sign[MOST_CALL], negative[MOST_CALL];
    for (int pass = 0; pass < EVC_CHANGE_PASSES; pass++) {
        const int stride = EVC_CHANGE_STRIDE >> pass, first = pass ? stride : 0, step = pass ? 2 * stride : stride;
        int count = 0, some = 0;
        for (int band = first; band < bands; band += step, count++) {
            int64_t low = 0, high = 0;
            if (pass) {
                low = change[band - stride];
                high = change[band + stride < bands ? band + stride : band - stride];
            }
            int64_t around = (low + high + 1) >> 1, size = (llabs(low) + llabs(high) + 1) >> 1;
            guess[count] = clip(before[band] + around, least, most);
            at[count] = EVC_CHANGE_SIZES * pass + (int32_t)clip(size, 0, EVC_CHANGE_SIZES - 1);
            sign[count] = (low + high) & 1 ? UP_ROUNDED : around < 0 ? 2 : around > 0;
            sizes[count] = llabs(levels[band] - guess[count]);
        }
        code_unsigned(mode, p, frozen, of_sizes, at, sizes, count);
        for (int i = 0; i < count; i++)
            if (sizes[i]) {
                sign[some] = sign[i];
                negative[some++] = levels[first + step * i] < guess[i];
            }
        code_flags(mode, p, frozen, of_signs, sign, negative, some);
        if (p->error) return;
        for (int i = 0, next = 0; i < count; i++) {
            int64_t difference = sizes[i] && negative[next++] ? -sizes[i] : sizes[i];
            change[first + step * i] = guess[i] + difference - before[first + step * i];
        }
    }
    for (int band = 0; band < bands; band++) {
        levels[band] = before[band] + change[band];
        if (levels[band] < least || levels[band] > most) p->error = EVC_LEVEL;
    }
}
