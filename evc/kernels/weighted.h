/* Symbols under weights made for them alone (spec 5.2), and under sums of weights and histograms (6.4): as
   evc/format/streams/mixture.py. */
#pragma once
#include "port.h"

enum { MOST_HISTOGRAMS = 3 };

/* The cumulative frequency below a symbol, of weights that sum to `total`, `below` of them below it. */
INLINE uint32_t frequency_below(uint64_t below, uint64_t total, int32_t symbols, int32_t symbol) {
    const uint64_t room = (uint64_t)(WHOLE - symbols);
    const uint64_t part = total ? below * room / total : (uint64_t)symbol * room / (uint64_t)symbols;
    return (uint32_t)part + (uint32_t)symbol;
}

/* The symbol at a quantile, and the sum of the weights below it: as a search among cumulative frequencies, with
   products in place of divisions. */
INLINE int32_t find_symbol(const int64_t *weights, int32_t symbols, uint64_t total, uint64_t at, uint64_t *below) {
    const uint64_t room = (uint64_t)(WHOLE - symbols);
    uint64_t sum = 0;
    int32_t symbol = 0;
    while (symbol < symbols - 1) {
        const uint64_t next = total ? sum + (uint64_t)weights[symbol] : (uint64_t)symbol + 1;
        const uint64_t beside = (uint64_t)symbol + 1, of = total ? total : (uint64_t)symbols;
        if (at < beside || next * room >= (at - beside + 1) * of) break;
        sum = next;
        symbol++;
    }
    *below = sum;
    return symbol;
}

/* Codes one symbol, and counts its bits in the port; 0 after an error. */
INLINE int32_t code_weighted(evc_mode mode, evc_port *p, const int64_t *weights, int32_t symbols, int32_t symbol) {
    uint64_t total = 0, below = 0;
    for (int32_t s = 0; s < symbols; s++) total += (uint64_t)weights[s];
    if (mode == READ) {
        if (!another(p)) return 0;
        const uint64_t scale = scale_of(p), offset = offset_in(p, scale);
        if (p->error) return 0;
        symbol = find_symbol(weights, symbols, total, (uint32_t)(offset / scale), &below);
    } else {
        for (int32_t s = 0; s < symbol; s++) below += (uint64_t)weights[s];
    }
    const uint32_t start = frequency_below(below, total, symbols, symbol);
    const uint32_t end = symbol == symbols - 1
                             ? WHOLE
                             : frequency_below(below + (uint64_t)weights[symbol], total, symbols, symbol + 1);
    p->bits += EVC_CODER_PRECISION - log2((double)(end - start));
    if (mode == READ) {
        narrow(p, start, end - start);
        passed(p, symbol);
    } else {
        put(p, symbol, start, end - start);
    }
    return symbol;
}

/* Histograms of what was coded: `rows` [contexts, symbols + 2] of each, with room beside the first and the last. */
typedef struct {
    int32_t symbols, histograms;
    bool ordered;
    int64_t rates[MOST_HISTOGRAMS];
    int64_t *rows[MOST_HISTOGRAMS];
} Mixture;

/* Codes a symbol under `weights`, which it changes, and the histograms of these contexts. */
INLINE int32_t code_mixed(evc_mode mode, evc_port *p, const Mixture *m, int64_t *weights, const int32_t *contexts,
                          int32_t symbol) {
    if (m->symbols == 1) return 0;
    int64_t *rows[MOST_HISTOGRAMS];
    for (int32_t h = 0; h < m->histograms; h++) {
        rows[h] = m->rows[h] + (int64_t)contexts[h] * (m->symbols + 2);
        for (int32_t s = 0; s < m->symbols; s++) weights[s] += rows[h][s + 1];
    }
    symbol = code_weighted(mode, p, weights, m->symbols, symbol);
    for (int32_t h = 0; h < m->histograms; h++) {
        rows[h][symbol + 1] += m->rates[h];
        if (m->ordered) {
            rows[h][symbol] += m->rates[h] >> 1;
            rows[h][symbol + 2] += m->rates[h] >> 1;
        }
    }
    return symbol;
}
