/* What the encoder decides on the way, coefficients above all: as models/spectrum/quantise.py. */
#pragma once
#include "spectrum.h"

/* Whether patterns cover the next block. */
INLINE bool covers(const evc_walk *w, int depth) {
    const int64_t end = w->frame + (w->geometry->superframe >> depth);
    for (int32_t i = 0; i < w->covers; i++)
        if (w->covered[2 * i] < end && w->covered[2 * i + 1] > w->frame) return true;
    return false;
}

/* Lets the steps of a block rise or fall where those that it has otherwise would cost more, for what is heard. */
void evc_raise(evc_walk *walk, Block *block, const evc_search *how);

/* |coefficient| / step at every bin of a channel, at most the largest magnitude. */
INLINE void find_ratios(evc_walk *w, const Block *block, int channel) {
    const float *spectra = block->spectra + channel * block->bin_stride;
    int32_t *coefficients = block->coefficients + channel * block->bin_stride;
    for (int b = 0; b < block->bands; b++) {
        const float scale = (float)exp2(block->log_steps[channel][b] / -(double)EVC_OCTAVE);
        for (int k = block->edges[b]; k < block->edges[b + 1]; k++) {
            const float ratio = fabsf(spectra[k]) * scale;
            w->ratio[k] = ratio > EVC_MAX_MAGNITUDE ? EVC_MAX_MAGNITUDE : ratio;
            coefficients[k] = 0;
        }
    }
}

/* Whether coding a band saves more squared error than its bits are worth; bits: of the flag 0 and 1. */
INLINE bool worth_band(const evc_search *how, const float *ratio, int low, int high, const float *bits) {
    float worth = 0;
    for (int k = low; k < high; k++) {
        const float nearest = floorf(ratio[k] + 0.5f);
        if (nearest < 1) continue;
        const float octaves = nearest > 1 ? log2f(nearest) : 0;
        const float cost = how->bits_of_one + how->bits_per_octave * octaves;
        const float saved = nearest * (2 * ratio[k] - nearest) - how->bit_weight * cost;
        if (saved > 0) worth += saved;
    }
    return worth > 0 && worth > how->bit_weight * (bits[1] - bits[0]);
}

/* The magnitude with the least squared error + bit_weight * bits; its bits are added up. costs: of each symbol. */
INLINE int32_t best_magnitude(const evc_search *how, float ratio, int shift, const float *costs, double *total) {
    const int escape = EVC_MAGNITUDE_SYMBOLS - 1;
    const int32_t nearest = (int32_t)floorf(ratio + 0.5f);
    int32_t best = 0;
    float best_bits = costs[0] + (float)shift;
    double best_cost = ratio * ratio + how->bit_weight * best_bits;
    for (int32_t candidate = nearest; candidate > 0 && candidate >= nearest - 1; candidate--) {
        const int32_t high = candidate >> shift;
        float bits = costs[high < escape ? high : escape] + (float)shift + how->sign_bits;
        if (high >= escape) {
            const double beyond = (double)(high - escape) / (1 << EVC_MAGNITUDE_ESCAPE_ORDER) + 1;
            bits += (float)(2 * floor(log2(beyond)) + 1 + EVC_MAGNITUDE_ESCAPE_ORDER);
        }
        const float shrink = candidate == 1 ? (float)EVC_SHRINK_ONE : (float)EVC_SHRINK_LARGE;
        const double error = (double)ratio - ((double)candidate - shrink);
        const double cost = error * error + how->bit_weight * bits;
        if (cost < best_cost) {
            best = candidate;
            best_bits = bits;
            best_cost = cost;
        }
    }
    *total += best_bits;
    return best;
}
